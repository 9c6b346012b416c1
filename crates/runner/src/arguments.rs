//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use runner_spec::model::EngineName;

/// Describe a data feed once; validate, plan, run and load it exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "ingestion-runner",
    version,
    after_help = crate::exit_code::table(),
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file (YAML or JSON)
    #[arg(long, global = true, value_name = "FILE", env = "RUNNER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the runner's own data
    #[arg(long, global = true, value_name = "DIR", env = "RUNNER_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Secrets file: path → keys (YAML or JSON), readable by its owner only
    #[arg(long, global = true, value_name = "FILE", env = "RUNNER_SECRETS")]
    pub(crate) secrets: Option<PathBuf>,
    /// Print JSON on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check documents and report every mistake
    Validate(ValidateArguments),
    /// Print the JSON Schema of the documents
    Schema,
    /// Explain a diagnostic's code
    Explain {
        /// Such as `UIS0203`; `sql` for what portable SQL has; all codes without one
        code: Option<String>,
    },
    /// Show what a run would do
    Plan(PlanArguments),
    /// Show the first rows of a feed, raw and mapped, and load nothing
    Preview(PreviewArguments),
    /// Run a feed in the foreground
    #[command(visible_alias = "run")]
    Sample(RunArguments),
    /// Jobs: what ran, and what to do about it
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Cursors of feeds
    #[command(subcommand)]
    State(StateCommand),
    /// Rows that failed a check
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Changes of a source's schema
    #[command(subcommand)]
    Drift(DriftCommand),
    /// Serve an API shaped like a document's endpoints, to try a feed without its API
    Mock(MockArguments),
    /// Show every setting and where it came from
    Info,
    /// Check the components
    Health,
    /// Show, and with `--apply` take away, what has outlived its retention
    Gc(GcArguments),
    /// Print a completion script
    Completions {
        /// The shell that is to complete
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// Documents (YAML or JSON)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Unknown keys are errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// Merged over each document, key by key
    #[arg(long, value_name = "FILE")]
    pub(crate) overlay: Vec<PathBuf>,
}

