//! Handles as files of a directory: one for each broadcast and provider, whole or not there, for nobody else to read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use broadcast::Provider;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::{Handle, HandleStore, HandleStoreError};

/// The longest file that is read, in bytes; a handle of fifty destinations has 10 KB.
const FILE_LIMIT_BYTES: u64 = 256 * 1024;

/// The most files that are read: more are not handles of one node.
const FILES_LIMIT: usize = 10_000;

/// Keeps handles in a directory, which it makes when it is not there.
#[derive(Debug, Clone)]
pub struct DirectoryHandles {
    directory: Arc<Path>,
    next: Arc<AtomicU64>,
}

impl DirectoryHandles {
    /// Uses `directory`, makes it with mode 0700 if it is not there, and clears away what was half written.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, HandleStoreError> {
        let directory: PathBuf = directory.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        for entry in fs::read_dir(&directory)?.take(FILES_LIMIT) {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "half") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self {
            directory: directory.into(),
            next: Arc::default(),
        })
    }

    /// A broadcast and an owner may be named by whatever a provider says, and a file may not.
    fn path(&self, provider: Provider, handle: &Handle) -> PathBuf {
        let mut hasher = Sha256::new();
        for part in [&handle.owner, &handle.broadcast] {
            hasher.update(part.len().to_be_bytes());
            hasher.update(part);
        }
        let hash = hasher.finalize();
        let number = hash[..16]
            .iter()
            .fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        let name = format!("{number:032x}");
        self.directory.join(format!("{provider}-{name}.json"))
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let number = self.next.fetch_add(1, Relaxed);
        let half = path.with_extension(format!("{number}.half"));
        let written = write_whole(&half, text).and_then(|()| fs::rename(&half, path));
        if written.is_err() {
            // What is left of it is cleared away at the next start, if it cannot be now.
            let _ = fs::remove_file(&half);
        }
        written?;
        // The new name is safe only with the directory.
        File::open(&self.directory)?.sync_all()
    }

    fn read(&self, provider: Provider) -> io::Result<Vec<Handle>> {
        let beginning = format!("{provider}-");
        let mut handles = Vec::new();
        for entry in fs::read_dir(&self.directory)?.take(FILES_LIMIT) {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with(&beginning) || !name.ends_with(".json") {
                continue;
            }
            match read_one(&path) {
                Ok(handle) => handles.push(handle),
                // The reaper finds by its name what was made there.
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "a handle cannot be read");
                }
            }
        }
        Ok(handles)
    }
}

fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn read_one(path: &Path) -> io::Result<Handle> {
    let mut text = Vec::new();
    File::open(path)?
        .take(FILE_LIMIT_BYTES)
        .read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[async_trait]
impl HandleStore for DirectoryHandles {
    async fn put(&self, provider: Provider, handle: &Handle) -> Result<(), HandleStoreError> {
        let path = self.path(provider, handle);
        let text = serde_json::to_vec_pretty(handle).map_err(io::Error::from)?;
        let store = self.clone();
        let written = spawn_blocking(move || store.write(&path, &text)).await;
        Ok(written.map_err(io::Error::from)??)
    }

    async fn remove(&self, provider: Provider, handle: &Handle) -> Result<(), HandleStoreError> {
        let path = self.path(provider, handle);
        let removed = spawn_blocking(move || fs::remove_file(path)).await;
        match removed.map_err(io::Error::from)? {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn list(&self, provider: Provider) -> Result<Vec<Handle>, HandleStoreError> {
        let store = self.clone();
        let handles = spawn_blocking(move || store.read(provider)).await;
        Ok(handles.map_err(io::Error::from)??)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    fn handle(broadcast: &str, room: &str) -> Handle {
        Handle {
            broadcast: broadcast.to_owned(),
            owner: "node1".to_owned(),
            remote: json!({ "room": room }),
        }
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn a_handle_is_there_after_a_restart_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/handles");
        let store = DirectoryHandles::open(&path).unwrap();
        store.put(Provider::Mux, &handle("a", "1")).await.unwrap();
        store.put(Provider::Mux, &handle("a", "2")).await.unwrap();
        store.put(Provider::Daily, &handle("a", "3")).await.unwrap();

        let next = DirectoryHandles::open(&path).unwrap();

        let of_mux = next.list(Provider::Mux).await.unwrap();
        assert_eq!(of_mux, [handle("a", "2")]);
        next.remove(Provider::Mux, &handle("a", "")).await.unwrap();
        next.remove(Provider::Mux, &handle("a", "")).await.unwrap();
        assert_eq!(next.list(Provider::Mux).await.unwrap(), []);
        assert_eq!(next.list(Provider::Daily).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn handles_are_for_nobody_else_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handles");
        let store = DirectoryHandles::open(&path).unwrap();

        store.put(Provider::Mux, &handle("a", "1")).await.unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&files(&path)[0]), 0o600);
    }

    #[tokio::test]
    async fn a_hostile_name_stays_in_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handles");
        let store = DirectoryHandles::open(&path).unwrap();
        let hostile = handle("../../etc/passwd\0", "1");

        store.put(Provider::Mux, &hostile).await.unwrap();

        assert_eq!(store.list(Provider::Mux).await.unwrap(), [hostile]);
        assert_eq!(files(&path).len(), 1);
        assert_eq!(files(directory.path()), [path]);
    }

    #[tokio::test]
    async fn what_was_half_written_or_broken_does_not_hide_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryHandles::open(directory.path()).unwrap();
        store.put(Provider::Mux, &handle("a", "1")).await.unwrap();
        fs::write(directory.path().join("mux-00.json"), b"{\"owner\":").unwrap();
        fs::write(directory.path().join("mux-01.7.half"), b"{").unwrap();

        let next = DirectoryHandles::open(directory.path()).unwrap();

        assert_eq!(next.list(Provider::Mux).await.unwrap(), [handle("a", "1")]);
        assert_eq!(files(directory.path()).len(), 2);
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_written_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();

        assert!(DirectoryHandles::open(&file).is_err());
    }
}
