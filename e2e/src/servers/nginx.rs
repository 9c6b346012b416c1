//! nginx: static files, quick enough that the server isn't what a benchmark measures, and given to whom and as often as it is told to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{Answered, answered, answers};
use crate::{
    free_port,
    process::{Process, Signal},
    provision::program,
};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    /// Serves the files below `root`.
    pub fn start(component: &Path, root: &Path) -> Result<Self> {
        Self::serve(component, |_, port| {
            format!(
                "  access_log off;\n  server {{\n    listen 127.0.0.1:{port};\n    root {};\n  }}\n",
                root.display()
            )
        })
    }

    /// Serves by directives of the block `http`, for the port that they are given, and remembers who asked.
    pub fn configured(component: &Path, directives: impl FnOnce(u16) -> String) -> Result<Self> {
        Self::serve(component, |folder, port| {
            format!(
                "  log_format asked '\"$request\" $status';\n  access_log {} asked;\n{}",
                access_log(folder).display(),
                directives(port)
            )
        })
    }

    fn serve(component: &Path, directives: impl FnOnce(&Path, u16) -> String) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        let configuration = folder.path().join("nginx.conf");
        let directives = directives(folder.path(), port);
        fs::write(&configuration, configuration_of(folder.path(), &directives))?;
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

    /// Every request that was answered, where the server remembers them.
    pub fn answered(&self) -> Result<Vec<Answered>> {
        let log = fs::read_to_string(access_log(self.process.folder()))?;
        Ok(answered(&log))
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// One process in the foreground, so that the pid we hold is all there is to stop.
fn configuration_of(folder: &Path, directives: &str) -> String {
    let temporary: Vec<String> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n{}  \
         sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000;\n  types {{ application/json json; text/csv csv; }}\n\
         {directives}}}\n",
        temporary.concat(),
        folder = folder.display(),
    )
}

fn access_log(folder: &Path) -> PathBuf {
    folder.join("access.log")
}
