//! The rig: real counterparts around a real gateway, bad weather between them, and an eye on what arrives.

mod binary;
mod browser;
mod crowd;
mod deadline;
mod figure;
mod fleet;
mod gateway;
mod janus;
mod loss;
mod meddler;
mod mediasoup;
mod namespace;
mod nginx;
mod node_media_server;
mod port;
mod process;
mod providers;
mod recording;
mod rooms;
mod scratch;
mod studio;
mod tcp_weather;
mod udp_weather;

pub use browser::{Browser, BrowserReport, go_live_in_browser};
pub use crowd::{Crowd, Footprint};
pub use deadline::eventually;
pub use figure::tell;
pub use fleet::{Door, Fleet, Node, NodePlace, OldRedis, Redis, SECRETS_KEY};
pub use gateway::{Answer, Gateway, client, destination_of, gateway_command, send};
pub use janus::{Janus, JanusPublisher};
pub use loss::{LossOutcome, measure_loss};
pub use meddler::Meddler;
pub use mediasoup::Mediasoup;
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use node_media_server::NodeMediaServer;
pub use port::{free_port, free_port_pair};
pub use process::{ChildProcess, Process};
pub use providers::{Certificates, Landlord, Rented, RtmpMedia, WhipMedia};
pub use recording::{
    AudioStream, Cadence, Frame, Offset, Recording, Rise, Shown, Span, Tags, VideoStream,
};
pub use rooms::{COLOURS, Rooms, SCREEN, Sight};
pub use scratch::Scratch;
pub use studio::{Studio, StudioReport};
pub use tcp_weather::{TcpCondition, TcpTraffic, TcpWeather};
pub use udp_weather::{UdpCondition, UdpTraffic, UdpWeather};