/// What every command takes that reads a document for a run.
#[derive(Debug, Args)]
pub(crate) struct FeedArguments {
    /// The document (YAML or JSON)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Engine to run on
    #[arg(long, value_name = "NAME", value_parser = parse_engine)]
    pub(crate) engine: Option<EngineName>,
    /// A run parameter, for `{{ NAME }}`
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Merged over the document, key by key
    #[arg(long, value_name = "FILE")]
    pub(crate) overlay: Vec<PathBuf>,
    /// At most this many rows of each stream; such a run moves no cursor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Another server that stands in for the source; such a run moves no cursor
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Unknown keys are errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// Refuse connections that aren't configured instead of replacing them by local ones
    #[arg(long)]
    pub(crate) strict_connections: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) feed: FeedArguments,
    /// Read the first rows of each stream, and show the columns that they have
    #[arg(long)]
    pub(crate) probe: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PreviewArguments {
    #[command(flatten)]
    pub(crate) feed: FeedArguments,
    /// Only this stream, and of its parents what it needs
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) feed: FeedArguments,
    /// Discard an unfinished run of the feed instead of continuing it
    #[arg(long)]
    pub(crate) restart: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Jobs, the newest first
    List {
        /// Only jobs of this feed
        #[arg(long, value_name = "NAME")]
        feed: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One job with its streams, sinks and events
    Show {
        /// The job, as `jobs list` shows it
        id: String,
    },
    /// Go on with a job that was interrupted, or that drift blocked and that was accepted
    Resume {
        /// The job, as `jobs list` shows it
        id: String,
    },
    /// Try again to commit a job that is blocked on a sink
    Retry {
        /// The job, as `jobs list` shows it
        id: String,
    },
    /// Give up one sink of a job that can't commit; the rest and the cursor go on, and its rows are kept for `jobs replay`
    Abandon {
        /// The job, as `jobs list` shows it
        id: String,
        /// The sink that the job waits for, as `jobs show` names it
        #[arg(long, value_name = "SINK")]
        sink: String,
        /// Why, for the audit
        #[arg(long, value_name = "WHY")]
        reason: String,
    },
    /// Load the rows of a sink that was given up
    Replay {
        /// The job, as `jobs list` shows it
        id: String,
        /// The sink that was given up, as `jobs show` names it
        #[arg(long, value_name = "SINK")]
        sink: String,
    },
    /// Give the rows of a sink that was given up away for good
    Drop {
        /// The job, as `jobs list` shows it
        id: String,
        /// The sink that was given up, as `jobs show` names it
        #[arg(long, value_name = "SINK")]
        sink: String,
    },
    /// Stop a job
    Cancel {
        /// The job, as `jobs list` shows it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Feeds with their cursors
    List,
    /// Cursors of one feed
    Show {
        /// The feed's name, as `state list` shows it
        feed: String,
    },
    /// Set a stream's cursor
    Set {
        /// The feed's name, as `state list` shows it
        feed: String,
        /// The stream: an endpoint of the document, as `state show` lists it
        stream: String,
        /// What it has read up to: a value as its cursor field has them
        cursor: String,
        /// The file, or the value of the parent, for a stream that has a cursor for each
        #[arg(long, value_name = "VALUE", default_value = "")]
        value: String,
    },
    /// Forget the cursors and schemas of a feed, or of one of its streams
    Reset {
        /// The feed's name, as `state list` shows it
        feed: String,
        /// Only this stream, an endpoint of the document
        stream: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Files of quarantined rows, the newest run first
    List {
        /// Only rows of this feed
        #[arg(long, value_name = "NAME")]
        feed: Option<String>,
    },
    /// Rows of a job with their reasons
    Show {
        /// The job that quarantined them, as `quarantine list` shows it
        job: String,
        /// Only rows of this stream
        #[arg(long, value_name = "NAME")]
        stream: Option<String>,
        /// At most this many rows
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Load quarantined rows of completed runs by the document as it is now, each once; rows that fail again come back
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    pub(crate) document: MendedDocument,
    /// Only rows that this job quarantined
    #[arg(long, value_name = "ID")]
    pub(crate) job: Option<String>,
    /// Only rows of this stream
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
    /// A merge without a cursor field replaces rows that runs before the row's own have loaded; without this it only adds keys
    /// that are missing
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Discard an unfinished run of the feed instead of continuing it
    #[arg(long)]
    pub(crate) restart: bool,
}

/// The document that quarantined rows are loaded by.
#[derive(Debug, Args)]
pub(crate) struct MendedDocument {
    /// The document (YAML or JSON), mended
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A run parameter, for `{{ NAME }}`
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Merged over the document, key by key
    #[arg(long, value_name = "FILE")]
    pub(crate) overlay: Vec<PathBuf>,
    /// Unknown keys are errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// Refuse connections that aren't configured instead of replacing them by local ones
    #[arg(long)]
    pub(crate) strict_connections: bool,
}

impl ReplayArguments {
    /// How the document is read and planned: as for a run.
    pub(crate) fn feed(&self) -> FeedArguments {
        let document = &self.document;
        FeedArguments {
            file: document.file.clone(),
            engine: None,
            parameters: document.parameters.clone(),
            overlay: document.overlay.clone(),
            limit: None,
            base_url: None,
            strict: document.strict,
            strict_connections: document.strict_connections,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DriftCommand {
    /// What changed from run to run
    Show {
        /// The feed's name, as `state list` shows it
        feed: String,
        /// At most this many changes, the newest first
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Accept what a blocked run observed; `jobs resume` commits its rows then
    Accept {
        /// The feed's name, as `state list` shows it
        feed: String,
        /// Only what changed in this stream
        #[arg(long, value_name = "NAME")]
        stream: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MockArguments {
    /// The document (YAML or JSON)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Port on 127.0.0.1; a free one without it
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,
    /// Rows in each request chain
    #[arg(long, value_name = "N", default_value_t = 250)]
    pub(crate) rows: u64,
    /// Distinct values from a parent
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) parents: u64,
    /// The same seed gives the same rows
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct GcArguments {
    /// Take it away; without this it is only shown
    #[arg(long)]
    pub(crate) apply: bool,
    /// How long ended jobs, their events and their quarantine are kept
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    pub(crate) keep_days: u32,
}

fn parse_engine(text: &str) -> Result<EngineName, String> {
    match text {
        "embedded" => Ok(EngineName::Embedded),
        "seatunnel" => Ok(EngineName::Seatunnel),
        "spark" => Ok(EngineName::Spark),
        "flink" => Ok(EngineName::Flink),
        _ => Err("engines are embedded, seatunnel, spark, flink".to_owned()),
    }
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a parameter is written NAME=VALUE".to_owned()),
    }
}
