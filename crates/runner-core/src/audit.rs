//! Who did what to jobs and feeds. The store writes it in the transaction of the change itself.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ids::{Operator, TenantId};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: DateTime<Utc>,
    pub by: Operator,
    /// `cancel`, `reopen`, `abandon`, `set_cursor`, `reset`, `raise_seq`, `accept_schema`, `release_hold`.
    pub action: String,
    /// Job or feed.
    pub subject: String,
    pub details: serde_json::Value,
}

#[async_trait]
pub trait AuditLog: Send + Sync {
    /// From the entry after this number on, with their numbers.
    async fn audit(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, AuditEntry)>>;
}
