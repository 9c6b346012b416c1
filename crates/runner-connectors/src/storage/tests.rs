use std::io;

use object_store::memory::InMemory;

use super::*;

fn local(folder: &tempfile::TempDir) -> Storage {
    let path = folder.path().join("table");
    Storage::open(path.to_str().unwrap(), &ResolvedSettings::default()).unwrap()
}

fn remote() -> Storage {
    let store = Arc::new(InMemory::new());
    Storage::with_store(
        store,
        Path::from("table"),
        "memory://table".to_owned(),
        false,
    )
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn names(storage: &Storage, folder: &str) -> Vec<String> {
    let entries = storage.list(folder).await.unwrap();
    entries.into_iter().map(|entry| entry.path).collect()
}

#[tokio::test]
async fn files_are_written_listed_read_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    for storage in [local(&folder), remote()] {
        assert_eq!(names(&storage, "").await, Vec::<String>::new());
        assert_eq!(storage.read("a").await.unwrap(), None);
        for name in ["b/c=1/x", "a", "b/y", "bb/z"] {
            storage.write(name, bytes(name)).await.unwrap();
        }
        storage.write("a", bytes("again")).await.unwrap();
        assert_eq!(names(&storage, "").await, ["a", "b/c=1/x", "b/y", "bb/z"]);
        assert_eq!(names(&storage, "b").await, ["b/c=1/x", "b/y"]);
        assert_eq!(storage.size("a").await.unwrap(), Some(5));
        assert_eq!(storage.size("absent").await.unwrap(), None);
        let (content, _) = storage.read("a").await.unwrap().unwrap();
        assert_eq!(content, bytes("again"));
        let child = storage.child("b").unwrap();
        assert_eq!(names(&child, "").await, ["c=1/x", "y"]);
        let gone = ["a".to_owned(), "absent".to_owned(), "b/y".to_owned()];
        storage.delete(&gone).await.unwrap();
        assert_eq!(names(&storage, "").await, ["b/c=1/x", "bb/z"]);
        storage.probe().await.unwrap();
    }
}

#[tokio::test]
async fn a_published_file_has_its_new_name_whatever_the_store_can_do() {
    let folder = tempfile::tempdir().unwrap();
    for (storage, keeps_old) in [(local(&folder), false), (remote(), true)] {
        storage.write("staged/x", bytes("rows")).await.unwrap();
        storage.publish("staged/x", "day=1/x").await.unwrap();
        let (content, _) = storage.read("day=1/x").await.unwrap().unwrap();
        assert_eq!(content, bytes("rows"));
        assert_eq!(storage.size("staged/x").await.unwrap().is_some(), keeps_old);
        let error = storage.publish("absent", "day=1/y").await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
    }
}

#[tokio::test]
async fn only_one_of_two_conditional_writers_gets_through() {
    let folder = tempfile::tempdir().unwrap();
    for storage in [local(&folder), remote()] {
        let written = storage.write_if("mark", bytes("1"), None).await.unwrap();
        assert!(matches!(written, Conditional::Written(_)));
        let taken = storage.write_if("mark", bytes("2"), None).await.unwrap();
        assert_eq!(taken, Conditional::Conflict);
        let (_, version) = storage.read("mark").await.unwrap().unwrap();
        let next = storage
            .write_if("mark", bytes("two"), Some(version.clone()))
            .await
            .unwrap();
        assert!(matches!(next, Conditional::Written(_)));
        let late = storage
            .write_if("mark", bytes("late"), Some(version))
            .await
            .unwrap();
        assert_eq!(late, Conditional::Conflict);
        let (content, version) = storage.read("mark").await.unwrap().unwrap();
        assert_eq!(content, bytes("two"));
        storage.delete(&["mark".to_owned()]).await.unwrap();
        let gone = storage.write_if("mark", bytes("x"), Some(version)).await;
        assert_eq!(gone.unwrap(), Conditional::Conflict);
    }
}

