//! A real nginx with the configuration that is shipped, before real gateways.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, header},
    routing::{get, post},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tests::{Answer, Gateway, Process, Scratch, eventually, free_port, gateway_command, send};
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
};

use super::{root, run};

/// What Chromium offers for a canvas with sound.
const OFFER: &str = include_str!("../../../src/peers/fixtures/chrome-offer.sdp");

/// Where another node is, with all that a rewriting proxy would stumble over.
const ELSEWHERE: &str = "https://node-2.media.example.org:8442/whip/show?codec=h264";

/// How long something that must come may take on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(30);

/// nginx, two gateways behind it, and a third node that is only there to be asked.
struct Front {
    nodes: Vec<Gateway>,
    proxy: Process,
    common: u16,
    own: Vec<u16>,
    stand_in: u16,
    _stand_in: JoinSet<()>,
    scratch: Scratch,
}

impl Front {
    async fn start(variables: &[(&str, &str)]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(Gateway::start(variables).await?);
        }
        let (tasks, stand_in) = stand_in().await?;
        let ports: Vec<u16> = (0..4).map(|_| free_port()).collect::<Result<_>>()?;
        write_configuration(scratch.path(), &nodes, stand_in, &ports)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(scratch.path()).arg("-c");
        command.arg(scratch.path().join("nginx.conf"));
        command.args(["-e", "stderr"]);
        let mut front = Self {
            nodes,
            proxy: Process::spawn("nginx", command, scratch.path().join("nginx.log"))?,
            common: ports[0],
            own: ports[1..3].to_vec(),
            stand_in: ports[3],
            _stand_in: tasks,
            scratch,
        };
        front.listen().await?;
        Ok(front)
    }

    async fn listen(&mut self) -> Result<()> {
        eventually("nginx listens", LIMIT, async || {
            if let Some(status) = self.proxy.ended()? {
                bail!("nginx ended with {status}: {}", self.proxy.output()?);
            }
            let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.common)).await;
            Ok(connection.ok().map(drop))
        })
        .await
    }

    fn url(port: u16, path: &str) -> String {
        format!("https://127.0.0.1:{port}{path}")
    }

    async fn ask(&self, port: u16, method: Method, path: &str) -> Result<Answer> {
        send(client_from(Ipv4Addr::LOCALHOST)?.request(method, Self::url(port, path))).await
    }

    /// Creates a broadcast by the URL of a node of its own.
    async fn create(&self, node: usize, broadcast: &str) -> Result<()> {
        let url = Self::url(self.own[node], "/api/v1/broadcasts");
        let request = client_from(Ipv4Addr::LOCALHOST)?.post(url);
        let answer = send(request.json(&json!({ "id": broadcast }))).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        Ok(())
    }
}

/// The files that are shipped, with other ports, names and folders.
fn write_configuration(
    folder: &Path,
    nodes: &[Gateway],
    stand_in: u16,
    ports: &[u16],
) -> Result<()> {
    let shipped = |path: &str| fs::read_to_string(root().join("docker/nginx").join(path));
    let here = folder.display().to_string();
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-days",
            "2",
            "-keyout",
            &format!("{here}/privkey.pem"),
            "-out",
            &format!("{here}/fullchain.pem"),
        ],
    )?;
    fs::create_dir(folder.join("castgate"))?;
    let [common, first, second, third] = ports.try_into().context("four ports")?;
    let nodes = shipped("castgate/nodes.conf")?
        .replace("node-1:3001", &nodes[0].http().to_string())
        .replace("node-2:3001", &nodes[1].http().to_string())
        .replace("8441 ", &format!("{first} "))
        .replace("8442 ", &format!("{second} "))
        .replace(
            "    default castgate;",
            &format!("    default castgate;\n    {third} stand-in;"),
        );
    fs::write(
        folder.join("castgate/nodes.conf"),
        format!("{nodes}\nupstream stand-in {{ server 127.0.0.1:{stand_in}; }}\n"),
    )?;
    let listen = shipped("castgate/listen.conf")?
        .replace("listen 443 ", &format!("listen {common} "))
        .replace("listen 8441 ", &format!("listen {first} "))
        .replace(
            "listen 8442 ",
            &format!("listen {third} ssl;\nlisten {second} "),
        )
        .replace("/etc/nginx/certificates", &here);
    fs::write(folder.join("castgate/listen.conf"), listen)?;
    let server = shipped("castgate.conf")?.replace("/var/log/nginx", &here);
    fs::write(folder.join("castgate.conf"), server)?;
    fs::write(
        folder.join("nginx.conf"),
        format!(
            "daemon off; master_process off; worker_processes 1;
pid {here}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
  client_body_temp_path {here}/bodies;
  proxy_temp_path {here}/answers;
  include castgate.conf;
}}
"
        ),
    )?;
    Ok(())
}

