//! The parent's side: starts this program again in another role, with nothing inherited that it does not need.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

/// Lowers the priority of what it starts, so that decoding never starves the media workers.
const NICE: &str = "/usr/bin/nice";

/// How urgent a child's work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Viewers wait for each picture; only the media workers come before.
    Live,
    /// It may take its time.
    Background,
}

impl Priority {
    /// How far the priority is lowered; 19 would stand still on a busy machine.
    const fn niceness(self) -> &'static str {
        match self {
            Self::Live => "5",
            Self::Background => "15",
        }
    }
}

/// How children are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
}

impl Launcher {
    /// Starts `program`, which must run the child's body when its only argument is the name of a role.
    ///
    /// `folder` is private to this process and outlives its children: they keep `GStreamer`'s list of plugins there,
    /// which takes half a second of work to make and 30 ms to read.
    pub fn new(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            folder: folder.into(),
        }
    }

    /// Starts the program that runs, also after its file has been replaced.
    pub fn this_program(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        let program = if running.exists() {
            running
        } else {
            std::env::current_exe()?
        };
        Ok(Self::new(program, folder))
    }

    /// Puts arguments in front of the role.
    #[must_use]
    pub fn with_arguments<A: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Starts a child, which dies when the answer is dropped. What it says to standard error may show what users
    /// uploaded, so nobody hears it.
    pub(crate) fn start(&self, role: &str) -> io::Result<Child> {
        self.command(role, Priority::Background)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    }

    /// Starts a child that talks with this process over its standard input, in both directions; the answer's socket waits
    /// for nothing. Standard output goes nowhere, so that nothing is mixed with what the child says.
    pub(crate) fn start_on_socket(
        &self,
        role: &str,
        priority: Priority,
    ) -> io::Result<(Child, UnixStream)> {
        self.start_with_output(role, priority, Stdio::null())
    }

    /// The same, but what the child says to standard output goes to `output`.
    pub(crate) fn start_with_output(
        &self,
        role: &str,
        priority: Priority,
        output: impl Into<Stdio>,
    ) -> io::Result<(Child, UnixStream)> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let child = self
            .command(role, priority)?
            .stdin(OwnedFd::from(far))
            .stdout(output)
            .spawn()?;
        Ok((child, near))
    }

    fn command(&self, role: &str, priority: Priority) -> io::Result<Command> {
        let empty = self.folder.join("empty");
        std::fs::create_dir_all(&empty)?;
        let mut command = if Path::new(NICE).exists() {
            let mut command = Command::new(NICE);
            command
                .arg("-n")
                .arg(priority.niceness())
                .arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        command
            .args(&self.arguments)
            .arg(role)
            .env_clear()
            .env("GST_REGISTRY", self.folder.join("registry.bin"))
            .env("GST_DEBUG", "0")
            .env("XDG_CACHE_HOME", &self.folder)
            .env("HOME", &self.folder)
            .env("LANG", "C.UTF-8")
            // Each arena of the allocator takes 64 MB of the address space, which is limited.
            .env("MALLOC_ARENA_MAX", "2")
            .current_dir(empty)
            .stderr(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}
