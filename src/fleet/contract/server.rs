//! Real Redis servers on loopback, for as long as a test needs them.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::sleep;

/// Nobody waits longer for a server.
const START_LIMIT: Duration = Duration::from_mins(1);

pub(super) struct Server {
    process: Child,
    arguments: Vec<String>,
    port: u16,
    url: String,
    directory: TempDir,
}

/// A master, a replica of it, and a sentinel that knows both.
pub(super) struct Sentinels {
    pub(super) master: Server,
    pub(super) sentinel: Server,
    replica: Server,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(super) async fn start(more: &[&str]) -> Self {
        let port = free_port();
        let url = format!("redis://127.0.0.1:{port}");
        Self::launch(port, url, more).await
    }

    /// A cluster of one node, which has all slots and refuses steps that touch two of them.
    pub(super) async fn cluster() -> Self {
        let port = free_port();
        let url = format!("redis+cluster://127.0.0.1:{port}");
        let bus = free_port().to_string();
        let more = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let server = Self::launch(port, url, &more).await;
        server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        server.until("CLUSTER INFO", "cluster_state:ok").await;
        server
    }

    pub(super) async fn with_sentinel() -> Sentinels {
        let master = Self::start(&[]).await;
        let follow = format!("127.0.0.1 {}", master.port);
        let replica = Self::start(&["--replicaof", &follow]).await;
        replica
            .until("INFO replication", "master_link_status:up")
            .await;
        let port = free_port();
        let url = format!("redis+sentinel://127.0.0.1:{port}/shows");
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor shows 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds shows 500\nsentinel failover-timeout shows 3000\n",
            master.port
        );
        std::fs::write(&configuration, text).unwrap();
        let arguments = vec![
            configuration.to_string_lossy().into_owned(),
            "--sentinel".to_owned(),
        ];
        let sentinel = Self::run(port, url, arguments, directory).await;
        sentinel.until("SENTINEL REPLICAS shows", "slave").await;
        Sentinels {
            master,
            sentinel,
            replica,
        }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn kill(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }

    pub(super) async fn restart(&mut self) {
        self.process = spawn(&self.arguments, &self.directory);
        self.until("PING", "PONG").await;
    }

    /// Says something to it, and returns what it answers.
    pub(super) fn command(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn launch(port: u16, url: String, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = port.to_string();
        let mut arguments: Vec<String> = ["--port", &own, "--bind", "127.0.0.1", "--save", ""]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        Self::run(port, url, arguments, directory).await
    }

    async fn run(port: u16, url: String, arguments: Vec<String>, directory: TempDir) -> Self {
        let server = Self {
            process: spawn(&arguments, &directory),
            arguments,
            port,
            url,
            directory,
        };
        server.until("PING", "PONG").await;
        server
    }

    /// Waits until it answers a question as wished.
    async fn until(&self, question: &str, wished: &str) {
        let words: Vec<&str> = question.split(' ').collect();
        let begin = tokio::time::Instant::now();
        loop {
            let answer = self.command(&words);
            // A server with a password is there when it asks for it.
            if answer.contains(wished) || answer.contains("NOAUTH") {
                return;
            }
            assert!(begin.elapsed() < START_LIMIT, "{question}: {answer}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Sentinels {
    /// Waits until the replica is the master.
    pub(super) async fn promote(&self) {
        self.replica.until("INFO replication", "role:master").await;
    }
}

fn spawn(arguments: &[String], directory: &TempDir) -> Child {
    Command::new("redis-server")
        .args(arguments)
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
