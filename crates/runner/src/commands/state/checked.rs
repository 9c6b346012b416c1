//! Whether a cursor that somebody wants to set can be one. A wrong one would hide every row that the source has from then on.

use runner_core::job::{Job, JobFilter};
use runner_core::{CursorState, Error, ErrorKind, FeedId, FeedState, Result};
use runner_plan::model::{Chains, SourcePlan};
use runner_plan::windows::CursorKind;
use runner_plan::{ColumnType, Plan, StreamPlan};
use runner_spec::nearest;

use crate::wiring::Store;

/// Refuses a stream that the feed doesn't have or that has no cursor, and a value that is none of the cursor's type. The feed is
/// what its last run made of its document.
pub(super) async fn check(store: &Store, feed: &FeedId, cursor: &CursorState) -> Result<()> {
    let job = last_job(store, feed).await?;
    let stream = stream(&job.plan, &cursor.stream)?;
    value_is_named(stream, &cursor.value)?;
    let stored = store
        .feeds()
        .cursor(feed, &cursor.stream, &cursor.value)
        .await?;
    if stored.is_none() && matches!(stream.source, SourcePlan::Files(_)) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("no file `{}` of `{}` was read", cursor.value, stream.name),
        )
        .with_help("`state show` lists the files as they are named here"));
    }
    let state = store.feeds().state(feed).await?;
    is_of_kind(kind(stream, &state, stored.as_ref())?, cursor)
}

/// Refuses a name that neither the feed's state nor its last run has.
pub(super) async fn stream_is_known(store: &Store, feed: &FeedId, name: &str) -> Result<()> {
    let has_schema = store.feeds().state(feed).await?.schemas.contains_key(name);
    let cursors = store.feeds().cursors(feed, Some(name), None, 1).await?;
    if has_schema || !cursors.is_empty() {
        return Ok(());
    }
    stream(&last_job(store, feed).await?.plan, name).map(drop)
}

async fn last_job(store: &Store, feed: &FeedId) -> Result<Job> {
    let last = JobFilter {
        feed: Some(feed.name.clone()),
        limit: 1,
        ..JobFilter::default()
    };
    let jobs = store.jobs().list(&feed.tenant, &last).await?;
    jobs.into_iter().next().ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!(
                "no run of `{}` is known, which would tell its cursors",
                feed.name
            ),
        )
        .with_help("run the feed once; where it begins is `incremental.initial` of the document")
    })
}

fn stream<'a>(plan: &'a Plan, name: &str) -> Result<&'a StreamPlan> {
    let streams = || plan.streams.iter();
    streams().find(|stream| stream.name == name).ok_or_else(|| {
        let names: Vec<&str> = streams().map(|stream| stream.name.as_str()).collect();
        let help = nearest(name, names.iter().copied()).map_or_else(
            || format!("its streams are {}", names.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        Error::new(
            ErrorKind::NotFound,
            format!("feed `{}` has no stream `{name}`", plan.feed),
        )
        .with_help(help)
    })
}

/// A stream with a cursor for each file or value has none for all of them.
fn value_is_named(stream: &StreamPlan, value: &str) -> Result<()> {
    let each = match &stream.source {
        SourcePlan::Files(_) => Some("file"),
        SourcePlan::Http(http) if matches!(http.chains, Chains::Single) => None,
        SourcePlan::Http(_) => Some("value"),
    };
    let (what, help) = match (each, value.is_empty()) {
        (None, false) => ("one cursor".to_owned(), "leave `--value` out"),
        (Some(each), true) => (
            format!("a cursor for each {each}"),
            "say which with `--value`; `state show` lists them",
        ),
        _ => return Ok(()),
    };
    Err(Error::new(
        ErrorKind::NotFound,
        format!("stream `{}` has {what}", stream.name),
    )
    .with_help(help))
}

fn kind(
    stream: &StreamPlan,
    state: &FeedState,
    stored: Option<&CursorState>,
) -> Result<CursorKind> {
    let incremental = stream.incremental.as_ref();
    let column = incremental.and_then(|plan| plan.cursor_field.as_ref());
    let Some(column) = column else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("stream `{}` has no cursor", stream.name),
        )
        .with_help(
            "it reads everything on every run; `incremental.cursor_field` would give it one",
        ));
    };
    let loaded = state.schemas.get(&stream.name).and_then(|schema| {
        let found = schema.columns.iter().find(|known| known.name == *column)?;
        Some(&found.column_type)
    });
    let planned = stream
        .columns
        .known
        .iter()
        .find(|known| known.name == *column);
    let column_type = loaded.or_else(|| planned?.column_type.as_ref());
    let kind = CursorKind::of(column_type.unwrap_or(&ColumnType::String));
    // A column of texts may hold points in time or numbers: an earlier value tells.
    let earlier = stored
        .and_then(|stored| stored.cursor.as_ref())
        .or_else(|| incremental?.initial.as_ref());
    Ok(match (kind, earlier) {
        (CursorKind::Text, Some(earlier)) => CursorKind::of_text(earlier),
        _ => kind,
    })
}

fn is_of_kind(kind: CursorKind, cursor: &CursorState) -> Result<()> {
    let text = cursor.cursor.as_deref().unwrap_or_default();
    kind.parse(text).map(drop).map_err(|error| {
        Error::new(
            ErrorKind::Spec,
            format!("failed to set the cursor of `{}`", cursor.stream),
        )
        .with_source(error)
        .with_help("`state show` prints the one it has")
    })
}
