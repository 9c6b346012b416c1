//! Which engine runs the plan, and why.

use runner_spec::model::{EngineName, Mode};
use runner_spec::{Code, Diagnostic, FieldPath};

use super::context::Context;
use super::findings::{Findings, at};
use crate::environment::Profile;
use crate::model::EngineChoice;

/// Who asked for an engine, and where.
struct Asked {
    engine: EngineName,
    by: String,
    path: FieldPath,
    /// On the command line, by somebody who is there to be told.
    by_caller: bool,
}

pub(crate) fn choose(context: Context<'_>, findings: &mut Findings) -> EngineChoice {
    let supported = context.environment().supported_engines();
    let choice = |engine, reason: String, gave_way| EngineChoice {
        engine,
        reason,
        supported: supported.clone(),
        gave_way,
    };
    let chosen = match asked(context, findings) {
        Some(asked) => match named(context, &asked, findings) {
            Outcome::Runs => choice(asked.engine, format!("asked for by {}", asked.by), None),
            Outcome::GaveWay(why) => choice(
                EngineName::Embedded,
                format!("{} asks for {}, which {why}", asked.by, name(asked.engine)),
                Some(asked.engine),
            ),
        },
        None => by_default(context, findings, &choice),
    };
    if chosen.engine == EngineName::Embedded && !supported.contains(&EngineName::Embedded) {
        findings.error(
            Code::EngineUnavailable,
            &at::provider().key("mode"),
            "no engine that can run the feed is supported by this runner".to_owned(),
            "add `embedded` to `supported_engines` of the runner's configuration",
        );
    }
    chosen
}

enum Outcome {
    Runs,
    /// The embedded engine takes over, since the one that was asked for …
    GaveWay(String),
}

fn asked(context: Context<'_>, findings: &mut Findings) -> Option<Asked> {
    if let Some(engine) = context.inputs.options.engine {
        return Some(Asked {
            engine,
            by: "`--engine`".to_owned(),
            path: FieldPath::root(),
            by_caller: true,
        });
    }
    if let Some(engine) = context.spec().runtime {
        return Some(Asked {
            engine,
            by: "`runtime`".to_owned(),
            path: FieldPath::root().key("runtime"),
            by_caller: false,
        });
    }
    let text = context.setting_text("execution_engine", findings)?;
    let path = at::config().key("execution_engine");
    let Some(engine) = parse(&text) else {
        findings.error(
            Code::UnknownValue,
            &path,
            format!("`{text}` is no engine"),
            "write `embedded`, `seatunnel`, `spark` or `flink`",
        );
        return None;
    };
    Some(Asked {
        engine,
        by: "`config.execution_engine`".to_owned(),
        path,
        by_caller: false,
    })
}

fn named(context: Context<'_>, asked: &Asked, findings: &mut Findings) -> Outcome {
    if asked.engine == EngineName::Embedded {
        return Outcome::Runs;
    }
    let engine = name(asked.engine);
    let environment = context.environment();
    let is_configured = environment.engines.contains_key(&asked.engine)
        && environment.supported_engines().contains(&asked.engine);
    if !is_configured && !asked.by_caller && environment.profile == Profile::Local {
        findings.hint(
            Code::EngineFallback,
            &asked.path,
            format!("{engine} is not configured, so the embedded engine runs the feed"),
        );
        return Outcome::GaveWay("is not configured".to_owned());
    }
    if asked.by_caller {
        let message =
            format!("this version can't run feeds on {engine} yet, which `--engine` asks for");
        findings.push(
            Diagnostic::error(Code::EngineNotSupported, asked.path.clone(), message)
                .beside()
                .help("leave it out, or write `--engine embedded`"),
        );
    } else if !is_configured {
        findings.error(
            Code::EngineUnavailable,
            &asked.path,
            format!("{} asks for {engine}, which is not among the engines of this runner", asked.by),
            format!("add the address of a {engine} cluster to `engine_configs`, or take the request for it out"),
        );
    } else {
        findings.error(
            Code::EngineNotSupported,
            &asked.path,
            format!("this version can't run feeds on {engine} yet"),
            "use the embedded engine: `runtime: embedded`",
        );
    }
    Outcome::GaveWay("can't run it".to_owned())
}

/// The engine of the mode, which gives way to the embedded one: no other can run a feed in this version.
fn by_default(
    context: Context<'_>,
    findings: &mut Findings,
    choice: &dyn Fn(EngineName, String, Option<EngineName>) -> EngineChoice,
) -> EngineChoice {
    let (mode, preferred) = match context.spec().provider.mode.unwrap_or_default() {
        Mode::Batch => ("batch", EngineName::Seatunnel),
        Mode::MicroBatch => ("micro_batch", EngineName::Spark),
        Mode::Streaming | Mode::Websocket | Mode::Webhook | Mode::GraphqlSubscription => {
            ("streaming", EngineName::Flink)
        }
    };
    let environment = context.environment();
    let is_supported = environment.supported_engines().contains(&preferred);
    let why = if is_supported {
        "can't run feeds in this version yet"
    } else {
        "is not configured"
    };
    let may_give_way = !environment.refuse_engine_fallback
        && context
            .setting("engine_fallback")
            .and_then(serde_json::Value::as_str)
            != Some("none");
    if !may_give_way {
        findings.error(
            Code::EngineUnavailable,
            &at::provider().key("mode"),
            format!("feeds of mode `{mode}` run on {} by default, which {why}, and `engine_fallback` is `none`", name(preferred)),
            "write `runtime: embedded`",
        );
    }
    choice(
        EngineName::Embedded,
        format!(
            "the default of mode {mode} is {}, which {why}",
            name(preferred)
        ),
        Some(preferred),
    )
}

fn parse(text: &str) -> Option<EngineName> {
    match text.trim().to_ascii_lowercase().as_str() {
        "embedded" => Some(EngineName::Embedded),
        "seatunnel" => Some(EngineName::Seatunnel),
        "spark" => Some(EngineName::Spark),
        "flink" => Some(EngineName::Flink),
        _ => None,
    }
}

/// As people write it.
pub(crate) fn name(engine: EngineName) -> &'static str {
    match engine {
        EngineName::Embedded => "the embedded engine",
        EngineName::Seatunnel => "SeaTunnel",
        EngineName::Spark => "Spark",
        EngineName::Flink => "Flink",
    }
}
