//! The server over a websocket, spoken to frame by frame (RFC 6455).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::join;
use crate::{
    Origins,
    socketio::{PAYLOAD_LIMIT_BYTES, SocketServer, SocketSettings, router},
    stand_in::StandInRooms,
};

/// How long anything may take on one machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Node {
    address: SocketAddr,
    server: SocketServer,
    rooms: StandInRooms,
    _serving: JoinSet<()>,
}

impl Node {
    async fn start() -> Self {
        let rooms = StandInRooms::default();
        let (router, server) = router(Arc::new(rooms.clone()), SocketSettings::new(Origins::Any));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self {
            address,
            server,
            rooms,
            _serving: serving,
        }
    }

    /// A client that is let in, as one that takes websockets only.
    async fn enter(&self) -> Wire {
        let mut wire = Wire(TcpStream::connect(self.address).await.unwrap());
        wire.upgrade().await;
        assert!(wire.hear().await.unwrap().starts_with("0{\"sid\""));
        wire.say("40").await;
        assert!(wire.hear().await.unwrap().starts_with("40{\"sid\""));
        wire
    }

    async fn until(&self, met: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !met(self) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }
}

struct Wire(TcpStream);

impl Wire {
    async fn upgrade(&mut self) {
        let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
    }

    /// Sends a text, masked with nothing.
    async fn say(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend((text.len() as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next text beside pings, which are answered; `None` at the end.
    async fn hear(&mut self) -> Option<String> {
        loop {
            match timeout(PATIENCE, self.frame()).await.unwrap()?.as_str() {
                "2" => self.say("3").await,
                text => return Some(text.to_owned()),
            }
        }
    }

    async fn frame(&mut self) -> Option<String> {
        let opcode = self.0.read_u8().await.ok()?;
        let length = match self.0.read_u8().await.ok()? {
            126 => usize::from(self.0.read_u16().await.ok()?),
            length => usize::from(length),
        };
        let mut content = vec![0; length];
        self.0.read_exact(&mut content).await.ok()?;
        (opcode == 0x81).then(|| String::from_utf8(content).unwrap())
    }
}

#[tokio::test]
async fn a_client_that_takes_websockets_only_is_served() {
    let node = Node::start().await;
    let mut ada = node.enter().await;

    ada.say(&format!("425{}", join("ada"))).await;

    assert_eq!(
        ada.hear().await.unwrap(),
        r#"435[{"resumed":false,"success":true}]"#
    );
}

#[tokio::test]
async fn a_websocket_that_is_cut_keeps_the_place_until_the_client_comes_back() {
    let node = Node::start().await;
    let mut ada = node.enter().await;
    ada.say(&format!("425{}", join("ada"))).await;
    ada.hear().await.unwrap();

    drop(ada);
    node.until(|node| node.rooms.participants("r") == [("ada".to_owned(), false)])
        .await;
    node.until(|node| node.server.connections() == 0).await;
    let mut ada = node.enter().await;
    ada.say(&format!("425{}", join("ada"))).await;

    assert_eq!(
        ada.hear().await.unwrap(),
        r#"435[{"resumed":true,"success":true}]"#
    );
}

#[tokio::test]
async fn an_event_beyond_256_kib_ends_a_websocket() {
    let node = Node::start().await;
    let mut ada = node.enter().await;
    let event = |length: usize| {
        let frame = json!(["x", ""]).to_string().len() + 3;
        format!("427{}", json!(["x", "y".repeat(length - frame)]))
    };

    ada.say(&event(PAYLOAD_LIMIT_BYTES)).await;
    assert_eq!(
        ada.hear().await.unwrap(),
        r#"437[{"error":"unknown event"}]"#
    );
    ada.say(&event(PAYLOAD_LIMIT_BYTES + 1)).await;

    assert_eq!(ada.hear().await, None);
}

#[tokio::test]
async fn a_websocket_ends_with_the_server_and_without_a_word_that_keeps_it_away() {
    let node = Node::start().await;
    let mut ada = node.enter().await;
    ada.say(&format!("425{}", join("ada"))).await;
    ada.hear().await.unwrap();

    node.server.shutdown().await;

    while let Some(heard) = ada.hear().await {
        assert_ne!(heard, "41");
    }
    assert_eq!(node.rooms.participants("r"), [("ada".to_owned(), false)]);
}