#[tokio::test]
async fn an_upload_is_there_when_it_is_finished_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let piece = bytes(&"0123456789abcdef".repeat(1 << 16));
    for storage in [local(&folder), remote()] {
        for pieces in [0_u64, 1, 20] {
            let name = format!("pieces-{pieces}");
            let mut upload = storage.upload(&name).unwrap();
            let mut whole = Vec::new();
            for _ in 0..pieces {
                upload.write(piece.clone()).await.unwrap();
                whole.extend_from_slice(&piece);
            }
            assert_eq!(storage.size(&name).await.unwrap(), None);
            let digest = upload.finish().await.unwrap();
            let (content, _) = storage.read(&name).await.unwrap().unwrap();
            assert!(content == whole, "{name}");
            assert_eq!(digest.bytes, whole.len() as u64);
            let checksum = xxhash_rust::xxh3::xxh3_128(&whole);
            assert_eq!(digest.checksum, format!("{checksum:032x}"));
        }
        let mut dropped = storage.upload("dropped").unwrap();
        for _ in 0..20 {
            dropped.write(piece.clone()).await.unwrap();
        }
        dropped.abort().await;
        assert_eq!(storage.size("dropped").await.unwrap(), None);
        let listed = names(&storage, "").await;
        assert_eq!(listed, ["pieces-0", "pieces-1", "pieces-20"]);
    }
}

#[tokio::test]
async fn folders_are_found_under_every_way_to_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b").display().to_string();
    let url = url::Url::from_file_path(&path).unwrap();
    for location in [path.as_str(), url.as_str()] {
        let storage = Storage::open(location, &ResolvedSettings::default()).unwrap();
        assert_eq!(storage.location(), path);
        storage.write("x", bytes("x")).await.unwrap();
        assert!(folder.path().join("a b/x").is_file());
    }
}

#[test]
fn locations_that_are_none_are_refused_without_their_credentials() {
    for (location, said) in [
        ("ftp://host/x", "`ftp` is no supported scheme"),
        ("s3:///x", "it names no bucket"),
        (
            "s3://key:hunter2@bucket/x",
            "credentials don't belong into it",
        ),
        ("gs://key:hunter2@bucket/x", "`gs` is no supported scheme"),
        ("file://host/x", "a file URL that names a host"),
    ] {
        let error = Storage::open(location, &ResolvedSettings::default()).unwrap_err();
        let error = error.into_sink();
        assert_eq!(error.kind(), runner_core::ErrorKind::Config, "{location}");
        let text = error.chain();
        assert!(text.contains(said), "{location}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn failures_that_last_are_not_tried_again_and_say_what_to_do() {
    for (kind, help) in [
        (io::ErrorKind::StorageFull, "no space left"),
        (io::ErrorKind::QuotaExceeded, "no space left"),
        (io::ErrorKind::PermissionDenied, "can't be written to"),
        (io::ErrorKind::ReadOnlyFilesystem, "can't be written to"),
        (io::ErrorKind::NotADirectory, "a file stands where"),
    ] {
        let error = StorageError::Failed {
            operation: "write",
            location: "/table/x".to_owned(),
            source: object_store::Error::Generic {
                store: "file system",
                source: Box::new(io::Error::from(kind)),
            },
        };
        let error = error.into_sink();
        assert_eq!(error.message(), "failed to write `/table/x`");
        assert_eq!(error.kind(), runner_core::ErrorKind::Sink);
        assert_eq!(error.retry(), runner_core::Retry::Never, "{kind}");
        assert!(
            error.help().is_some_and(|found| found.contains(help)),
            "{kind}"
        );
    }
}

/// Nobody can make files there, root neither.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_that_cant_be_written_to_is_one_clear_error() {
    let storage = Storage::open("/sys/uis-table", &ResolvedSettings::default()).unwrap();
    let mut upload = storage.upload("part").unwrap();
    let mut outcome = Ok(());
    for _ in 0..4 {
        outcome = upload.write(vec![0; 1 << 20].into()).await;
        if outcome.is_err() {
            break;
        }
    }
    let upload = match outcome {
        Err(error) => error,
        Ok(()) => upload.finish().await.unwrap_err(),
    };
    let write = storage.write("x", bytes("x")).await.unwrap_err();
    for error in [upload, write] {
        let error = error.into_sink();
        assert_eq!(
            error.retry(),
            runner_core::Retry::Never,
            "{}",
            error.chain()
        );
        assert!(
            error
                .help()
                .is_some_and(|help| help.contains("can't be written to")),
            "{}",
            error.chain()
        );
    }
}

#[tokio::test]
async fn a_file_where_a_folder_should_be_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table"), "a file").unwrap();
    let storage = local(&folder);
    let probe = storage.probe().await.unwrap_err();
    let write = storage.write("x", bytes("x")).await.unwrap_err();
    for error in [probe, write] {
        let error = error.into_sink();
        assert_eq!(
            error.retry(),
            runner_core::Retry::Never,
            "{}",
            error.chain()
        );
        assert!(
            error
                .help()
                .is_some_and(|help| help.contains("a file stands where")),
            "{}",
            error.chain()
        );
    }
}
