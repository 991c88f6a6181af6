//! The weather itself: each condition does what it says, or the tests behind it would prove nothing.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use socket2::SockRef;
use tests::{
    Namespace, TcpCondition, TcpWeather, UdpCondition, UdpTraffic, UdpWeather, eventually,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Instant, timeout},
};

/// What comes at once on an idle machine; this one may be busy.
const SOON: Duration = Duration::from_secs(30);

/// A proxied connection: the client's end and the server's.
async fn connection() -> Result<(TcpWeather, TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let weather = TcpWeather::before(listener.local_addr()?)?;
    let client = TcpStream::connect(weather.address()).await?;
    let (server, _) = listener.accept().await?;
    Ok((weather, client, server))
}

#[tokio::test]
async fn in_clear_weather_bytes_pass_both_ways_and_the_end_too() -> Result<()> {
    let (_weather, mut client, mut server) = connection().await?;
    let mut heard = String::new();

    client.write_all(b"ping").await?;
    client.shutdown().await?;
    server.read_to_string(&mut heard).await?;
    server.write_all(b"pong").await?;
    server.shutdown().await?;
    client.read_to_string(&mut heard).await?;

    assert_eq!(heard, "pingpong");
    Ok(())
}

#[tokio::test]
async fn a_stall_fills_the_senders_buffers_and_passes_all_when_it_is_over() -> Result<()> {
    let (weather, mut client, mut server) = connection().await?;
    weather.set(TcpCondition::Stalled);

    let block = vec![7_u8; 64 * 1024];
    let mut written = 0;
    while let Ok(result) = timeout(Duration::from_millis(300), client.write(&block)).await {
        written += result?;
    }
    weather.set(TcpCondition::Clear);
    client.shutdown().await?;
    let mut heard = Vec::new();
    timeout(SOON, server.read_to_end(&mut heard)).await??;

    assert!(written > 0);
    assert_eq!(heard.len(), written);
    Ok(())
}

#[tokio::test]
async fn a_half_open_connection_swallows_what_is_sent() -> Result<()> {
    let (weather, mut client, mut server) = connection().await?;
    weather.set(TcpCondition::HalfOpen);

    client.write_all(&vec![7; 4 * 1024 * 1024]).await?;
    let heard = timeout(Duration::from_millis(300), server.read_u8()).await;

    assert!(heard.is_err(), "{heard:?}");
    Ok(())
}

#[tokio::test]
async fn a_cut_ends_a_connection_in_good_order_and_a_reset_does_not() -> Result<()> {
    let (weather, mut client, _server) = connection().await?;
    weather.set(TcpCondition::Cut);
    assert_eq!(timeout(SOON, client.read(&mut [0])).await??, 0);

    let (weather, mut client, _server) = connection().await?;
    weather.set(TcpCondition::Reset);
    let error = timeout(SOON, client.read(&mut [0])).await?.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    Ok(())
}

#[tokio::test]
async fn delayed_and_slow_connections_take_their_time() -> Result<()> {
    let (weather, mut client, mut server) = connection().await?;
    let conditions = [
        TcpCondition::Delayed(Duration::from_millis(200)),
        TcpCondition::Slow(5_000),
    ];
    for condition in conditions {
        weather.set(condition);
        let start = Instant::now();

        client.write_all(&[7; 1_000]).await?;
        timeout(SOON, server.read_exact(&mut [0; 1_000])).await??;

        assert!(
            start.elapsed() >= Duration::from_millis(190),
            "{condition:?} took {:?}",
            start.elapsed()
        );
    }
    Ok(())
}

/// Sends numbered packets through the weather to an echo and returns the numbers as they come back.
async fn echo(condition: UdpCondition, seed: u64, count: u16) -> Result<Vec<u16>> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    SockRef::from(&server).set_recv_buffer_size(4 * 1024 * 1024)?;
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let weather = UdpWeather::before(server.local_addr()?, address, condition, seed).await?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut heard = Vec::new();
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        client
            .send_to(&[0x80, high, low], weather.address())
            .await?;
    }
    let traffic = has_taken(&weather, count.into()).await?;
    let mut buffer = [0; 3];
    for _ in 0..traffic.received - traffic.lost + traffic.duplicated {
        timeout(SOON, server.recv_from(&mut buffer)).await??;
        heard.push(u16::from_be_bytes([buffer[1], buffer[2]]));
    }
    assert!(is_silent(&server).await, "more than the weather tells");
    Ok(heard)
}

