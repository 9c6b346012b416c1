//! `plan`: what a run would do.

use runner_core::Result;
use runner_plan::describe::{Details, describe};
use serde_json::json;

use super::feed::planned;
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
    let planned = planned(&arguments.feed, &store, settings, terminal).await?;
    if terminal.json {
        terminal
            .print_json(&json!({ "plan": planned.plan, "diagnostics": planned.diagnostics }))?;
    } else {
        let details = Details {
            casts: planned.casts,
            ..Details::default()
        };
        terminal.print(&describe(&planned.plan, &details))?;
    }
    Ok(exit_code::SUCCESS)
}
