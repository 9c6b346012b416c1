//! A folder on a file system of its own that fills up, and grows later.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::Invocation;

/// What the shell does in a mount namespace of its own, whose mounts end with it: `$1` is the folder, `$2` where copies go, the rest
/// a command that is run on the small disk and then on the large one.
const SCRIPT: &str = "folder=$1; copies=$2; shift 2
mount -t tmpfs -o size=400k tmpfs \"$folder\" || exit 99
\"$@\" > \"$copies/small.json\" 2> \"$copies/small.txt\"; echo $? > \"$copies/small.code\"
cp -r \"$folder\" \"$copies/small\"
mount -o remount,size=100m \"$folder\" || exit 99
\"$@\" > \"$copies/large.json\" 2> \"$copies/large.txt\"; echo $? > \"$copies/large.code\"
cp -r \"$folder\" \"$copies/large\"";

/// How a command ended, and the folder as it left it.
#[derive(Debug)]
pub struct Attempt {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub folder: PathBuf,
}

/// Runs a command twice while `folder` lies on a small disk: first it fills up at 400 KB, then there is room. `copies` gets what is in the
/// folder after each. `None` where this kernel lets nobody mount.
pub fn on_small_disk(
    command: &Invocation,
    folder: &Path,
    copies: &Path,
) -> Result<Option<[Attempt; 2]>> {
    // A machine without the program is one without the right, too.
    if !unshared(&["true"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Ok(None);
    }
    fs::create_dir_all(folder)?;
    fs::create_dir_all(copies)?;
    let command = command.command();
    let mut shell: Vec<OsString> = ["sh", "-c", SCRIPT, "sh"].map(Into::into).to_vec();
    shell.extend([folder.as_os_str().to_owned(), copies.as_os_str().to_owned()]);
    shell.push(command.get_program().to_owned());
    shell.extend(command.get_args().map(Into::into));
    let mut shell = unshared(&shell);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell.output().context("failed to start a shell")?;
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let attempt = |name: &str| -> Result<Attempt> {
        let read = |ending: &str| {
            let file = copies.join(format!("{name}.{ending}"));
            fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))
        };
        Ok(Attempt {
            code: read("code")?.trim().parse()?,
            stdout: read("json")?,
            stderr: read("txt")?,
            folder: copies.join(name),
        })
    };
    Ok(Some([attempt("small")?, attempt("large")?]))
}

fn unshared<S: AsRef<OsStr>>(command: &[S]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount"]).args(command);
    unshare
}
