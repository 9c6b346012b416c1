//! `plan`: what a run would do.

use runner_core::{ErrorKind, Result};
use runner_plan::describe::{Details, describe};
use serde_json::json;

use super::feed::{Hints, planned};
use super::preview;
use crate::arguments::PlanArguments;
use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::Terminal;
use crate::wiring::Store;

pub(crate) async fn plan(
    arguments: &PlanArguments,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    let Some(planned) = planned(&arguments.feed, Hints::Shown, &store, settings, terminal).await?
    else {
        return Ok(exit_code::of(ErrorKind::Spec));
    };
    let probes = if arguments.probe {
        preview::read(planned.plan.clone(), None, &store, settings).await?
    } else {
        Vec::new()
    };
    if terminal.json {
        let mut output = json!({ "plan": planned.plan, "diagnostics": planned.diagnostics });
        if arguments.probe {
            output["probe"] = probes.iter().map(preview::columns_json).collect();
        }
        terminal.print_json(&output)?;
    } else {
        let details = Details {
            casts: planned.casts,
            ..Details::default()
        };
        let mut text = describe(&planned.plan, &details);
        if arguments.probe {
            text.push_str("\nprobe (what the first rows have)\n");
            for probe in &probes {
                text.push_str(&preview::columns_text(probe));
            }
        }
        terminal.print(&text)?;
    }
    Ok(exit_code::SUCCESS)
}
