//! A Redis server on loopback for as long as a test needs it.

use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::{address, until};

pub(super) struct Redis {
    pub(super) url: String,
    process: Child,
    host: String,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Redis {
    pub(super) async fn start() -> Self {
        let host = address(3);
        let server = Self {
            url: format!("redis://{host}:6379"),
            process: launch(&host),
            host: host.clone(),
        };
        until("redis-server answers", async || {
            TcpStream::connect((host.as_str(), 6379)).await.is_ok()
        })
        .await;
        server
    }

    pub(super) fn kill(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// Another one at its address, which knows nothing.
    pub(super) fn begin_anew(&mut self) {
        self.process = launch(&self.host);
    }

    pub(super) fn flush(&self) {
        let done = Command::new("redis-cli")
            .args(["-h", &self.host, "FLUSHALL"])
            .output()
            .unwrap();
        assert!(done.status.success());
    }
}

fn launch(host: &str) -> Child {
    Command::new("redis-server")
        .args([
            "--bind",
            host,
            "--port",
            "6379",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server, as scripts/setup installs it")
}
