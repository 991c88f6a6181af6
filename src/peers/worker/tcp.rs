//! ICE-TCP (RFC 6544) on the UDP port's number: frames of RFC 4571 in and out, for networks that block UDP.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

use super::Command;
use crate::door::{Path, stun::Untrusted, worker_of_fragment};

/// How long a stranger may take to say whom it wants.
const INTRODUCTION_DEADLINE: Duration = Duration::from_secs(5);
/// Silence after which a connection is closed; consent checks come every few seconds.
const IDLE_DEADLINE: Duration = Duration::from_secs(35);
/// Frames waiting to be written to one connection; more are lost, as with UDP.
const WRITE_QUEUE: usize = 256;
/// The longest frame that a WebRTC peer sends.
const LONGEST_FRAME: usize = 2048;

/// Accepts connections until aborted.
pub(crate) async fn accept(
    listener: TcpListener,
    workers: Vec<mpsc::Sender<Command>>,
    connections_limit: usize,
) {
    let permits = Arc::new(Semaphore::new(connections_limit));
    let numbers = AtomicU64::new(1);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, from)) = listener.accept().await else {
            // Out of descriptors: wait for some to be freed instead of spinning.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Full: closed at once; the studio has the UDP candidate too.
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let connection = numbers.fetch_add(1, Ordering::Relaxed);
        let workers = workers.clone();
        connections.spawn(async move {
            let _permit = permit;
            if let Err(error) = serve(stream, from, connection, &workers).await {
                tracing::debug!(%error, "ICE-TCP connection ended");
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    connection: u64,
    workers: &[mpsc::Sender<Command>],
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, writer) = stream.into_split();
    let introduction = timeout(INTRODUCTION_DEADLINE, read_frame(&mut reader)).await??;
    let worker = Untrusted::decode(&introduction)
        .and_then(|message| message.local_fragment())
        .and_then(|fragment| worker_of_fragment(&fragment))
        .and_then(|worker| workers.get(worker));
    let Some(worker) = worker else { return Ok(()) };
    let path = Path::Tcp(connection, from);
    let (frames, queue) = mpsc::channel(WRITE_QUEUE);
    let gone = |_| io::Error::other("the worker is gone");
    worker
        .send(Command::TcpOpened { connection, frames })
        .await
        .map_err(gone)?;
    worker
        .send(Command::TcpFrame {
            path,
            bytes: introduction,
        })
        .await
        .map_err(gone)?;
    let result = tokio::select! {
        result = read_frames(&mut reader, path, worker) => result,
        result = write_frames(writer, queue) => result,
    };
    let _ = worker.send(Command::TcpClosed { path }).await;
    result
}

async fn read_frames(
    reader: &mut OwnedReadHalf,
    path: Path,
    worker: &mpsc::Sender<Command>,
) -> io::Result<()> {
    loop {
        let bytes = timeout(IDLE_DEADLINE, read_frame(reader)).await??;
        // Waiting here is TCP's own back-pressure.
        if worker
            .send(Command::TcpFrame { path, bytes })
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

async fn write_frames(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    let mut frame = Vec::with_capacity(LONGEST_FRAME + 2);
    while let Some(bytes) = queue.recv().await {
        let Ok(length) = u16::try_from(bytes.len()) else {
            continue;
        };
        frame.clear();
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&bytes);
        timeout(IDLE_DEADLINE, writer.write_all(&frame)).await??;
    }
    Ok(())
}

async fn read_frame(reader: &mut OwnedReadHalf) -> io::Result<Bytes> {
    let length = usize::from(reader.read_u16().await?);
    if length == 0 || length > LONGEST_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "frame length out of bounds",
        ));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}
