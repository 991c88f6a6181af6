//! Rooms of a whole gateway, spoken to as the dialects do.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::rooms::{
    ConsumeOrder, Direction, JoinOrder, ParticipantId, ProduceOrder, ProducerId, RoomError,
    RoomEvent,
};
use broadcast::BroadcastId;
use ortc::{MediaKind, RtpParameters};
use serde_json::{Value, json};
use signalling::{
    Bearer,
    rooms::{Guest, Member, Membership, Rooms as _},
};
use tokio::{sync::mpsc, time::timeout};

use super::RoomService;
use crate::{
    Gateway,
    auth::Authenticator,
    config::{Config, Surroundings},
    ice_servers::IceServers,
};

mod egress;
mod media;
mod permissions;
mod places;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A gateway and its rooms.
struct Rig {
    gateway: Gateway,
    service: RoomService,
}

impl Rig {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a gateway with these variables; whatever else the environment holds does not matter.
    async fn with(variables: &[(&str, &str)]) -> Self {
        let mut all = HashMap::from([
            ("PORT", "0"),
            ("RTC_PORT", "0"),
            ("WORKERS", "2"),
            ("DESTINATION_ALLOW_PRIVATE", "true"),
            ("DESTINATION_ALLOW_PORTS", "any"),
            // What other tests use of this machine counts, too.
            ("NODE_CAPACITY_CORES", "1000"),
        ]);
        all.extend(variables.iter().copied());
        let surroundings = Surroundings {
            cores: 1,
            server_id: "node".to_owned(),
            terminal: false,
        };
        let lookup = |name: &str| all.get(name).map(|value| (*value).to_owned());
        let config = Config::read(&lookup, &surroundings).unwrap();
        let authenticator = Arc::new(Authenticator::new(&config.auth).unwrap());
        let ice_servers = IceServers::new(config.ice_servers.clone());
        let gateway = Gateway::start(config).await.unwrap();
        let service = RoomService::new(gateway.rooms().clone(), authenticator, ice_servers);
        Self { gateway, service }
    }

    async fn anybody(&self) -> Guest {
        self.service.admit(None).await.unwrap()
    }

    async fn admit(&self, token: &str) -> Result<Guest, RoomError> {
        let token = Bearer::new(token).unwrap();
        self.service.admit(Some(&token)).await
    }

    async fn join(&self, name: &str) -> Person {
        let guest = self.anybody().await;
        Person::of(self.service.join(&guest, order(name)).await.unwrap())
    }
}

/// Somebody in the room.
struct Person {
    member: Arc<dyn Member>,
    events: mpsc::Receiver<RoomEvent>,
    membership: (bool, ::rooms::RoomView),
}

impl Person {
    fn of(membership: Membership) -> Self {
        Self {
            member: membership.member,
            events: membership.events,
            membership: (membership.resumed, membership.room),
        }
    }

    /// What they are told next; `None`: nobody tells them anything any more.
    async fn told(&mut self) -> Option<RoomEvent> {
        timeout(PATIENCE, self.events.recv()).await.unwrap()
    }

    async fn produce(&self, kind: MediaKind) -> ProducerId {
        let sections = self.member.view().await.unwrap().producers.len();
        let mut rtp = sent(kind);
        rtp.mid = Some(sections.to_string());
        for encoding in &mut rtp.encodings {
            let another = u32::try_from(sections).unwrap() * 10;
            encoding.ssrc = encoding.ssrc.map(|ssrc| ssrc + another);
            if let Some(rtx) = &mut encoding.rtx {
                rtx.ssrc += another;
            }
        }
        let order = ProduceOrder {
            transport: None,
            kind,
            rtp,
            app_data: json!({}),
            is_screen: false,
            paused: false,
        };
        self.member.produce(order).await.unwrap().id
    }
}

fn show() -> BroadcastId {
    BroadcastId::new("show").unwrap()
}

fn order(name: &str) -> JoinOrder {
    JoinOrder {
        room: show(),
        participant: Some(ParticipantId::new(name)),
        display_name: None,
        details: Value::Null,
    }
}

/// What Chromium sends through mediasoup-client: its own payload types and header extensions, not the router's.
fn sent(kind: MediaKind) -> RtpParameters {
    let parameters = match kind {
        MediaKind::Audio => json!({
            "mid": "0",
            "codecs": [{
                "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2,
                "parameters": {"minptime": 10, "useinbandfec": 1},
                "rtcpFeedback": [{"type": "transport-cc", "parameter": ""}],
            }],
            "headerExtensions": [
                {"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4},
                {"uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "id": 1},
            ],
            "encodings": [{"ssrc": 4_040_404_040_u32, "dtx": false}],
            "rtcp": {"cname": "G6JH", "reducedSize": true},
        }),
        MediaKind::Video => json!({
            "mid": "1",
            "codecs": [
                {
                    "mimeType": "video/H264", "payloadType": 108, "clockRate": 90000,
                    "parameters": {
                        "level-asymmetry-allowed": 1, "packetization-mode": 1,
                        "profile-level-id": "42e01f",
                    },
                    "rtcpFeedback": [
                        {"type": "nack", "parameter": ""}, {"type": "nack", "parameter": "pli"},
                    ],
                },
                {
                    "mimeType": "video/rtx", "payloadType": 109, "clockRate": 90000,
                    "parameters": {"apt": 108}, "rtcpFeedback": [],
                },
            ],
            "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 9}],
            "encodings": [{"ssrc": 1_271_755_168, "rtx": {"ssrc": 3_796_674_220_u32}}],
            "rtcp": {"cname": "G6JH", "reducedSize": true},
        }),
    };
    serde_json::from_value(parameters).unwrap()
}