/// A node that takes nothing: it sends WHIP elsewhere, and tells what it was asked with.
async fn stand_in() -> Result<(JoinSet<()>, u16)> {
    let app = Router::new()
        .route(
            "/whip/{broadcast}",
            post(|| async {
                (
                    StatusCode::TEMPORARY_REDIRECT,
                    [(header::LOCATION, ELSEWHERE)],
                )
            }),
        )
        .route(
            "/asked-with",
            get(|headers: HeaderMap| async move {
                let texts = headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), json!(value.to_str().ok())));
                Json(Value::Object(texts.collect()))
            }),
        );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    Ok((tasks, port))
}

/// A client at one of this machine's many addresses, which takes the certificate and follows nothing.
fn client_from(address: Ipv4Addr) -> Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder()
        .no_proxy()
        .local_address(IpAddr::V4(address))
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()?)
}

/// Which node answers a client at this address.
async fn node_for(front: &Front, address: Ipv4Addr) -> Result<String> {
    let request = client_from(address)?.get(Front::url(front.common, "/api/health"));
    let answer = send(request).await?;
    ensure!(
        answer.status == StatusCode::OK,
        "{}: {}",
        answer.status,
        answer.body
    );
    let body = answer.json()?;
    Ok(body["instanceId"].as_str().context("a node")?.to_owned())
}

