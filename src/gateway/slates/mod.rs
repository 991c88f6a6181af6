//! What stands in for a studio that is away: uploads are kept here, and coded when the live picture's shape is known.

mod keeping;
mod slate;
mod upload;

use std::{io, path::Path, sync::Arc};

use pipelines::{confinement::Launcher, inspection::Inspector, slate::Renderer};
use tempfile::TempDir;
use tokio::sync::Semaphore;

pub use slate::{Slate, SlateDescription, SlatePicture};
pub use upload::{UploadError, UploadKind};

/// The most uploads that are received at a time; others wait.
const UPLOADS_LIMIT: usize = 4;

/// What the slates of all broadcasts share. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Slates {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    launcher: Launcher,
    renderer: Renderer,
    inspector: Inspector,
    uploads: Semaphore,
    /// Its children's; gone with it.
    folder: TempDir,
}

impl Slates {
    /// Prepares a private folder for children of this program. None is started before there is work.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("castgate-").tempdir()?;
        let launcher = launcher(&folder)?;
        Ok(Self {
            inner: Arc::new(Inner {
                renderer: Renderer::new(launcher.clone()),
                inspector: Inspector::new(launcher.clone()),
                launcher,
                uploads: Semaphore::new(UPLOADS_LIMIT),
                folder,
            }),
        })
    }

    /// Starts children that use the same folder, for as long as this lives.
    pub fn launcher(&self) -> &Launcher {
        &self.inner.launcher
    }

    /// The private folder, which is there for as long as this lives.
    pub fn folder(&self) -> &Path {
        self.inner.folder.path()
    }

    /// Looks at studios' pictures; there is one for the whole process.
    pub fn inspector(&self) -> &Inspector {
        &self.inner.inspector
    }
}

#[cfg(not(test))]
fn launcher(folder: &TempDir) -> io::Result<Launcher> {
    Launcher::this_program(folder.path())
}

/// The test program is not `media-server`, but it holds the same code.
#[cfg(test)]
fn launcher(folder: &TempDir) -> io::Result<Launcher> {
    let script = "exec \"$0\" --exact slates::tests::child_\"${1%-*}\" --ignored --nocapture 3>&1 >/dev/null";
    let this = std::env::current_exe()?;
    let arguments = ["-c".into(), script.into(), this.into_os_string()];
    Ok(Launcher::new("/bin/sh", folder.path()).with_arguments(arguments))
}

#[cfg(test)]
pub(crate) mod tests;
