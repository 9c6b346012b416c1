//! Reads a stream: lanes take chains from the queue until none is left.

use std::sync::Arc;

use runner_core::checkpoint::ResumeState;
use runner_core::progress::ProgressEvent;
use runner_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::chains::ChainQueue;
use crate::lane::Lane;
use crate::stream::StreamRun;

/// Reads everything that isn't sealed yet. On an error the other lanes stop at their next page and keep what they have.
pub(crate) async fn read_stream(run: Arc<StreamRun>, resumed: ResumeState) -> Result<()> {
    if resumed.totals.pages > 0 {
        run.context.progress.event(ProgressEvent::Resumed {
            attempt: run.context.claim.attempt.0,
            pages: resumed.totals.pages,
            rows: resumed.totals.rows_read,
        });
    }
    run.take_up(&resumed).await?;
    let queue = Arc::new(Mutex::new(
        ChainQueue::new(Arc::clone(&run), resumed).await?,
    ));
    let mut lanes = JoinSet::new();
    for _ in 0..run.lanes {
        let lane = Lane::new(Arc::clone(&run));
        lanes.spawn(drive(lane, Arc::clone(&run), Arc::clone(&queue)));
    }
    let mut first_error = None;
    while let Some(ended) = lanes.join_next().await {
        let result = ended.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Internal, "a lane ended without a result").with_source(panic))
        });
        if let Err(error) = result {
            run.stop();
            // Lanes that stop because of the first error say `cancelled`, which is not why the run failed.
            first_error.get_or_insert(error);
        }
    }
    if let Some(error) = first_error {
        return Err(error);
    }
    run.close_values().await?;
    run.finished();
    Ok(())
}

async fn drive(mut lane: Lane, run: Arc<StreamRun>, queue: Arc<Mutex<ChainQueue>>) -> Result<()> {
    let result = take_chains(&mut lane, &run, &queue).await;
    if result.is_err() {
        lane.abort().await;
    }
    result
}

async fn take_chains(lane: &mut Lane, run: &StreamRun, queue: &Mutex<ChainQueue>) -> Result<()> {
    loop {
        run.check_cancelled()?;
        if run.is_at_limit() {
            break;
        }
        let Some(works) = queue.lock().await.next().await? else {
            break;
        };
        for work in works {
            lane.read(work).await?;
        }
    }
    lane.barrier().await
}
