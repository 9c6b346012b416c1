//! Secrets in a file that only its owner can read: path → key → value, as YAML or JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use runner_core::secret::SecretVersion;
use runner_core::{Error, ErrorKind, Result, Secret, SecretRef, SecretStore};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::missing;

type Bundles = BTreeMap<String, BTreeMap<String, Secret>>;

/// Reads the file at each call: another process may have rotated a secret in it.
pub struct FileSecrets {
    path: PathBuf,
    /// One writer at a time within the process; a lock file keeps other processes out.
    writing: tokio::sync::Mutex<()>,
}

impl FileSecrets {
    /// Refuses a file that others than its owner can read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let store = Self {
            path,
            writing: tokio::sync::Mutex::new(()),
        };
        store.read()?;
        Ok(store)
    }

    fn read(&self) -> Result<Bundles> {
        check_permissions(&self.path)?;
        let text = Zeroizing::new(
            fs::read(&self.path).map_err(|error| self.failed("failed to read", error))?,
        );
        let name = self.path.display().to_string();
        // What a diagnostic of this file says may hold the very line: only the kind of mistake and its place are told.
        let malformed = |diagnostic: &runner_spec::Diagnostic| {
            let line = diagnostic
                .location
                .as_ref()
                .map_or(0, |location| location.line);
            secret_error(format!(
                "failed to understand the secrets file `{name}` (line {line})"
            ))
            .with_help("write `path: {key: value}`, as YAML or JSON")
        };
        let source = runner_spec::Source::from_bytes(&name, &text)
            .map_err(|diagnostic| malformed(&diagnostic))?;
        let value = runner_spec::read_value(&source).map_err(|diagnostics| {
            diagnostics.first().map_or_else(
                || secret_error(format!("the secrets file `{name}` is empty")),
                malformed,
            )
        })?;
        self.bundles(value)
    }

    fn bundles(&self, value: Value) -> Result<Bundles> {
        let shape = || {
            secret_error(format!(
                "the secrets file `{}` is not of the form `path: {{key: value}}`",
                self.path.display()
            ))
        };
        let Value::Object(paths) = value else {
            return Err(shape());
        };
        paths
            .into_iter()
            .map(|(path, keys)| {
                let Value::Object(keys) = keys else {
                    return Err(shape());
                };
                let keys = keys
                    .into_iter()
                    .map(|(key, value)| match value {
                        Value::String(text) => Ok((key, Secret::new(text))),
                        Value::Number(number) => Ok((key, Secret::new(number.to_string()))),
                        _ => Err(shape()),
                    })
                    .collect::<Result<_>>()?;
                Ok((normal(&path).to_owned(), keys))
            })
            .collect()
    }

    fn write(&self, bundles: &Bundles) -> Result<()> {
        let plain: BTreeMap<_, BTreeMap<_, _>> = bundles
            .iter()
            .map(|(path, keys)| {
                (
                    path,
                    keys.iter()
                        .map(|(key, secret)| (key, secret.expose()))
                        .collect(),
                )
            })
            .collect();
        let text = Zeroizing::new(serde_json::to_string_pretty(&plain).map_err(|error| {
            secret_error("failed to write the secrets file".to_owned()).with_source(error)
        })?);
        let temporary = self.path.with_extension("new");
        let written = create_private(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &self.path));
        written.map_err(|error| self.failed("failed to write", error))
    }

    fn failed(&self, tried: &str, error: std::io::Error) -> Error {
        secret_error(format!(
            "{tried} the secrets file `{}`",
            self.path.display()
        ))
        .with_source(error)
    }
}

