//! A folder of one test's own.

use std::{io, path::Path};

/// A temporary folder that goes when it is dropped.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// Makes the folder.
    pub fn new() -> io::Result<Self> {
        tempfile::Builder::new()
            .prefix("castgate-")
            .tempdir()
            .map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
