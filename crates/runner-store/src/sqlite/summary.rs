//! What a job's streams have done, for those who only look.

use runner_core::Result;
use runner_core::checkpoint::{Observed, StreamSummary};
use sqlx::{Row as _, SqliteConnection};

use super::{chains, rows};
use crate::error::During as _;

pub(super) async fn of_job(
    connection: &mut SqliteConnection,
    key: i64,
) -> Result<Vec<StreamSummary>> {
    let streams: Vec<String> =
        sqlx::query_scalar("SELECT stream FROM streams WHERE job_key = ?1 ORDER BY stream")
            .bind(key)
            .fetch_all(&mut *connection)
            .await
            .during("read the streams of a job")?;
    let mut summaries = Vec::with_capacity(streams.len());
    for stream in &streams {
        summaries.push(of_stream(connection, key, stream).await?);
    }
    Ok(summaries)
}

pub(super) async fn of_stream(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
) -> Result<StreamSummary> {
    let mut totals = chains::totals(connection, key, stream).await?;
    let row = sqlx::query(
        "SELECT requests, bytes_read, observed FROM streams WHERE job_key = ?1 AND stream = ?2",
    )
    .bind(key)
    .bind(stream)
    .fetch_optional(&mut *connection)
    .await
    .during("read the counters of a stream")?;
    let mut observed = Observed::default();
    if let Some(row) = row {
        totals.requests = rows::unsigned(row.get("requests"));
        totals.bytes_read = rows::unsigned(row.get("bytes_read"));
        observed = rows::from_json("observed schema", row.get("observed"))?;
    }
    let warnings: Vec<String> = sqlx::query_scalar(
        "SELECT warning FROM warnings WHERE job_key = ?1 AND stream = ?2 ORDER BY number",
    )
    .bind(key)
    .bind(stream)
    .fetch_all(connection)
    .await
    .during("read warnings")?;
    Ok(StreamSummary {
        stream: stream.to_owned(),
        totals,
        observed,
        warnings: warnings
            .iter()
            .map(|text| rows::from_json("warning", text))
            .collect::<Result<_>>()?,
    })
}