#[async_trait]
impl SecretStore for FileSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        let mut bundles = self.read()?;
        let looked = format!("the secrets file `{}`", self.path.display());
        let Some(mut keys) = bundles.remove(normal(&reference.path)) else {
            let known: Vec<_> = bundles.keys().map(|path| format!("`{path}`")).collect();
            return Err(missing(
                reference,
                &looked,
                format!("the file has {}", list(&known)),
            ));
        };
        let secret = match &reference.key {
            Some(key) => keys.remove(key),
            None if keys.len() == 1 => keys.pop_first().map(|(_, secret)| secret),
            None => None,
        };
        let Some(secret) = secret.filter(|secret| !secret.expose().is_empty()) else {
            let known: Vec<_> = keys.keys().map(|key| format!("`{key}`")).collect();
            return Err(missing(
                reference,
                &looked,
                format!("that path has the keys {}", list(&known)),
            ));
        };
        let version = version(&secret);
        Ok((secret, version))
    }

    async fn keys(&self, path: &str) -> Result<Vec<String>> {
        let reference = SecretRef {
            path: path.to_owned(),
            key: None,
        };
        let mut bundles = self.read()?;
        bundles
            .remove(normal(path))
            .map(|keys| keys.into_keys().collect())
            .ok_or_else(|| {
                missing(
                    &reference,
                    &format!("the secrets file `{}`", self.path.display()),
                    "add it to the file",
                )
            })
    }

    async fn put(
        &self,
        reference: &SecretRef,
        new: Secret,
        expected: &SecretVersion,
    ) -> Result<SecretVersion> {
        let _one = self.writing.lock().await;
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path.with_extension("lock"))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| self.failed("failed to lock", error))?;
        let (_, current) = self.get(reference).await?;
        if current != *expected {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the secret `{reference}` was changed by another process"),
            ));
        }
        let mut bundles = self.read()?;
        let keys = bundles
            .entry(normal(&reference.path).to_owned())
            .or_default();
        let key = reference
            .key
            .clone()
            .or_else(|| keys.keys().next().cloned())
            .unwrap_or_default();
        let version = version(&new);
        keys.insert(key, new);
        self.write(&bundles)?;
        drop(lock);
        Ok(version)
    }

    fn is_writable(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| !metadata.permissions().readonly())
    }

    async fn probe(&self) -> Result<()> {
        self.read().map(|_| ())
    }
}

impl fmt::Debug for FileSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSecrets")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn secret_error(message: String) -> Error {
    Error::new(ErrorKind::Secret, message)
}

/// `secret/data/x` and `/x/` are written for the same path by different people.
fn normal(path: &str) -> &str {
    path.trim_matches('/')
}

/// The value's own hash: a file keeps no versions.
fn version(secret: &Secret) -> SecretVersion {
    SecretVersion(hex::encode(Sha256::digest(secret.expose().as_bytes())))
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    const OTHERS: u32 = 0o077;
    let metadata = fs::metadata(path).map_err(|error| {
        Error::new(
            ErrorKind::Secret,
            format!("failed to read the secrets file `{}`", path.display()),
        )
        .with_source(error)
    })?;
    if metadata.permissions().mode() & OTHERS != 0 {
        return Err(Error::new(
            ErrorKind::Secret,
            format!(
                "the secrets file `{}` can be read by others than its owner",
                path.display()
            ),
        )
        .with_help(format!("run `chmod 600 {}`", path.display())));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<File> {
    File::create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[tokio::test]
    async fn a_file_that_others_can_read_is_refused() {
        let (_folder, path) = file("a: {k: v}\n", 0o644);
        let error = FileSecrets::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret);
        assert!(
            error.help().unwrap().starts_with("run `chmod 600"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_missing_secret_names_what_is_there_and_no_value() {
        let (_folder, path) = file("market/polygon: {api_key: canary-1234}\n", 0o600);
        let store = FileSecrets::open(&path).unwrap();
        for (reference, help) in [
            ("vault://market/x#k", "`market/polygon`"),
            ("vault://market/polygon#token", "`api_key`"),
        ] {
            let error = store.get(&reference.parse().unwrap()).await.unwrap_err();
            assert!(error.help().unwrap().contains(help), "{error:?}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
        let (secret, _) = store
            .get(&"vault://market/polygon".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(secret.expose(), "canary-1234");
    }

    #[tokio::test]
    async fn a_rotated_secret_is_written_back_unless_another_was_faster() {
        let (_folder, path) = file("{\"app\": {\"refresh_token\": \"one\"}}", 0o600);
        let store = FileSecrets::open(&path).unwrap();
        let reference: SecretRef = "vault://app#refresh_token".parse().unwrap();
        let (_, first) = store.get(&reference).await.unwrap();
        store
            .put(&reference, Secret::new("two"), &first)
            .await
            .unwrap();
        assert_eq!(store.get(&reference).await.unwrap().0.expose(), "two");
        let error = store
            .put(&reference, Secret::new("three"), &first)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[tokio::test]
    async fn a_malformed_file_tells_no_line_of_it() {
        let (_folder, path) = file("a: {k: canary-1234\n", 0o600);
        let error = FileSecrets::open(&path).unwrap_err();
        assert!(!error.chain().contains("canary"), "{error:?}");
    }
}
