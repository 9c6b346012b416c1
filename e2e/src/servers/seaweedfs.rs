//! SeaweedFS: S3 and an Iceberg REST catalog, both with SigV4, in one process.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::answers;
use crate::{
    free_ports, http,
    ports::free_port_with_companion,
    process::{Process, Signal},
};

/// The access key that the server was started with.
pub const ACCESS_KEY: &str = "admin";
/// The secret that belongs to it.
pub const SECRET_KEY: &str = "secret12345";
/// A bucket for objects.
pub const BUCKET: &str = "data1";
/// The bucket of the Iceberg catalog's tables; the warehouse is `s3://wh1/`.
pub const TABLE_BUCKET: &str = "wh1";

/// The worker inside the server dials this much above the admin port, whatever it is told.
const ADMIN_RPC_DISTANCE: u16 = 10_000;

/// A running SeaweedFS.
#[derive(Debug)]
pub struct SeaweedFs {
    process: Process,
    s3_port: u16,
    catalog_port: u16,
}

impl SeaweedFs {
    pub fn start(component: &Path) -> Result<Self> {
        let ports = free_ports(10)?;
        let admin_port = free_port_with_companion(ADMIN_RPC_DISTANCE)?;
        let (s3_port, catalog_port) = (ports[0], ports[1]);
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(component.join("bin/weed"));
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        // Without `-ip` it would listen on every address and advertise the machine's own.
        command
            .args(["mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-dir={}", folder.path().display()));
        let flags = [
            "s3.port",
            "s3.port.iceberg",
            "s3.port.grpc",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "webdav.port",
        ];
        command.args(
            flags
                .iter()
                .zip(&ports)
                .map(|(flag, port)| format!("-{flag}={port}")),
        );
        command
            .arg(format!("-admin.port={admin_port}"))
            .arg("-s3.port.lance=0");
        command.args([
            format!("-bucket={BUCKET}"),
            format!("-tableBucket={TABLE_BUCKET}"),
        ]);
        let mut process = Process::start("seaweedfs", &mut command, folder, Signal::Terminate)?;
        // An anonymous request is refused once the gateway knows its identities.
        let refused = |port| {
            http::request("GET", port, "/", &[], b"").is_ok_and(|response| response.status == 403)
        };
        process.wait_until(|_| refused(s3_port) && answers(catalog_port, "/v1/config"))?;
        Ok(Self {
            process,
            s3_port,
            catalog_port,
        })
    }

    /// The S3 endpoint.
    pub fn s3_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3_port)
    }

    /// The Iceberg REST catalog.
    pub fn catalog_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.catalog_port)
    }

    pub fn s3_port(&self) -> u16 {
        self.s3_port
    }

    pub fn catalog_port(&self) -> u16 {
        self.catalog_port
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}
