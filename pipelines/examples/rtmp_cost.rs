//! Measures what publishing costs: CPU of this process, per destination, with receivers in another one.
//!
//! `cargo run --release -p pipelines --example rtmp_cost -- [destinations] [seconds] [tls]`

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use broadcast::Endpoint;
use bytes::Bytes;
use media::{AccessUnit, AudioConfig, CodecConfig, Fanout, VideoConfig};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use pipelines::rtmp::{
    Counters, Limits, MediaHints, Programme, Target, Trust, publish,
    receiver::{Receiver, ReceiverOptions, TlsIdentity},
};
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

const PICTURES_PER_SECOND: u32 = 30;
const VIDEO_BITS_PER_SECOND: u32 = 4_500_000;
/// Of AAC at 48 kHz and 128 kb/s.
const SOUND_BYTES: usize = 341;
const SOUND: Duration = Duration::from_nanos(21_333_333);
const WARM_UP: Duration = Duration::from_secs(2);

type Failed = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |place: usize| arguments.get(place).map(String::as_str);
    let is_secure = argument(2) == Some("tls");
    if argument(0) == Some("receive") {
        return receive(is_secure).await;
    }
    let destinations = argument(0).unwrap_or("3").parse()?;
    let seconds = argument(1).unwrap_or("20").parse()?;
    measure(destinations, Duration::from_secs(seconds), is_secure).await
}

/// The other process: prints its address and its certificate, and receives until its input ends.
#[expect(clippy::print_stdout, reason = "it talks to the measuring process")]
async fn receive(is_secure: bool) -> Result<(), Failed> {
    let mut options = ReceiverOptions::default();
    let mut shown = String::new();
    if is_secure {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = pair.cert.der().to_vec();
        for byte in &certificate {
            write!(shown, "{byte:02x}")?;
        }
        let private_key = pair.signing_key.serialize_der();
        options.tls = Some(TlsIdentity {
            certificates: vec![certificate],
            private_key,
        });
    }
    let receiver = Receiver::bind_with("127.0.0.1:0".parse()?, options).await?;
    println!("{} {shown}", receiver.local_address());
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await?;
    for report in receiver.streams() {
        let (frames, gap) = (
            report.video.cadence.frames,
            report.video.cadence.longest_arrival_gap,
        );
        println!(
            "{frames} frames, {} violations, longest gap {gap:?}",
            report.violations_count
        );
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "its result is for a person")]
async fn measure(destinations: u32, length: Duration, is_secure: bool) -> Result<(), Failed> {
    let mut receiver = Command::new(std::env::current_exe()?)
        .args(["receive", "-", if is_secure { "tls" } else { "plain" }])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(receiver.stdout.take().ok_or("no output")?).lines();
    let line = lines.next().ok_or("the receiver said nothing")??;
    let (address, certificate) = line.split_once(' ').ok_or("no address")?;
    let address: SocketAddr = address.parse()?;
    let certificate: Vec<u8> = (0..certificate.len() / 2)
        .map(|place| u8::from_str_radix(&certificate[2 * place..][..2], 16))
        .collect::<Result<_, _>>()?;
    let scheme = if is_secure { "rtmps" } else { "rtmp" };
    let url = format!("{scheme}://localhost:{}/live", address.port());
    let target = Target {
        endpoint: Endpoint::parse(&url, Some("key"))?,
        addresses: vec![address],
        trust: Trust::with_roots([certificate]),
        limits: Limits::default(),
    };

    let mut fanout = Fanout::new(Duration::from_secs(4));
    let counters: Arc<Counters> = Arc::default();
    let mut tasks = JoinSet::new();
    let mut all_consented = Vec::new();
    for _ in 0..destinations {
        let media = fanout.subscriber();
        let programme = Programme::new(media, MediaHints::default(), Arc::clone(&counters));
        let (consent, consented) = oneshot::channel();
        all_consented.push(consented);
        let target = target.clone();
        tasks.spawn(async move {
            let on_live = || {
                let _ = consent.send(());
            };
            publish(&target, &programme, on_live, std::future::pending()).await
        });
    }
    for consented in all_consented {
        consented.await?;
    }

    let mut units = Units::new();
    units.play(&mut fanout, WARM_UP).await;
    let before = (cpu()?, Instant::now());
    units.play(&mut fanout, length).await;
    let after = (cpu()?, Instant::now());
    drop(fanout);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    drop(receiver.stdin.take());
    for line in lines {
        println!("{}", line?);
    }
    receiver.wait()?;
    let share =
        after.0.saturating_sub(before.0).as_secs_f64() / (after.1 - before.1).as_secs_f64() * 100.0;
    println!(
        "{destinations} × {scheme}: {share:.3} % of one core, {:.3} % per destination, {} dropped",
        share / f64::from(destinations),
        counters.frames_dropped()
    );
    Ok(())
}

fn cpu() -> Result<Duration, Failed> {
    let usage: Usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), 0)
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Pictures and sound of the right sizes; their bytes mean nothing but pass for slices.
struct Units {
    video: Arc<CodecConfig>,
    audio: Arc<CodecConfig>,
    picture: u32,
    sound_until: Duration,
    due: Instant,
}

impl Units {
    fn new() -> Self {
        // 320×180 by x264.
        let record: [u8; 38] = [
            0x01, 0x42, 0xC0, 0x0D, 0xFF, 0xE1, 0x00, 0x17, 0x67, 0x42, 0xC0, 0x0D, 0xDA, 0x05,
            0x06, 0x7E, 0x7C, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0F, 0x03,
            0xC5, 0x0A, 0xA8, 0x01, 0x00, 0x04, 0x68, 0xCE, 0x3C, 0x80,
        ];
        let decoder_configuration = Bytes::copy_from_slice(&record);
        let video = VideoConfig {
            decoder_configuration,
            width: 320,
            height: 180,
        };
        let audio_specific_config = Bytes::from_static(&[0x11, 0x90]);
        let audio = AudioConfig {
            audio_specific_config,
            sample_rate_hz: 48_000,
            channels: 2,
        };
        Self {
            video: Arc::new(CodecConfig::Avc(video)),
            audio: Arc::new(CodecConfig::Aac(audio)),
            picture: 0,
            sound_until: Duration::ZERO,
            due: Instant::now(),
        }
    }

    async fn play(&mut self, fanout: &mut Fanout, length: Duration) {
        let end = self.due + length;
        while self.due < end {
            tokio::time::sleep_until(self.due).await;
            let timestamp = Duration::from_secs(1) * self.picture / PICTURES_PER_SECOND;
            while self.sound_until < timestamp {
                fanout.push(AccessUnit {
                    timestamp: self.sound_until,
                    keyframe: true,
                    config: Arc::clone(&self.audio),
                    data: Bytes::from(vec![1; SOUND_BYTES]),
                });
                self.sound_until += SOUND;
            }
            // A keyframe every 2 s, six times as long as the others.
            let group = 2 * PICTURES_PER_SECOND;
            let keyframe = self.picture.is_multiple_of(group);
            let inter = VIDEO_BITS_PER_SECOND / 8 * 2 / (group + 5);
            let length = if keyframe { 6 * inter } else { inter };
            let mut data = (length - 4).to_be_bytes().to_vec();
            data.push(if keyframe { 0x65 } else { 0x41 });
            data.resize(length as usize, 0x55);
            let config = Arc::clone(&self.video);
            fanout.push(AccessUnit {
                timestamp,
                keyframe,
                config,
                data: Bytes::from(data),
            });
            self.picture += 1;
            self.due += Duration::from_secs(1) / PICTURES_PER_SECOND;
        }
    }
}
