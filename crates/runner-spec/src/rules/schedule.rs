//! Schedules that never fire, and time zones without a schedule.

use super::{Context, provider_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::values::Schedule;

pub(super) fn run(context: &mut Context<'_>) {
    let provider = &context.spec.provider;
    let Some(cron) = &provider.schedule_cron else {
        if provider.schedule_timezone.is_some()
            && !context.is_written(&provider_path().key("schedule_cron"))
        {
            let diagnostic = Diagnostic::hint(
                Code::UnusedTimeZone,
                provider_path().key("schedule_timezone"),
                "a time zone without `schedule_cron` has no effect",
            );
            context.report(diagnostic.help("add a `schedule_cron`, or leave the time zone out"));
        }
        return;
    };
    if Schedule::new(cron, "UTC").is_ok_and(|schedule| !schedule.ever_fires()) {
        let message = format!("`{cron}` never fires: no month that it names has such a day");
        context.report(
            Diagnostic::warning(
                Code::CronNeverFires,
                provider_path().key("schedule_cron"),
                message,
            )
            .help("write a day that exists, or `L` for the last day of a month"),
        );
    }
}
