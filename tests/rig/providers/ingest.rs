//! Where a provider takes shows in: nginx with its RTMP module, with TLS in front, which tells who comes and goes.

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
    sync::watch,
    task::JoinSet,
};

use super::Certificates;
use crate::{Process, eventually, free_port};

/// On a machine that is busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Publishers of a stream key, now and in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Publishers {
    /// Who is there.
    pub(super) present: usize,
    /// Who has ever been.
    pub(super) ever: usize,
    /// Whether others may come.
    is_known: bool,
}

pub(super) type ByKey = HashMap<String, Publishers>;

/// A server that takes RTMP and RTMPS, knows the keys that it was told, and refuses all others.
#[derive(Debug)]
pub(super) struct Ingest {
    process: Process,
    plain: SocketAddr,
    secure: SocketAddr,
    publishers: Arc<watch::Sender<ByKey>>,
    _callbacks: JoinSet<()>,
}

impl Ingest {
    /// Starts it on free ports, with its files in `folder`.
    pub(super) async fn start(folder: &Path, certificates: &Certificates) -> Result<Self> {
        let publishers = Arc::new(watch::Sender::new(ByKey::new()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let callback = listener.local_addr()?;
        let service = Router::new()
            .route("/publish", post(began))
            .route("/publish_done", post(ended))
            .with_state(publishers.clone());
        let mut callbacks = JoinSet::new();
        callbacks.spawn(async move {
            // It ends with the set of tasks.
            let _ = axum::serve(listener, service).await;
        });

        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (plain, secure) = (local(free_port()?), local(free_port()?));
        let configuration = configuration(folder, certificates, [plain, secure, callback]);
        fs::write(folder.join("ingest.conf"), configuration)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("ingest.conf"))
            .args(["-e", "stderr"]);
        let mut process = Process::spawn("ingest", command, folder.join("ingest.log"))?;
        eventually("the provider takes shows", START_LIMIT, async || {
            if let Some(status) = process.ended()? {
                bail!("nginx ended with {status}: {}", process.output()?);
            }
            let (plain, secure) =
                tokio::join!(TcpStream::connect(plain), TcpStream::connect(secure));
            Ok((plain.is_ok() && secure.is_ok()).then_some(()))
        })
        .await?;
        Ok(Self {
            process,
            plain,
            secure,
            publishers,
            _callbacks: callbacks,
        })
    }

    /// Makes a key known.
    pub(super) fn admit(&self, key: &str) {
        self.publishers.send_modify(|by_key| {
            by_key.entry(key.to_owned()).or_default().is_known = true;
        });
    }

    /// Makes a key unknown: whoever comes with it from now on is refused.
    pub(super) fn dismiss(&self, key: &str) {
        self.publishers.send_modify(|by_key| {
            if let Some(publishers) = by_key.get_mut(key) {
                publishers.is_known = false;
            }
        });
    }

    /// Who publishes, as it changes.
    pub(super) fn publishers(&self) -> watch::Receiver<ByKey> {
        self.publishers.subscribe()
    }

    /// Where a show comes in by RTMPS, without its key.
    pub(super) fn secure_url(&self) -> String {
        format!("rtmps://localhost:{}/ingest", self.secure.port())
    }

    /// Where a show comes in by RTMP, and is taken from.
    pub(super) fn plain_url(&self) -> String {
        format!("rtmp://{}/ingest", self.plain)
    }

    /// How often a publisher was turned away because another was there.
    pub(super) fn collisions(&self) -> Result<usize> {
        Ok(self.process.output()?.matches("already publishing").count())
    }
}

/// `name=KEY` of a callback's form. Keys of fakes are letters, digits, `-` and `_`.
fn name(form: &str) -> Option<&str> {
    form.split('&')
        .find_map(|field| field.strip_prefix("name="))
}

async fn began(State(publishers): State<Arc<watch::Sender<ByKey>>>, form: String) -> StatusCode {
    let is_known = publishers.send_if_modified(|by_key| {
        let found = name(&form).and_then(|key| by_key.get_mut(key));
        let Some(found) = found.filter(|found| found.is_known) else {
            return false;
        };
        found.present += 1;
        found.ever += 1;
        true
    });
    if is_known {
        StatusCode::OK
    } else {
        StatusCode::FORBIDDEN
    }
}

async fn ended(State(publishers): State<Arc<watch::Sender<ByKey>>>, form: String) -> StatusCode {
    publishers.send_modify(|by_key| {
        if let Some(found) = name(&form).and_then(|key| by_key.get_mut(key)) {
            found.present = found.present.saturating_sub(1);
        }
    });
    StatusCode::OK
}

/// One process, so that ending it leaves nothing behind. Whoever reads a stream gets it from a keyframe on, and is sent away
/// when its publisher has left.
fn configuration(
    folder: &Path,
    certificates: &Certificates,
    [plain, secure, callback]: [SocketAddr; 3],
) -> String {
    let folder = folder.display();
    let certificate = certificates.certificate.display();
    let key = certificates.key.display();
    format!(
        "daemon off; master_process off; worker_processes 1;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
pid {folder}/ingest.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  server {{
    listen {plain};
    chunk_size 4096;
    application ingest {{
      live on;
      wait_key on;
      wait_video on;
      idle_streams off;
      drop_idle_publisher 10s;
      notify_method post;
      on_publish http://{callback}/publish;
      on_publish_done http://{callback}/publish_done;
    }}
  }}
}}
stream {{
  server {{
    listen {secure} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    proxy_pass {plain};
  }}
}}
"
    )
}
