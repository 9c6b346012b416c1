//! The mark: what a table itself remembers of a feed's last load, as a property that changes in the commit of the data.

use iceberg::spec::TableMetadata;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use runner_core::{FeedId, Fence, LoadContext, Written};
use serde::{Deserialize, Serialize};

use super::data_file::MarkOf;
use super::error::{IcebergError, Result};

/// What would make one name out of two.
const NAME: &AsciiSet = &CONTROLS.add(b'.').add(b'%').add(b' ');

/// Last load of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub seq: u64,
    pub load_id: String,
    /// What that load did, for a repeat of its commit.
    pub written: Written,
}

/// What the mark says of a load.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Due,
    Done(Written),
}

/// Name of the property: `uis.load.<tenant>.<feed>.<load>`.
pub(super) fn key(feed: &FeedId, load: &str) -> String {
    let name = |text: &str| utf8_percent_encode(text, NAME).to_string();
    format!(
        "uis.load.{}.{}.{}",
        name(feed.tenant.as_str()),
        name(&feed.name),
        name(load)
    )
}

pub(super) fn key_of(load: &LoadContext) -> String {
    key(&load.feed, &load.id.load)
}

/// What a part keeps of the mark that its commit will set.
pub(super) fn of(load: &LoadContext) -> MarkOf {
    MarkOf {
        key: key_of(load),
        seq: load.seq.0,
        load_id: load.id.to_string(),
    }
}

pub(super) fn read(metadata: &TableMetadata, key: &str) -> Result<Option<Mark>> {
    metadata
        .properties()
        .get(key)
        .map(|text| {
            serde_json::from_str(text).map_err(IcebergError::json(format!(
                "read the table's property `{key}`"
            )))
        })
        .transpose()
}

/// Whether the load is due. A late writer's is neither due nor done.
pub(super) fn standing(
    metadata: &TableMetadata,
    load: &LoadContext,
    fence: &Fence,
) -> Result<Standing> {
    let Some(mark) = read(metadata, &key_of(load))? else {
        return Ok(Standing::Due);
    };
    if mark.load_id == load.id.to_string() {
        return Ok(Standing::Done(Written {
            already_done: true,
            ..mark.written
        }));
    }
    if mark.seq < fence.seq.0 {
        return Ok(Standing::Due);
    }
    Err(IcebergError::conflict(
        format!(
            "the table holds load `{}` with number {} of this feed, which is not before number {} of load `{}`",
            mark.load_id, mark.seq, fence.seq.0, load.id
        ),
        "a later run of the feed has loaded this table, or the job store was lost and numbers its runs anew: run the feed again, \
         or raise its number above the table's with `state set`",
    ))
}

#[cfg(test)]
mod tests {
    use runner_core::TenantId;

    use super::*;

    #[test]
    fn no_two_loads_share_a_key() {
        let key = |tenant: &str, feed: &str, load: &str| {
            let feed = FeedId {
                tenant: TenantId::new(tenant),
                name: feed.to_owned(),
            };
            super::key(&feed, load)
        };
        assert_eq!(key("acme", "orders", "0:ns"), "uis.load.acme.orders.0:ns");
        assert_ne!(key("a.b", "c", "d"), key("a", "b.c", "d"));
        assert_ne!(key("a", "b", "c%2Ed"), key("a", "b", "c.d"));
    }

    #[test]
    fn a_mark_of_this_version_is_read_later() {
        let stored = r#"{"seq":7,"load_id":"job-1/0:t","written":{"rows":3,"bytes":10,"rows_skipped":1,"rows_replaced":2,"location":"s3://b/t","already_done":false}}"#;
        let mark: Mark = serde_json::from_str(stored).unwrap();
        assert_eq!((mark.seq, mark.written.rows), (7, 3));
        assert_eq!(serde_json::to_string(&mark).unwrap(), stored);
    }
}
