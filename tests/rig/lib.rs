//! The rig: real counterparts around a real gateway, bad weather between them, and an eye on what arrives.

mod binary;
mod browser;
mod deadline;
mod gateway;
mod meddler;
mod nginx;
mod port;
mod process;
mod recording;
mod scratch;
mod studio;
mod tcp_weather;
mod udp_weather;

pub use browser::{BrowserReport, go_live_in_browser};
pub use deadline::eventually;
pub use gateway::{Answer, Gateway, client, destination_of, gateway_command, send};
pub use meddler::Meddler;
pub use nginx::Nginx;
pub use port::free_port;
pub use process::Process;
pub use recording::{AudioStream, Frame, Offset, Recording, VideoStream};
pub use scratch::Scratch;
pub use studio::{Studio, StudioReport};
pub use tcp_weather::{TcpCondition, TcpWeather};
pub use udp_weather::{UdpCondition, UdpTraffic, UdpWeather};
