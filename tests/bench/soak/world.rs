//! The broadcasts of a soak, and all that is around the gateway.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{receiver::CountingReceiver, studios::Studios};
use crate::tcp_weather::TcpWeather;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What a gateway gives a studio so that it may come back.
const RESUME_TOKEN: &str = "castgate-resume-token";

/// Where Debian puts the module.
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// Everything but the gateway's process.
#[derive(Debug)]
pub(crate) struct World {
    base: String,
    http: reqwest::Client,
    pub(crate) studios: Studios,
    pub(crate) receiver: CountingReceiver,
    pub(crate) shows: Vec<Show>,
    /// A PNG.
    pub(crate) slate: Vec<u8>,
    _nginx: Nginx,
}

/// One broadcast.
#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) number: usize,
    pub(crate) id: String,
    /// Two or three; the first is never touched.
    pub(crate) lines: Vec<Line>,
    /// Whether a fault of the studio is under way.
    pub(crate) busy: AtomicBool,
    token: Mutex<Option<String>>,
}

/// One destination, behind its own weather.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: String,
    /// What the receiver knows it by.
    pub(crate) name: String,
    pub(crate) weather: TcpWeather,
    /// Whether a fault of it is under way.
    pub(crate) busy: AtomicBool,
    rotation: AtomicU64,
}

/// What the gateway answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl World {
    /// Makes the broadcasts and goes live with all of them.
    pub(crate) async fn create(
        base: &str,
        http: &reqwest::Client,
        studios: Studios,
        broadcasts: usize,
    ) -> anyhow::Result<Self> {
        let receiver = CountingReceiver::start()?;
        let nginx = Nginx::start()?;
        let mut shows = Vec::new();
        for number in 0..broadcasts {
            shows.push(Show::new(number, receiver.address, nginx.address)?);
        }
        let world = Self {
            base: base.to_owned(),
            http: http.clone(),
            studios,
            receiver,
            shows,
            slate: draw_slate().await?,
            _nginx: nginx,
        };
        for show in &world.shows {
            let destinations: Vec<_> = show.lines.iter().map(Line::body).collect();
            let body = json!({ "id": show.id, "destinations": destinations });
            let answer = world
                .ask(Method::POST, "/api/v1/broadcasts", Some(&body))
                .await?;
            ensure!(answer.status == StatusCode::CREATED, "{answer:?}");
            world.connect_studio(show).await?;
        }
        Ok(world)
    }

    /// Lets a studio connect, by the resume token if it has been given one.
    pub(crate) async fn connect_studio(&self, show: &Show) -> anyhow::Result<()> {
        let offer = self.studios.offer(show.number).await?;
        let mut request = self
            .http
            .post(format!("{}/whip/{}", self.base, show.id))
            .header("content-type", "application/sdp")
            .body(offer);
        let token = show
            .token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(token) = token {
            request = request.header(RESUME_TOKEN, token);
        }
        let response = request.send().await?;
        let status = response.status();
        let token = response.headers().get(RESUME_TOKEN).cloned();
        let answer = response.text().await?;
        ensure!(
            status == StatusCode::CREATED,
            "the offer was refused: {status} {answer}"
        );
        if let Some(token) = token {
            *show.token.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(token.to_str()?.to_owned());
        }
        self.studios.answer(show.number, answer).await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    pub(crate) async fn upload(&self, show: &Show, picture: Vec<u8>) -> anyhow::Result<Answer> {
        let url = format!("{}/api/v1/broadcasts/{}/slate", self.base, show.id);
        let request = self.http.put(url).header("content-type", "image/png");
        answer(request.body(picture).timeout(Duration::from_secs(45))).await
    }

    /// The gateway's metrics.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let response = self
            .http
            .get(format!("{}/metrics", self.base))
            .send()
            .await?;
        Ok(response.text().await?)
    }

    /// Where nobody listens.
    pub(crate) fn nobody() -> String {
        // The discard port, which no machine of today serves.
        SocketAddr::from((Ipv4Addr::LOCALHOST, 9)).to_string()
    }

    /// Waits until a broadcast is as wanted.
    pub(crate) async fn until(
        &self,
        show: &Show,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let path = format!("/api/v1/broadcasts/{}", show.id);
            let broadcast = self.ask(Method::GET, &path, None).await?.body;
            if wanted(&broadcast) {
                return Ok(broadcast);
            }
            if Instant::now() > deadline {
                bail!("waited {limit:?} in vain: {what}: {broadcast}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until something is so.
    pub(crate) async fn wait(
        &self,
        limit: Duration,
        what: &str,
        is_so: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !is_so() {
            if Instant::now() > deadline {
                bail!("waited {limit:?} in vain: {what}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    Ok(Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    })
}

impl Show {
    fn new(number: usize, receiver: SocketAddr, nginx: SocketAddr) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for destination in 0..2 + number % 2 {
            // The third is a server that is not ours.
            let server = if destination == 2 { nginx } else { receiver };
            lines.push(Line {
                id: format!("d{destination}"),
                name: format!("b{number}-d{destination}"),
                weather: TcpWeather::before(server)?,
                busy: AtomicBool::new(false),
                rotation: AtomicU64::new(0),
            });
        }
        Ok(Self {
            number,
            id: format!("soak-{number}"),
            lines,
            busy: AtomicBool::new(false),
            token: Mutex::new(None),
        })
    }

    pub(crate) fn destination_path(&self, line: &Line) -> String {
        format!("/api/v1/broadcasts/{}/destinations/{}", self.id, line.id)
    }
}

impl Line {
    /// As the API takes it.
    pub(crate) fn body(&self) -> Value {
        json!({
            "id": self.id,
            "rtmpUrl": format!("rtmp://{}/live", self.weather.address()),
            "streamKey": self.key(),
        })
    }

    /// Another key of the same destination.
    pub(crate) fn next_key(&self) -> String {
        self.rotation.fetch_add(1, Ordering::Relaxed);
        self.key()
    }

    fn key(&self) -> String {
        format!("{}.{}", self.name, self.rotation.load(Ordering::Relaxed))
    }
}

/// An nginx that takes every stream and keeps none. Dropping it kills it.
#[derive(Debug)]
struct Nginx {
    address: SocketAddr,
    folder: PathBuf,
    _child: Child,
}

impl Nginx {
    fn start() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("castgate-soak-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let address = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let place = folder.display();
        let configuration = format!(
            "daemon off; master_process off; worker_processes 1;
load_module {NGINX_MODULE};
pid {place}/nginx.pid;
error_log {place}/error.log error;
events {{ worker_connections 256; }}
rtmp {{ access_log off; server {{ listen {address}; chunk_size 4096; application live {{ live on; }} }} }}
"
        );
        fs::write(folder.join("nginx.conf"), configuration)?;
        let child = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .arg("-e")
            .arg(folder.join("error.log"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("nginx")?;
        Ok(Self {
            address,
            folder,
            _child: child,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // What is left over is in the temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn draw_slate() -> anyhow::Result<Vec<u8>> {
    let source = "color=orange:s=1280x720,drawbox=x=200:y=200:w=300:h=300:c=blue:t=fill";
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", source])
        .args(["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"])
        .stdin(Stdio::null())
        .output()
        .await
        .context("ffmpeg")?;
    ensure!(output.status.success(), "ffmpeg drew no slate");
    Ok(output.stdout)
}