#[tokio::test]
async fn clients_spread_over_the_nodes_and_stay_where_they_are_until_it_dies() -> Result<()> {
    let mut front = Front::start(&[]).await?;
    let addresses: Vec<_> = (2..34).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect();

    let mut first = Vec::new();
    for address in &addresses {
        first.push(node_for(&front, *address).await?);
    }
    let mut again = Vec::new();
    for address in &addresses {
        again.push(node_for(&front, *address).await?);
    }

    assert_eq!(first, again);
    let found: BTreeSet<_> = first.iter().collect();
    assert_eq!(found.len(), 2, "of 32 clients all are at {found:?}");

    front.nodes[1].process.kill().await?;
    let mut after = BTreeSet::new();
    for address in &addresses {
        after.insert(node_for(&front, *address).await?);
    }
    assert_eq!(after.len(), 1, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn unmodified_socket_io_clients_join_by_polling_and_by_websocket() -> Result<()> {
    let front = Front::start(&[]).await?;
    let url = Front::url(front.common, "");

    for transport in ["polling", "websocket"] {
        let output = Command::new("node")
            .args(["socket.mjs", &url, transport, "20"])
            .current_dir(root().join("tests/browser"))
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{transport}: {said}{errors}");
        let report: Value = serde_json::from_str(said.trim())?;

        assert_eq!(report["transport"], transport);
        assert_eq!(report["joined"]["success"], true, "{report}");
        assert_eq!(report["answers"], 20, "{report}");
    }
    Ok(())
}

#[tokio::test]
async fn a_whip_session_goes_through_and_another_node_is_told_of_as_it_was_named() -> Result<()> {
    let front = Front::start(&[("STUN_URL", "stun:stun.example.org")]).await?;
    front.create(0, "show").await?;
    let client = client_from(Ipv4Addr::LOCALHOST)?;
    let offer = |port: u16| {
        client
            .post(Front::url(port, "/whip/show"))
            .header("content-type", "application/sdp")
            .body(OFFER)
    };

    let made = send(offer(front.own[0])).await?;
    let moved = send(offer(front.stand_in)).await?;

    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert!(made.header("etag")?.starts_with('"'));
    assert!(made.header("link")?.contains("stun:stun.example.org"));
    let location = made.header("location")?;
    let path = &location[location.find("/whip/").context("location")?..];
    let ended = front.ask(front.own[0], Method::DELETE, path).await?;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.body);
    assert_eq!(moved.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(moved.header("location")?, ELSEWHERE);
    Ok(())
}

#[tokio::test]
async fn events_are_told_while_they_happen() -> Result<()> {
    let front = Front::start(&[]).await?;
    front.create(0, "show").await?;
    let url = Front::url(front.own[0], "/api/v1/broadcasts/show/events");
    let mut events = client_from(Ipv4Addr::LOCALHOST)?.get(url).send().await?;
    assert_eq!(events.status(), StatusCode::OK);

    // The stream is open: what is read here came before it ended.
    let mut told = String::new();
    while !told.contains("waiting") {
        let chunk = events.chunk().await?.context("the stream has ended")?;
        told.push_str(&String::from_utf8_lossy(&chunk));
    }
    let path = "/api/v1/broadcasts/show";
    let ended = front.ask(front.own[0], Method::DELETE, path).await?;
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{}", ended.body);
    while !told.contains("ended") {
        let chunk = events.chunk().await?.context("the stream has ended")?;
        told.push_str(&String::from_utf8_lossy(&chunk));
    }
    Ok(())
}

#[tokio::test]
async fn nodes_learn_who_asks_and_how_and_strangers_no_figures() -> Result<()> {
    let front = Front::start(&[]).await?;

    let asked = front
        .ask(front.stand_in, Method::GET, "/asked-with?token=hush")
        .await?;
    let metrics = front.ask(front.common, Method::GET, "/metrics").await?;

    let headers = asked.json()?;
    assert_eq!(headers["host"], format!("127.0.0.1:{}", front.stand_in));
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(metrics.status, StatusCode::NOT_FOUND);
    // Socket.IO's clients may have a token in the query.
    let log = fs::read_to_string(front.scratch.path().join("access.log"))?;
    assert!(log.contains("/asked-with"), "{log}");
    assert!(!log.contains("hush"), "{log}");
    Ok(())
}

#[tokio::test]
async fn slates_may_be_large_and_orders_may_not() -> Result<()> {
    let front = Front::start(&[]).await?;
    front.create(0, "show").await?;
    let client = client_from(Ipv4Addr::LOCALHOST)?;
    let two_megabytes = vec![b'x'; 2 * 1024 * 1024];

    let slate = client
        .put(Front::url(front.own[0], "/api/v1/broadcasts/show/slate"))
        .header("content-type", "image/png")
        .body(two_megabytes.clone());
    let slate = send(slate).await?;
    let order = client
        .post(Front::url(front.own[0], "/api/v1/broadcasts"))
        .header("content-type", "application/json")
        .body(two_megabytes);
    let order = order.send().await.map(|answer| answer.status());

    // The node looked at it, and says in its own words that this is no picture.
    assert!(slate.json()?["code"].is_string(), "{}", slate.body);
    assert_ne!(slate.status, StatusCode::PAYLOAD_TOO_LARGE);
    let refused = match order {
        Ok(status) => status == StatusCode::PAYLOAD_TOO_LARGE,
        // nginx may close while the order is still being sent.
        Err(_) => true,
    };
    assert!(refused);
    Ok(())
}

#[tokio::test]
async fn the_script_that_tests_a_server_finds_all_well_behind_the_proxy_and_tells_what_is_not()
-> Result<()> {
    let secrets = Scratch::new()?;
    let secret = secrets.path().join("jwt").display().to_string();
    fs::write(&secret, "0f3b5c7d9e1a2b4c6d8e0f1a3b5c7d9e\n")?;
    let other = secrets.path().join("other").display().to_string();
    fs::write(&other, "another-key-of-32-bytes-or-more-0")?;
    let front = Front::start(&[("JWT_SECRET_FILE", &secret)]).await?;
    let url = format!("https://media.example.org:{}", front.own[0]);
    let at = ["--url", &url, "--at", "127.0.0.1", "--insecure"];
    let direct = front.nodes[0].url("");
    let gateway = gateway_command().await?;
    let binary = Path::new(gateway.as_std().get_program());
    let binary = binary.to_str().context("its path")?;
    let key = ["--secret-file", &secret];

    let proxied = attempt_test(&[&at[..], &key].concat()).await?;
    // The program that publishes takes only certificates that are good, so it goes to the node itself.
    let publish = ["--url", &direct, "--publish", "20", "--binary", binary];
    let published = attempt_test(&[&publish[..], &key].concat()).await?;
    let refused = attempt_test(&[&at[..], &["--secret-file", &other]].concat()).await?;
    let nobody = attempt_test(&["--url", &format!("http://127.0.0.1:{}", free_port()?)]).await?;

    assert!(proxied.0, "{}", proxied.1);
    assert!(published.0, "{}", published.1);
    let arrived = "ok      a picture arrives by WebRTC";
    assert!(published.1.contains(arrived), "{}", published.1);
    assert!(
        !refused.0 && refused.1.contains("FAILED  an operator is let in"),
        "{}",
        refused.1
    );
    assert!(
        !nobody.0 && nobody.1.contains("FAILED  the process is alive"),
        "{}",
        nobody.1
    );
    for said in [&proxied.1, &published.1, &refused.1] {
        assert!(
            !said.contains("0f3b5c7d") && !said.contains("eyJ"),
            "{said}"
        );
    }
    Ok(())
}

/// Runs `scripts/test-media-server.sh`: whether it found all well, and what it said.
async fn attempt_test(arguments: &[&str]) -> Result<(bool, String)> {
    let output = Command::new("scripts/test-media-server.sh")
        .args(arguments)
        .current_dir(root())
        .output()
        .await?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((output.status.success(), said))
}
