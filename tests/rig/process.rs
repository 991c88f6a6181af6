//! Programs under test and beside it, with all they say in a file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How much of a program's last words is shown with a failed test.
const TAIL_LINES: usize = 60;

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with standard output and error going to `log`.
    pub fn spawn(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start of {name}"))?;
        Ok(Self { name, child, log })
    }

    /// All it has said.
    pub fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Its number.
    pub fn id(&self) -> Result<u32> {
        self.child
            .id()
            .with_context(|| format!("{} has ended", self.name))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The programs that it has started and that have not ended, with their command lines.
    pub fn children(&self) -> Result<Vec<ChildProcess>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()?))?;
        let mut children = Vec::new();
        for task in tasks.flatten() {
            // A thread may end meanwhile, and so may a child.
            let started = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for id in started.split_whitespace() {
                if let (Ok(number), Ok(command)) =
                    (id.parse(), fs::read(format!("/proc/{id}/cmdline")))
                {
                    let words = command.split(|byte| *byte == 0);
                    let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
                    children.push(ChildProcess {
                        id: Pid::from_raw(number),
                        command: words.collect::<Vec<_>>().join(" "),
                    });
                }
            }
        }
        Ok(children)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id()?)?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let waited = timeout(limit, self.child.wait()).await;
        Ok(waited.with_context(|| format!("{} did not end within {limit:?}", self.name))??)
    }

    /// Kills it and waits for its end.
    pub async fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("end of {}", self.name))
    }

    /// What the system tells of it: `cmdline`, `environ`, `status`.
    pub fn proc_file(&self, file: &str) -> Result<Vec<u8>> {
        Ok(fs::read(
            Path::new("/proc").join(self.id()?.to_string()).join(file),
        )?)
    }
}

/// A program that a program under test has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildProcess {
    id: Pid,
    /// Its program and arguments, with blanks between.
    pub command: String,
}

impl ChildProcess {
    /// The time of the processors that it has used, in ticks of the system.
    pub fn processor_ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name, in parentheses, may hold blanks; user and system time are the twelfth and thirteenth word behind it.
        let words = stat.rsplit_once(')').context("no name")?.1;
        let ticks = words.split_whitespace().skip(11).take(2);
        Ok(ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?)
    }

    /// Sends it a signal. One that has ended already is an error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.id, signal).with_context(|| format!("{signal} to {}", self.command))
    }
}

impl Drop for Process {
    /// Shows its last words, which the test runner keeps for itself unless the test fails.
    #[expect(clippy::print_stdout, reason = "the test runner captures it")]
    fn drop(&mut self) {
        let Ok(output) = self.output() else { return };
        let lines: Vec<_> = output.lines().collect();
        println!("--- {}: {}", self.name, self.log.display());
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            println!("{line}");
        }
    }
}
