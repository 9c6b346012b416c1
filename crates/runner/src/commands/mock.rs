//! `mock`: an API shaped like a document's endpoints.

use std::sync::Arc;

use runner_core::{Error, ErrorKind, Result, SystemClock};
use tokio::net::TcpListener;

use crate::arguments::MockArguments;
use crate::document::{Document, Refused};
use crate::exit_code;
use crate::mock::{Mock, Volume};
use crate::terminal::Terminal;

pub(crate) async fn mock(arguments: &MockArguments, terminal: Terminal) -> Result<u8> {
    let document = Document::read(&arguments.file, &[] as &[&str], false)?;
    let Some(spec) = &document.loaded.spec else {
        Refused::of(document.loaded).show(terminal)?;
        return Ok(exit_code::of(ErrorKind::Spec));
    };
    let volume = Volume {
        rows: arguments.rows,
        parents: arguments.parents,
        seed: arguments.seed,
    };
    let mock = Mock::new(spec, volume, Arc::new(SystemClock::new()))?;
    let listener = TcpListener::bind(("127.0.0.1", arguments.port))
        .await
        .map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("failed to listen on 127.0.0.1:{}", arguments.port),
            )
            .with_source(error)
        })?;
    let address = listener.local_addr().map_err(|error| {
        Error::new(ErrorKind::Internal, "the listener has no address").with_source(error)
    })?;
    terminal.print(&format!("listening on http://{address}"))?;
    tokio::select! {
        served = mock.serve(listener) => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(exit_code::SUCCESS)
}
