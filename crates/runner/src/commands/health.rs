//! `health`: whether the components work, as JSON.

use runner_core::{Clock as _, Result, SystemClock};
use serde_json::{Map, Value, json};

use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::{Terminal, failure};
use crate::wiring::{self, Store};

pub(crate) async fn health(settings: &Settings, terminal: Terminal) -> Result<u8> {
    let mut components = Map::new();
    let mut is_healthy = true;
    let mut add = |name: &str, checked: Result<Value>| {
        let component = checked.unwrap_or_else(|error| {
            is_healthy = false;
            json!({ "status": "unhealthy", "error": failure(&error)["error"] })
        });
        components.insert(name.to_owned(), component);
    };
    add("store", store(settings).await);
    add("secrets", secrets(settings).await);
    add(
        "engine_embedded",
        Ok(json!({ "status": "healthy", "version": env!("CARGO_PKG_VERSION") })),
    );
    let now = SystemClock::new().now();
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since the epoch are far below 2^53"
    )]
    let seconds = now.timestamp() as f64 + f64::from(now.timestamp_subsec_millis()) / 1000.0;
    terminal.print_json(&json!({
        "status": if is_healthy { "healthy" } else { "unhealthy" },
        "runner_id": settings.runner_id,
        "tenant_id": settings.tenant_id,
        "timestamp": seconds,
        "components": components,
    }))?;
    Ok(if is_healthy {
        exit_code::SUCCESS
    } else {
        exit_code::of(runner_core::ErrorKind::Config)
    })
}

async fn store(settings: &Settings) -> Result<Value> {
    let store = Store::open(settings).await?;
    store.jobs().probe().await?;
    Ok(json!({ "status": "healthy", "type": "sqlite" }))
}

async fn secrets(settings: &Settings) -> Result<Value> {
    let secrets = wiring::secrets(settings)?;
    secrets.probe().await?;
    Ok(json!({ "status": "healthy", "writable": secrets.is_writable() }))
}
