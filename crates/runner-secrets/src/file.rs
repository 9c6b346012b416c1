//! Secrets in a file that only its owner can read: path → key → value, as YAML or JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
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
        // A link stays one when the file behind it is written anew.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let store = Self {
            path,
            writing: tokio::sync::Mutex::new(()),
        };
        store.read()?;
        Ok(store)
    }

    fn read(&self) -> Result<Bundles> {
        let mut file =
            File::open(&self.path).map_err(|error| self.failed("failed to read", error))?;
        check_permissions(&self.path, &file)?;
        let mut text = Zeroizing::new(Vec::new());
        file.read_to_end(&mut text)
            .map_err(|error| self.failed("failed to read", error))?;
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
                        // `0123` and `1.10` read as numbers are others than what stands there.
                        Value::Number(_) | Value::Bool(_) => Err(secret_error(format!(
                            "the secret `{path}#{key}` in the secrets file `{}` is not a string",
                            self.path.display()
                        ))
                        .with_help("write its value in quotes")),
                        Value::Null | Value::Array(_) | Value::Object(_) => Err(shape()),
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
        let temporary = self.beside("new");
        let written = create_private(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &self.path))
            .and_then(|()| sync_folder(&self.path));
        written.map_err(|error| self.failed("failed to write", error))
    }

    /// A file of this store's own in the same folder; the name keeps the file's, since `a.yaml` and `a.json` may stand side by side.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(suffix);
        self.path.with_file_name(name)
    }

    fn lock_file(&self) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.beside("lock"))
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
        let lock = self
            .lock_file()
            .map_err(|error| self.failed("failed to lock", error))?;
        // Another process may hold it: waiting must not hold up this one's other work.
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
            .await
            .map_err(std::io::Error::other)
            .and_then(|locked| locked)
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
        // It is written beside itself and renamed, so that its folder has to let that happen: only trying tells.
        fs::metadata(&self.path).is_ok_and(|metadata| !metadata.permissions().readonly())
            && self.lock_file().is_ok()
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

/// Asks the open file and not its path, which could be another's by then.
#[cfg(unix)]
fn check_permissions(path: &Path, file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    const OTHERS: u32 = 0o077;
    let metadata = file.metadata().map_err(|error| {
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
fn check_permissions(_path: &Path, _file: &File) -> Result<()> {
    Ok(())
}

/// A new file; what a writer that died left there had modes of its own.
fn create_private(path: &Path) -> std::io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// A rotated token may be used only when the new one can't be lost any more.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
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

    #[tokio::test]
    async fn a_value_without_quotes_is_not_guessed_at() {
        for value in ["0123", "1.10", "12345", "true"] {
            let (_folder, path) = file(&format!("a: {{k: {value}}}\n"), 0o600);
            let error = FileSecrets::open(&path).unwrap_err();
            assert!(error.message().contains("`a#k`"), "{error}");
            assert!(!format!("{error:?}").contains(value), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_link_stays_one_when_a_secret_is_rotated() {
        let (folder, path) = file("a: {k: one}\n", 0o600);
        let link = folder.path().join("link.yaml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let store = FileSecrets::open(&link).unwrap();
        let reference: SecretRef = "vault://a#k".parse().unwrap();
        let (_, version) = store.get(&reference).await.unwrap();
        store
            .put(&reference, Secret::new("two"), &version)
            .await
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let (secret, _) = FileSecrets::open(&path)
            .unwrap()
            .get(&reference)
            .await
            .unwrap();
        assert_eq!(secret.expose(), "two");
    }
}
