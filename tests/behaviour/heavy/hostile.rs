//! Strangers at the media port, while a good studio is live.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tests::{Gateway, Meddler, Nginx, Studio, eventually};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
};

use super::{LIVE_LIMIT, check, destination, end_and_analyse};

const SECONDS: u32 = 12;

/// Datagrams of one burst; twenty bursts a second go beside the media of the good studio.
const BURST: usize = 100;

const TCP_CONNECTIONS: usize = 100;

#[tokio::test]
async fn garbage_at_the_media_port_does_not_touch_a_good_studio() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create(
            "show",
            json!([destination("one", nginx.address(), "steady")]),
        )
        .await?;
    let mut random = StdRng::seed_from_u64(7);
    throw_datagrams(gateway.rtc(), &mut random).await?;
    throw_streams(gateway.rtc(), &mut random).await?;

    let studio = Studio::publish(&gateway.url("/whip/show"), None, SECONDS).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
    for _ in 0..100 {
        pace.tick().await;
        throw_datagrams(gateway.rtc(), &mut random).await?;
    }
    throw_streams(gateway.rtc(), &mut random).await?;
    studio.finish().await?;

    check(&end_and_analyse(&gateway, "show", &nginx, "steady").await?)?;
    let said = gateway.process.output()?;
    ensure!(!said.contains("panicked"), "it panicked");
    Ok(())
}

#[tokio::test]
async fn a_wrong_fingerprint_gets_no_media_in() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let meddler = Meddler::before(gateway.http(), |body| {
        let mut lines: Vec<String> = body.lines().map(str::to_owned).collect();
        for line in lines
            .iter_mut()
            .filter(|line| line.starts_with("a=fingerprint:sha-256 "))
        {
            let byte = if line.ends_with("00") { "01" } else { "00" };
            line.replace_range(line.len() - 2.., byte);
        }
        lines.join("\r\n") + "\r\n"
    })
    .await?;

    let _said = Studio::publish(&meddler.url("/whip/show"), None, 4)
        .await?
        .fail()
        .await?;

    let broadcast = gateway.broadcast("show").await?;
    assert_eq!(broadcast["state"], "waiting", "{broadcast}");
    assert!(broadcast["startedAt"].is_null(), "{broadcast}");

    // The same way with the fingerprint as it is: it was the fingerprint.
    let honest = Meddler::before(gateway.http(), |body| body).await?;
    gateway.create("other", json!([])).await?;
    let studio = Studio::publish(&honest.url("/whip/other"), None, 600).await?;
    eventually("the other broadcast is live", LIVE_LIMIT, async || {
        Ok((gateway.broadcast("other").await?["state"] == "live").then_some(()))
    })
    .await?;
    studio.vanish().await
}

/// One burst of what RFC 7983 tells apart by the first byte: STUN, DTLS, TURN, RTP, RTCP, none of these; short, cut and long.
async fn throw_datagrams(to: SocketAddr, random: &mut StdRng) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    for _ in 0..BURST {
        let length = match random.random_range(0..10) {
            0 => 0,
            1 => 1,
            2..=7 => random.random_range(2..1_400),
            _ => random.random_range(1_400..9_000),
        };
        let mut datagram = vec![0; length];
        random.fill_bytes(&mut datagram);
        shape(&mut datagram, random);
        socket.send_to(&datagram, to).await?;
    }
    Ok(())
}

/// Makes most of the garbage look like something, for its first bytes.
fn shape(datagram: &mut [u8], random: &mut StdRng) {
    let head: &[u8] = match random.random_range(0..7) {
        // A STUN binding request with the magic cookie and a length that is true for nobody.
        0 => &[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
        // A binding request whose username is said to be 60,000 bytes long.
        1 => &[
            0, 1, 1, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0xea,
            0x60,
        ],
        // A DTLS 1.2 handshake record and a fragment of a ClientHello.
        2 => &[
            22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 0, 1, 0, 0, 0, 0, 0x80, 0,
        ],
        // RTP with fifteen sources and an extension.
        3 => &[0xbf, 0xe0],
        // RTCP: a sender report that is longer than it is.
        4 => &[0x80, 200, 0xff, 0xff],
        // TURN channel data.
        5 => &[0x40, 0, 0xff, 0xff],
        _ => &[],
    };
    let length = head.len().min(datagram.len());
    datagram[..length].copy_from_slice(&head[..length]);
}

/// ICE-TCP connections with frames (RFC 4571) that are garbage, never end, or are left half-said.
async fn throw_streams(to: SocketAddr, random: &mut StdRng) -> Result<()> {
    for number in 0..TCP_CONNECTIONS {
        let mut stream = TcpStream::connect(to).await?;
        let mut bytes = vec![0; random.random_range(1..4_000)];
        random.fill_bytes(&mut bytes);
        if number % 2 == 0 {
            bytes[0] = 0;
            if let Some(second) = bytes.get_mut(1) {
                *second = 40;
            }
        }
        // The gateway may hang up in the middle.
        let _ = stream.write_all(&bytes).await;
    }
    Ok(())
}
