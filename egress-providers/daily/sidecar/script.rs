//! The sidecar's program, written where Python finds it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const SOURCE: &str = include_str!("sidecar.py");

/// The program as a file.
#[derive(Debug)]
pub(super) struct Script(PathBuf);

impl Script {
    /// Writes it into a folder; another one of the same name is replaced at once.
    pub(super) fn write(folder: &Path) -> io::Result<Self> {
        let path = folder.join("daily-sidecar.py");
        let fresh = folder.join("daily-sidecar.py.new");
        fs::write(&fresh, SOURCE)?;
        fs::rename(&fresh, &path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}
