//! `state`: cursors of feeds.

mod checked;

use std::fmt::Write as _;

use runner_core::{CursorState, Error, ErrorKind, FeedId, Result};
use serde_json::json;

use crate::arguments::StateCommand;
use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::{Terminal, counted};
use crate::wiring::{Store, operator};

/// Cursors taken from the store at once.
const PAGE: u32 = 1_000;
/// A feed may have a million cursors; people look at the first ones.
const SHOWN: usize = 1_000;

pub(crate) async fn state(
    command: StateCommand,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    match command {
        StateCommand::List => list(&store, settings, terminal).await,
        StateCommand::Show { feed } => {
            show(&store, &find(&store, settings, &feed).await?, terminal).await
        }
        StateCommand::Set {
            feed,
            stream,
            cursor,
            value,
        } => {
            let feed = find(&store, settings, &feed).await?;
            let state = CursorState {
                stream,
                value,
                cursor: Some(cursor),
                ..CursorState::default()
            };
            checked::check(&store, &feed, &state).await?;
            store.feeds().set_cursor(&feed, &state, &operator()).await?;
            if terminal.json {
                terminal.print_json(&json!({ "feed": feed, "cursor": state }))?;
            } else {
                terminal.note(&format!(
                    "cursor of `{}` in `{}` is set",
                    state.stream, feed.name
                ));
            }
            Ok(exit_code::SUCCESS)
        }
        StateCommand::Reset { feed, stream } => {
            let feed = find(&store, settings, &feed).await?;
            if let Some(stream) = &stream {
                checked::stream_is_known(&store, &feed, stream).await?;
            }
            let count = store
                .feeds()
                .reset(&feed, stream.as_deref(), &operator())
                .await?;
            if terminal.json {
                terminal.print_json(
                    &json!({ "feed": feed, "stream": stream, "cursors_forgotten": count }),
                )?;
            } else {
                let of = stream.as_ref().unwrap_or(&feed.name);
                terminal.note(&format!(
                    "forgot {} and the schema of `{of}`: the next run reads it from its beginning",
                    counted(count, "cursor")
                ));
            }
            Ok(exit_code::SUCCESS)
        }
    }
}

/// The feed of this name; the tenant is the configured one, or the only one that has such a feed.
pub(crate) async fn find(store: &Store, settings: &Settings, name: &str) -> Result<FeedId> {
    let mut found = Vec::new();
    let mut known = Vec::new();
    for tenant in store.tenants(settings).await? {
        for (feed, _) in store.feeds().feeds(&tenant).await? {
            if feed.name == name {
                found.push(feed);
            } else {
                known.push(feed.name);
            }
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let help = runner_spec::nearest(name, known.iter().map(String::as_str)).map_or_else(
                || "`state list` shows the feeds that have run".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            Err(Error::new(
                ErrorKind::NotFound,
                format!("no feed `{name}` has run here"),
            )
            .with_help(help))
        }
        _ => Err(Error::new(
            ErrorKind::Conflict,
            format!("several tenants have a feed `{name}`"),
        )
        .with_help("set TENANT_ID to say whose is meant")),
    }
}

async fn list(store: &Store, settings: &Settings, terminal: Terminal) -> Result<u8> {
    let mut feeds = Vec::new();
    for tenant in store.tenants(settings).await? {
        feeds.extend(store.feeds().feeds(&tenant).await?);
    }
    if terminal.json {
        let feeds: Vec<_> = feeds
            .iter()
            .map(|(feed, seq)| json!({ "tenant": feed.tenant, "feed": feed.name, "runs": seq.0 }))
            .collect();
        terminal.print_json(&json!({ "feeds": feeds }))?;
        return Ok(exit_code::SUCCESS);
    }
    let mut text = format!("{:<32} {:<20} {:>8}\n", "FEED", "TENANT", "RUNS");
    for (feed, seq) in &feeds {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<32} {:<20} {:>8}",
            feed.name,
            feed.tenant.as_str(),
            seq.0
        );
    }
    terminal.print(if feeds.is_empty() {
        "no feed has run here yet\n"
    } else {
        &text
    })?;
    Ok(exit_code::SUCCESS)
}

async fn show(store: &Store, feed: &FeedId, terminal: Terminal) -> Result<u8> {
    let mut cursors: Vec<CursorState> = Vec::new();
    loop {
        let after = cursors
            .last()
            .map(|cursor| (cursor.stream.as_str(), cursor.value.as_str()));
        let page = store.feeds().cursors(feed, None, after, PAGE).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        cursors.extend(page);
        if is_last || cursors.len() >= SHOWN {
            break;
        }
    }
    let schemas = store.feeds().state(feed).await?.schemas;
    if terminal.json {
        terminal.print_json(&json!({ "feed": feed, "cursors": cursors, "schemas": schemas }))?;
        return Ok(exit_code::SUCCESS);
    }
    let mut text = String::new();
    for cursor in &cursors {
        let value = if cursor.value.is_empty() {
            String::new()
        } else {
            format!(" [{}]", cursor.value)
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}{value}: {} ({} at the boundary)",
            cursor.stream,
            cursor.cursor.as_deref().unwrap_or("-"),
            counted(
                cursor
                    .boundary
                    .values()
                    .map(|count| u64::from(*count))
                    .sum(),
                "row"
            )
        );
    }
    if cursors.is_empty() {
        text.push_str("no stream of this feed has a cursor\n");
    }
    terminal.print(&text)?;
    Ok(exit_code::SUCCESS)
}