/// Waits until the weather has decided about so many datagrams.
async fn has_taken(weather: &UdpWeather, count: u64) -> Result<UdpTraffic> {
    eventually("every datagram is in the weather", SOON, async || {
        let traffic = weather.traffic();
        Ok((traffic.received == count).then_some(traffic))
    })
    .await
}

/// Whether nothing comes for a while.
async fn is_silent(socket: &UdpSocket) -> bool {
    timeout(Duration::from_millis(200), socket.recv_from(&mut [0; 8]))
        .await
        .is_err()
}

#[tokio::test]
async fn in_fair_weather_every_datagram_arrives_in_order() -> Result<()> {
    let heard = echo(UdpCondition::default(), 1, 500).await?;

    assert_eq!(heard, (0..500).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn loss_is_as_much_as_asked_for_and_the_same_for_the_same_seed() -> Result<()> {
    let condition = UdpCondition {
        loss: 0.2,
        ..UdpCondition::default()
    };

    let first = echo(condition, 7, 1_000).await?;
    let second = echo(condition, 7, 1_000).await?;
    let other = echo(condition, 8, 1_000).await?;

    assert!((740..860).contains(&first.len()), "{}", first.len());
    assert_eq!(first, second);
    assert_ne!(first, other);
    Ok(())
}

#[tokio::test]
async fn jitter_reorders_and_duplication_repeats() -> Result<()> {
    let condition = UdpCondition {
        jitter: Duration::from_millis(40),
        duplication: 0.1,
        ..UdpCondition::default()
    };

    let heard = echo(condition, 3, 500).await?;

    assert!(heard.len() > 520, "{}", heard.len());
    assert!(!heard.is_sorted());
    Ok(())
}

#[tokio::test]
async fn a_burst_takes_packets_in_a_row() -> Result<()> {
    let condition = UdpCondition {
        bursts: 0.01,
        burst_length: 20,
        ..UdpCondition::default()
    };

    let heard = echo(condition, 5, 1_000).await?;

    let holes: Vec<_> = heard
        .windows(2)
        .map(|pair| pair[1] - pair[0] - 1)
        .filter(|&lost| lost > 0)
        .collect();
    assert!(!holes.is_empty());
    assert!(holes.iter().all(|lost| lost % 21 == 0), "{holes:?}");
    Ok(())
}

#[tokio::test]
async fn the_weather_can_turn_and_a_client_can_come_from_another_port() -> Result<()> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let fair = UdpCondition::default();
    let weather = UdpWeather::before(server.local_addr()?, address, fair, 1).await?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut buffer = [0; 2];

    client.send_to(&[0, 1], weather.address()).await?;
    let (_, first) = timeout(SOON, server.recv_from(&mut buffer)).await??;
    weather.set(UdpCondition { away: true, ..fair });
    client.send_to(&[0, 2], weather.address()).await?;
    let away = has_taken(&weather, 2).await?;
    let is_silent = is_silent(&server).await;
    weather.set(fair);
    weather.change_addresses();
    client.send_to(&[0, 3], weather.address()).await?;
    let (_, second) = timeout(SOON, server.recv_from(&mut buffer)).await??;
    server.send_to(&[0, 4], second).await?;
    let mut answer = [0; 2];
    timeout(SOON, client.recv_from(&mut answer)).await??;

    assert_eq!(away.lost, 1);
    assert!(is_silent);
    assert_eq!((buffer, answer), ([0, 3], [0, 4]));
    assert_ne!(first, second);
    Ok(())
}

#[tokio::test]
async fn what_passes_a_connection_is_counted() -> Result<()> {
    let (weather, mut client, mut server) = connection().await?;

    client.write_all(&[7; 3_000]).await?;
    server.read_exact(&mut [0; 3_000]).await?;
    server.write_all(&[7; 500]).await?;
    client.read_exact(&mut [0; 500]).await?;
    // Nobody listens behind the proxy any more.
    let _second = TcpStream::connect(weather.address()).await?;
    drop((client, server));

    let counted = eventually("both are closed", SOON, async || {
        let counted = weather.connections();
        let closed = counted.len() == 2 && counted.iter().all(|connection| !connection.open);
        Ok(closed.then_some(counted))
    })
    .await?;
    assert_eq!((counted[0].up, counted[0].down), (3_000, 500));
    assert_eq!((counted[1].up, counted[1].down), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_black_hole_acknowledges_nothing_and_gives_everything_back() -> Result<()> {
    let mut namespace = Namespace::create().await?;
    let listener = TcpListener::bind((namespace.host(), 0)).await?;
    let port = listener.local_addr()?.port().to_string();
    let mut echo = namespace
        .command("bash")
        .args(["-c", "exec 3<>/dev/tcp/$0/$1; exec cat <&3 >&3"])
        .args([namespace.host().to_string(), port])
        .kill_on_drop(true)
        .spawn()?;
    let (mut server, peer) = timeout(SOON, listener.accept()).await??;
    let mut buffer = [0; 4];

    namespace.begin_black_hole().await?;
    server.write_all(b"ping").await?;
    let silence = timeout(Duration::from_millis(300), server.read(&mut buffer)).await;
    namespace.end_black_hole().await?;
    timeout(SOON, server.read_exact(&mut buffer)).await??;
    namespace.unplug().await?;
    namespace.plug().await?;
    namespace.change_address().await?;
    echo.kill().await?;

    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(&buffer, b"ping");
    assert_eq!(peer.ip().to_string().rsplit('.').next(), Some("2"));
    assert_eq!(namespace.inside().octets()[3], 3);
    Ok(())
}

#[tokio::test]
async fn what_is_not_media_is_never_lost() -> Result<()> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let condition = UdpCondition {
        loss: 1.0,
        ..UdpCondition::default()
    };
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let weather = UdpWeather::before(server.local_addr()?, address, condition, 1).await?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;

    client.send_to(&[0x80, 1], weather.address()).await?;
    client.send_to(&[0x01, 2], weather.address()).await?;
    let mut buffer = [0; 2];
    let (_, from) = timeout(SOON, server.recv_from(&mut buffer)).await??;
    server.send_to(&[0x14, 3], from).await?;
    timeout(SOON, client.recv_from(&mut buffer)).await??;

    assert_eq!(buffer, [0x14, 3]);
    assert_eq!(weather.traffic().lost, 1);
    Ok(())
}

#[tokio::test]
async fn a_slow_downlink_takes_its_time_and_loses_what_does_not_fit() -> Result<()> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let condition = UdpCondition {
        // A thousand bytes take 20 ms; 300 ms of them wait.
        downlink_kbps: Some(400),
        ..UdpCondition::default()
    };
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let weather = UdpWeather::before(server.local_addr()?, address, condition, 1).await?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut buffer = [0x80; 1_000];

    for _ in 0..40 {
        client.send_to(&buffer, weather.address()).await?;
    }
    let mut from = client.local_addr()?;
    for _ in 0..40 {
        (_, from) = timeout(SOON, server.recv_from(&mut buffer)).await??;
    }
    let up = weather.traffic();
    let start = Instant::now();
    for _ in 0..40 {
        server.send_to(&buffer, from).await?;
    }
    let down = has_taken(&weather, 80).await?;
    // While they went in, as many more found room.
    let longest = start.elapsed() + Duration::from_millis(300);
    let through = 80 - down.lost;
    for _ in 40..through {
        timeout(SOON, client.recv_from(&mut buffer)).await??;
    }
    let last = start.elapsed();

    assert_eq!(up.lost, 0, "the uplink is not slow");
    let through = u32::try_from(through - 40)?;
    let most = u32::try_from(longest.as_millis() / 20)? + 1;
    assert!(
        (15..=most.min(40)).contains(&through),
        "{through} came through, {most} at most"
    );
    // The first is on its way for 20 ms, too.
    let least = Duration::from_millis(20) * through;
    assert!(last >= least, "{through} took {last:?}");
    Ok(())
}
