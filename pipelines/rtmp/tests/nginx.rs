use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use broadcast::Reason;

use super::programme::{KEY, PICTURES, publish_units, recording, target, until};

/// An nginx of our own with the RTMP module, which records all that is published to `live`.
pub(super) struct Nginx {
    process: Child,
    folder: PathBuf,
    pub(super) address: SocketAddr,
}

impl Nginx {
    pub(super) async fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("castgate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("recordings")).unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let configuration = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
             user root;
             worker_processes 1;
             daemon off;
             pid {0}/nginx.pid;
             error_log {0}/error.log info;
             events {{ worker_connections 64; }}
             rtmp {{
                 access_log {0}/access.log;
                 server {{
                     listen {address};
                     chunk_size 4096;
                     application live {{
                         live on;
                         record all;
                         record_path {0}/recordings;
                         record_suffix .flv;
                         record_unique on;
                     }}
                 }}
             }}",
            folder.display()
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let process = Command::new("nginx")
            .args([
                "-p".as_ref(),
                folder.as_os_str(),
                "-c".as_ref(),
                file.as_os_str(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let nginx = Self {
            process,
            folder,
            address,
        };
        until(|| TcpStream::connect(address).is_ok()).await;
        nginx
    }

    /// Oldest first.
    pub(super) fn recordings(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.folder.join("recordings")).unwrap();
        let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
            + &std::fs::read_to_string(self.folder.join("access.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        use nix::{
            sys::signal::{Signal, kill},
            unistd::Pid,
        };
        let _ = kill(
            Pid::from_raw(self.process.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What ffprobe says about a file.
pub(super) fn probe_file(path: &Path) -> String {
    let entries = "stream=codec_name,width,height,sample_rate,nb_read_packets";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-show_entries", entries])
        .arg(path)
        .output()
        .expect("ffprobe is installed");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn nginx_records_what_was_published() {
    let nginx = Nginx::start("nginx-records").await;
    let url = format!("rtmp://{}/live", nginx.address);
    let target = target(&url, "a-key?with=query&more=/slash", nginx.address);
    let size = || {
        nginx
            .recordings()
            .first()
            .and_then(|path| path.metadata().ok())
    };
    let enough = || size().is_some_and(|file| file.len() > 80_000);

    let published = publish_units(&target, recording(), enough).await;
    until(|| nginx.log().contains("deleteStream")).await;

    assert_eq!(published.result, Ok(()));
    assert!(
        nginx
            .log()
            .contains("name='a-key' args='with=query&more=/slash'"),
        "{}",
        nginx.log()
    );
    let probed = probe_file(&nginx.recordings()[0]);
    let expected = format!("codec_name=h264\nwidth=320\nheight=180\nnb_read_packets={PICTURES}\n");
    assert!(probed.contains(&expected), "{probed}");
    assert!(
        probed.contains("codec_name=aac\nsample_rate=48000\n"),
        "{probed}"
    );
}

#[tokio::test]
async fn nginx_with_a_busy_key_is_tried_again_later() {
    let nginx = Nginx::start("nginx-busy").await;
    let target = target(
        &format!("rtmp://{}/live", nginx.address),
        KEY,
        nginx.address,
    );

    let second = std::sync::Mutex::new(None);
    let first =
        async { publish_units(&target, recording(), || second.lock().unwrap().is_some()).await };
    let intruder = async {
        until(|| !nginx.recordings().is_empty()).await;
        let published = publish_units(&target, Vec::new(), || true).await;
        *second.lock().unwrap() = Some(published.result);
    };
    let (first, ()) = tokio::join!(first, intruder);

    assert_eq!(first.result, Ok(()));
    let failure = second.into_inner().unwrap().unwrap().unwrap_err();
    assert_eq!(failure.reason, Reason::PublishRefused, "{failure}");
}

#[tokio::test]
async fn nginx_closes_on_an_unknown_application() {
    let nginx = Nginx::start("nginx-unknown").await;
    let target = target(
        &format!("rtmp://{}/other", nginx.address),
        KEY,
        nginx.address,
    );

    let failure = publish_units(&target, Vec::new(), || true)
        .await
        .result
        .unwrap_err();

    assert_eq!(failure.reason, Reason::ClosedByPeer);
    assert!(failure.message.contains("application"), "{failure}");
}
