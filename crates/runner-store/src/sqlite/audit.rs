//! The audit: who did what.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::Result;
use runner_core::audit::{AuditEntry, AuditLog};
use runner_core::ids::{Operator, TenantId};
use sqlx::{Row as _, SqliteConnection};

use super::{SqliteStore, rows};
use crate::error::During as _;

/// Rows that one call returns at most.
const PAGE: u32 = 1_000;

#[async_trait]
impl AuditLog for SqliteStore {
    async fn audit(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, AuditEntry)>> {
        let mut transaction = self.read().await?;
        let found = sqlx::query(
            "SELECT number, entry FROM audit WHERE tenant = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
        )
        .bind(tenant.as_str())
        .bind(rows::signed(after))
        .bind(i64::from(limit.min(PAGE)))
        .fetch_all(&mut *transaction)
        .await
        .during("read the audit")?;
        found
            .iter()
            .map(|row| {
                let entry = rows::from_json("audit entry", row.get("entry"))?;
                Ok((rows::unsigned(row.get("number")), entry))
            })
            .collect()
    }
}

pub(super) async fn note(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    by: &Operator,
    action: &str,
    subject: &str,
    details: serde_json::Value,
    at: DateTime<Utc>,
) -> Result<()> {
    let entry = AuditEntry {
        at,
        by: by.clone(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        details,
    };
    sqlx::query("INSERT INTO audit (tenant, entry) VALUES (?1, ?2)")
        .bind(tenant.as_str())
        .bind(rows::to_json("audit entry", &entry)?)
        .execute(connection)
        .await
        .during("note an action in the audit")
        .map(drop)
}
