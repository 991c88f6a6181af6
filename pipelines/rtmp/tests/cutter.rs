//! A proxy that cuts the connections through it, and lets new ones through or not.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Bytes that are copied at once.
const COPY_BYTES: usize = 16 * 1024;

/// Stands between a publisher and a server.
pub(super) struct Cutter {
    pub(super) address: SocketAddr,
    /// Counts the cuts.
    cuts: watch::Sender<u64>,
    /// Bytes a second towards the server; 0 is as fast as they come.
    speed: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Cutter {
    pub(super) async fn new(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, is_cut) = watch::channel(0);
        let speed = Arc::new(AtomicU64::new(0));
        let shared_speed = Arc::clone(&speed);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (speed, is_cut) = (Arc::clone(&shared_speed), is_cut.clone());
                connections.spawn(carry(client, server, speed, is_cut));
            }
        });
        Self {
            address,
            cuts,
            speed,
            _tasks: tasks,
        }
    }

    /// Cuts all connections.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets so many bytes a second through.
    pub(super) fn slow_down(&self, bytes_per_second: u64) {
        self.speed.store(bytes_per_second, Relaxed);
    }
}

async fn carry(
    client: TcpStream,
    server: SocketAddr,
    speed: Arc<AtomicU64>,
    mut is_cut: watch::Receiver<u64>,
) {
    is_cut.mark_unchanged();
    // A small buffer, so that the publisher feels a slow server soon.
    let _ = socket2::SockRef::from(&client).set_recv_buffer_size(32 * 1024);
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    let up = async {
        let mut bytes = vec![0; COPY_BYTES];
        while let Ok(count @ 1..) = client_reads.read(&mut bytes).await {
            if server_writes.write_all(&bytes[..count]).await.is_err() {
                return;
            }
            let pause = (count as u64 * 1_000).checked_div(speed.load(Relaxed));
            if let Some(pause) = pause {
                tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
            }
        }
    };
    let down = tokio::io::copy(&mut server_reads, &mut client_writes);
    tokio::select! {
        () = up => {}
        _ = down => {}
        _ = is_cut.changed() => {}
    }
}
