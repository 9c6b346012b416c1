//! nginx: static files, quick enough that the server isn't what a benchmark measures.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use super::answers;
use crate::{
    free_port,
    process::{Process, Signal},
    provision::program,
};

/// A running nginx that serves a folder.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    /// Serves the files below `root`.
    pub fn start(component: &Path, root: &Path) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        let configuration = folder.path().join("nginx.conf");
        fs::write(&configuration, configuration_for(folder.path(), root, port))?;
        let mut command = Command::new(program(component, "nginx")?);
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-c")
            .arg(&configuration);
        let mut process = Process::start("nginx", &mut command, folder, Signal::Terminate)?;
        process.wait_until(|_| answers(port, "/"))?;
        Ok(Self { process, port })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// One process in the foreground, so that the pid we hold is all there is to stop.
fn configuration_for(folder: &Path, root: &Path, port: u16) -> String {
    let temporary: Vec<String> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n{}  access_log off;\n  \
         sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000;\n  types {{ application/json json; text/csv csv; }}\n  \
         server {{\n    listen 127.0.0.1:{port};\n    root {root};\n  }}\n}}\n",
        temporary.concat(),
        folder = folder.display(),
        root = root.display(),
    )
}
