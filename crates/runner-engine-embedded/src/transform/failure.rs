//! What went wrong while a query ran, for people.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use runner_core::{Error, ErrorKind};

/// A failure of the whole run.
pub(crate) fn failed(error: DataFusionError) -> Error {
    if let DataFusionError::External(own) = root(&error)
        && let Some(own) = own.downcast_ref::<Error>()
    {
        return Error::new(own.kind(), own.to_string()).with_source(error);
    }
    if is_of_a_value(&error) {
        let message = format!(
            "a value can't be computed where a query groups, joins or orders rows: {}",
            cause(&error)
        );
        return Error::new(ErrorKind::SourceData, message)
            .with_help("compute it in a transform of its own before, where such a row goes to the quarantine, or leave it out with `CASE` or `WHERE`")
            .with_source(error);
    }
    match root(&error) {
        DataFusionError::ResourcesExhausted(_) => Error::new(
            ErrorKind::Engine,
            format!("the query needs more memory than it may have: {}", cause(&error)),
        )
        .with_help("joins need an equality to be spilled; write the query in several transforms that read less each")
        .with_source(error),
        DataFusionError::IoError(_) => Error::new(
            ErrorKind::Sink,
            format!("the stage or the spilled rows can't be read or written: {}", cause(&error)),
        )
        .with_help("check that the data folder is writable and that its disk has space")
        .with_source(error),
        _ => internal(error),
    }
}

/// Whether a value of a row is what it failed for.
pub(crate) fn is_of_a_value(error: &DataFusionError) -> bool {
    match root(error) {
        DataFusionError::ArrowError(error, _) => matches!(
            error.as_ref(),
            ArrowError::DivideByZero
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::CastError(_)
                | ArrowError::ParseError(_)
                | ArrowError::ComputeError(_)
                | ArrowError::InvalidArgumentError(_)
        ),
        DataFusionError::Execution(_) => true,
        _ => false,
    }
}

/// Stable code of the reason in the quarantine.
pub(crate) fn code(error: &DataFusionError) -> &'static str {
    match root(error) {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "division_by_zero",
            ArrowError::CastError(_) | ArrowError::ParseError(_) => "cast_failed",
            _ => "overflow",
        },
        _ => "overflow",
    }
}

/// The root of the failure, in one line.
pub(crate) fn cause(error: &DataFusionError) -> String {
    let text = match root(error) {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "it is divided by zero".to_owned(),
            other => other.to_string(),
        },
        other => other.strip_backtrace(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// What it comes down to: failures of tasks are shared, and those of kernels are wrapped.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Shared(shared) => root(shared),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::ExternalError(inner) => {
                inner.downcast_ref::<DataFusionError>().map_or(error, root)
            }
            _ => error,
        },
        DataFusionError::External(inner) => {
            inner.downcast_ref::<DataFusionError>().map_or(error, root)
        }
        _ => error,
    }
}

fn internal(error: DataFusionError) -> Error {
    Error::new(ErrorKind::Internal, "a query failed while it ran").with_source(error)
}
