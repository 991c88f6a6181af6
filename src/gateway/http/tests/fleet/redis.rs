//! A Redis server on loopback for as long as a test needs it.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use tokio::net::TcpStream;

use super::{address, until};

/// The next port for a test of this process, in steps that leave room for its nodes.
static NEXT_PORT: AtomicU16 = AtomicU16::new(6400);

pub(super) struct Redis {
    pub(super) url: String,
    pub(super) port: u16,
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
        let host = address();
        let port = NEXT_PORT.fetch_add(10, Ordering::Relaxed);
        let server = Self {
            url: format!("redis://{host}:{port}"),
            port,
            process: launch(&host, port),
            host: host.clone(),
        };
        until("redis-server answers", async || {
            TcpStream::connect((host.as_str(), port)).await.is_ok()
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
        self.process = launch(&self.host, self.port);
    }

    pub(super) fn flush(&self) {
        let done = Command::new("redis-cli")
            .args(["-h", &self.host, "-p", &self.port.to_string(), "FLUSHALL"])
            .output()
            .unwrap();
        assert!(done.status.success());
    }
}

fn launch(host: &str, port: u16) -> Child {
    let port = port.to_string();
    Command::new("redis-server")
        .args([
            "--bind",
            host,
            "--port",
            &port,
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
