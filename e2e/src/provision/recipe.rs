//! How a component gets into its folder: by a registry's own client, never by a download of ours.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{Cache, Component};

/// A file that a recipe puts into the component's folder.
#[derive(Debug)]
pub(super) struct NamedFile {
    pub name: &'static str,
    pub content: &'static str,
}

#[derive(Debug)]
pub(super) enum Recipe {
    /// A virtual environment with exactly these packages.
    Pip { requirements: &'static str },
    /// The same with jars of Maven's repository in its folder `jars`.
    PipAndJars {
        requirements: &'static str,
        artifacts: &'static [&'static str],
    },
    /// A folder with a package lock, and scripts beside the modules that they import.
    Npm { files: &'static [NamedFile] },
    /// A program built from its crate, by the lock file that it was published with.
    Cargo {
        package: &'static str,
        version: &'static str,
        features: &'static str,
    },
    /// PostgreSQL's programs, of this machine if it has any.
    Postgres { artifact: &'static str },
    /// What a Python script makes of another component.
    Script {
        runs_in: &'static Component,
        script: &'static str,
    },
}

impl Recipe {
    /// All that decides what the folder will hold.
    pub(super) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    /// The folder of a component that needs no installation here.
    pub(super) fn already_on_this_machine(&self) -> Option<PathBuf> {
        match self {
            Self::Postgres { .. } => postgres_programs(),
            Self::Pip { .. }
            | Self::PipAndJars { .. }
            | Self::Npm { .. }
            | Self::Cargo { .. }
            | Self::Script { .. } => None,
        }
    }

    pub(super) fn install(&self, cache: &Cache, folder: &Path) -> Result<()> {
        match self {
            Self::Pip { requirements } => install_with_pip(folder, requirements),
            Self::PipAndJars {
                requirements,
                artifacts,
            } => {
                install_with_pip(folder, requirements)?;
                let jars = folder.join("jars");
                fs::create_dir(&jars)?;
                artifacts
                    .iter()
                    .try_for_each(|artifact| copy_with_maven(&jars, artifact))
            }
            Self::Npm { files } => install_with_npm(folder, files),
            Self::Cargo {
                package,
                version,
                features,
            } => install_with_cargo(folder, package, version, features),
            Self::Postgres { artifact } => install_postgres(folder, artifact),
            Self::Script { runs_in, script } => {
                let environment = cache.install(runs_in)?;
                let program = folder.join("make.py");
                fs::write(&program, script)?;
                run(Command::new(environment.join("bin/python"))
                    .arg(program)
                    .arg(folder))
            }
        }
    }
}

fn install_with_pip(folder: &Path, requirements: &str) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let list = folder.join("requirements.txt");
    fs::write(&list, requirements)?;
    // The lists are frozen: whatever a package asks for is already in them.
    run(Command::new(folder.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "-r",
        ])
        .arg(list))
}

fn install_with_npm(folder: &Path, files: &[NamedFile]) -> Result<()> {
    for file in files {
        fs::write(folder.join(file.name), file.content)?;
    }
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder))
}

fn install_with_cargo(folder: &Path, package: &str, version: &str, features: &str) -> Result<()> {
    let build = tempfile::tempdir()?;
    run(Command::new("cargo")
        .args([
            "install",
            package,
            "--version",
            version,
            "--locked",
            "--ignore-rust-version",
            "--no-default-features",
        ])
        .args(["--features", features, "--root"])
        .arg(folder)
        .arg("--target-dir")
        .arg(build.path())
        // Outside the workspace, so that its settings don't apply to a stranger's crate.
        .current_dir(build.path()))
}

fn copy_with_maven(folder: &Path, artifact: &str) -> Result<()> {
    run(Command::new("mvn")
        .args([
            "--batch-mode",
            "--quiet",
            "dependency:copy",
            "-Dmdep.useBaseVersion=true",
        ])
        .arg(format!("-Dartifact={artifact}"))
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .current_dir(folder))
}

fn install_postgres(folder: &Path, artifact: &str) -> Result<()> {
    copy_with_maven(folder, artifact)?;
    let unpack = "import glob, tarfile, zipfile\n\
        jar = zipfile.ZipFile(glob.glob('*.jar')[0])\n\
        inner = [name for name in jar.namelist() if name.endswith('.txz')][0]\n\
        tarfile.open(fileobj=jar.open(inner), mode='r:xz').extractall('.')\n";
    run(Command::new("python3")
        .args(["-c", unpack])
        .current_dir(folder))
}

/// The folder above `bin/postgres` and `bin/initdb`, wherever a distribution puts them.
fn postgres_programs() -> Option<PathBuf> {
    let on_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let of_debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    on_path.chain(of_debian).find_map(|folder| {
        // A link on the PATH points into the real folder, where all the programs are.
        let server = folder.join("postgres").canonicalize().ok()?;
        let programs = server.parent()?;
        programs
            .join("initdb")
            .is_file()
            .then(|| programs.parent().map(Path::to_owned))?
    })
}

/// Runs a command to its end; what it printed is part of the error.
fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
