//! Metadata files of tables whose catalog leaves writing them to us.

use std::str::FromStr as _;

use iceberg::MetadataLocation;
use iceberg::spec::TableMetadata;
use uuid::Uuid;

use super::error::{IcebergError, Result};
use super::files::TableFiles;

/// Set by the table's owner, or by us where we create it: old metadata files go when they fall out of the log.
pub(super) const DELETE_AFTER_COMMIT: &str = "write.metadata.delete-after-commit.enabled";

/// Most that one commit deletes: a table that comes to us with a long log isn't held up by it.
const DELETED_AT_ONCE: usize = 200;

pub(super) async fn read(files: &TableFiles, location: &str) -> Result<TableMetadata> {
    TableMetadata::read_from(&files.file_io(), location)
        .await
        .map_err(IcebergError::metadata(format!(
            "read the table's metadata `{location}`"
        )))
}

/// Writes the metadata under a name that nothing else has, after the version that `previous` names.
pub(super) async fn write(
    files: &TableFiles,
    metadata: &TableMetadata,
    previous: Option<&str>,
) -> Result<String> {
    let version = previous.map_or(0, |location| version(location) + 1);
    let name = format!(
        "{}/metadata/{version:05}-{}.metadata.json",
        metadata.location(),
        Uuid::new_v4()
    );
    let doing = || IcebergError::metadata(format!("write the table's metadata `{name}`"));
    let location = MetadataLocation::from_str(&name)
        .map_err(doing())?
        .with_new_metadata(metadata);
    metadata
        .write_to(&files.file_io(), &location)
        .await
        .map_err(doing())?;
    Ok(location.to_string())
}

/// Deletes what has fallen out of the log, where the table says so. What can't be deleted is left: nothing refers to it.
pub(super) async fn delete_expired(
    files: &TableFiles,
    metadata: &TableMetadata,
    expired: &[String],
) {
    let is_enabled = metadata
        .properties()
        .get(DELETE_AFTER_COMMIT)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !is_enabled {
        return;
    }
    for location in expired.iter().take(DELETED_AT_ONCE) {
        if let Err(error) = files.delete(location).await {
            tracing::warn!(location, %error, "an old metadata file of the table could not be deleted");
        }
    }
}

/// `00012-uuid.metadata.json` is 12, and so is Hadoop's `v12.metadata.json`.
fn version(location: &str) -> u32 {
    let name = location.rsplit('/').next().unwrap_or(location);
    let digits: String = name
        .strip_prefix('v')
        .unwrap_or(name)
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_of_foreign_names_are_read() {
        for (name, expected) in [
            ("file:///t/metadata/00012-5f3a.metadata.json", 12),
            ("s3://b/t/metadata/v7.metadata.json", 7),
            ("s3://b/t/metadata/v7.gz.metadata.json", 7),
            ("s3://b/t/metadata/other.metadata.json", 0),
        ] {
            assert_eq!(version(name), expected, "{name}");
        }
    }
}
