//! A server that says that it is a Redis of long ago.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The longest question that is read at once; those of a client's first words are shorter.
const QUESTION_BYTES: usize = 4096;

/// It answers `INFO`, refuses what it is too old for, and says yes to all else. Dropping it ends it.
#[derive(Debug)]
pub struct OldRedis {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl OldRedis {
    /// Says that it is of this version.
    pub async fn start(version: &'static str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, version));
            }
        });
        Ok(Self {
            address,
            _tasks: tasks,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

async fn serve(mut connection: TcpStream, version: &str) {
    let mut bytes = vec![0; QUESTION_BYTES];
    while let Ok(length @ 1..) = connection.read(&mut bytes).await {
        let question = String::from_utf8_lossy(&bytes[..length]).to_uppercase();
        // Each command is an array; clients send several at once.
        let answers: String = question
            .split('*')
            .skip(1)
            .map(|command| answer(command, version))
            .collect();
        if connection.write_all(answers.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(command: &str, version: &str) -> String {
    if command.contains("\r\nINFO\r\n") {
        let text = format!("# Server\r\nredis_version:{version}\r\n");
        format!("${}\r\n{text}\r\n", text.len())
    } else if command.contains("\r\nHELLO\r\n") || command.contains("\r\nSETINFO\r\n") {
        "-ERR unknown command\r\n".to_owned()
    } else {
        "+OK\r\n".to_owned()
    }
}
