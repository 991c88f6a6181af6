//! The whole product in one process: a synthetic studio goes live to two destinations, and what they received is judged.

mod lip_sync;

use std::{
    fmt,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use broadcast::{
    AfterCut, BackupMode, BroadcastId, BroadcastSpec, DestinationId, DestinationSpec, Endpoint,
    Platform,
};
use lip_sync::Recordings;
use pipelines::{
    gstreamer::CueOffsets,
    rtmp::receiver::{Ending, StreamReport},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway, LocalReceiver,
    broadcasts::{BroadcastHandle, Created},
    config::{AuthConfig, Config},
    publish::{self, Progress, PublishOptions, SessionReport},
};

/// The demo's broadcast.
const BROADCAST: &str = "demo";

/// How many destinations it has.
const DESTINATIONS: usize = 2;

/// The longest time between two pictures after the first second; five pictures at 30 a second.
const LONGEST_GAP: Duration = Duration::from_millis(150);

/// The platforms' rule is two seconds; the studio's answer to a wish may take a moment.
const LONGEST_KEYFRAME_INTERVAL: Duration = Duration::from_millis(2500);

/// How far sound may be ahead of or behind the picture; people notice more than about 100 ms.
const LARGEST_OFFSET_MS: i64 = 80;

/// How long decoding what was received may take.
const DECODING: Duration = Duration::from_mins(2);

/// How much the beginning may cost: go-live is promised within a second, and takes until the next keyframe.
const BEGINNING: Duration = Duration::from_millis(1500);

/// Runs everything in one process and judges what two destinations received.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArguments {
    /// How long to broadcast, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(3..=3600))]
    seconds: u64,
}

impl DemoArguments {
    /// Broadcasts with a live table on standard output; the exit code is 0 when all is well.
    pub async fn run(self, config: Config, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let gateway = Gateway::start(on_free_ports(config)).await?;
        let receiver = gateway.local_receiver().cloned();
        let receiver = receiver.context("the demo has a local receiver")?;
        let recordings = Recordings::start(&receiver, DESTINATIONS)?;
        let outcome = broadcast(&gateway, Duration::from_secs(self.seconds), stop).await;
        gateway.shutdown().await;
        let session = outcome?;
        let offsets = tokio::time::timeout(DECODING, recordings.measure()).await;
        judge(
            &receiver,
            &session,
            &offsets.context("decoding took too long")??,
        )
    }
}

fn on_free_ports(mut config: Config) -> Config {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.http = free;
    config.rtc = free;
    config.announced = Vec::new();
    config.public_url = None;
    config.auth = AuthConfig::Anonymous;
    config.local_receiver = Some(free);
    config.rate_limit = None;
    config
}

async fn broadcast(
    gateway: &Gateway,
    length: Duration,
    stop: CancellationToken,
) -> anyhow::Result<SessionReport> {
    let receiver = gateway
        .local_receiver()
        .context("the demo has a local receiver")?;
    let spec = BroadcastSpec::new(
        BroadcastId::new(BROADCAST)?,
        broadcast::Method::default(),
        true,
        (1..=DESTINATIONS)
            .map(|number| destination(receiver, number))
            .collect::<anyhow::Result<_>>()?,
    )?;
    let handle = match gateway.broadcasts().create(spec).await? {
        Created::New(handle) | Created::Same(handle) => handle,
    };
    let options = PublishOptions {
        duration: Some(length),
        ..PublishOptions::new(format!(
            "http://{}/whip/{BROADCAST}",
            gateway.http_address()
        ))
    };
    writeln!(
        io::stdout(),
        "studio page and API: http://{}/",
        gateway.http_address()
    )?;
    let report = publish::run(options, stop, |progress| {
        // Nobody reads standard output any more: the verdict still counts.
        let _ = write_table(progress, &handle);
    })
    .await?;
    handle.end().await;
    report
        .sessions
        .into_iter()
        .next()
        .context("one session was asked for")
}

fn destination(receiver: &LocalReceiver, number: usize) -> anyhow::Result<DestinationSpec> {
    Ok(DestinationSpec {
        id: DestinationId::new(format!("destination-{number}"))?,
        platform: Platform::new("local")?,
        endpoint: Endpoint::parse(receiver.rtmp_url(), Some(&format!("{BROADCAST}-{number}")))?,
        backup: None,
        backup_mode: BackupMode::default(),
        required: true,
        enabled: true,
        paused: false,
        after_cut: AfterCut::default(),
        rendition: None,
        provider: None,
    })
}

fn write_table(progress: &Progress, handle: &BroadcastHandle) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let snapshot = handle.snapshot();
    writeln!(out, "{progress}   broadcast {}", snapshot.state.as_str())?;
    for destination in &snapshot.destinations {
        writeln!(
            out,
            "        {:<14} {:<10} {:>6} kb/s {:>6} frames {:>4} dropped {:>3} reconnects",
            destination.id,
            destination.primary.state.as_str(),
            destination.primary.bits_per_second / 1000,
            destination.primary.frames_sent,
            destination.primary.frames_dropped,
            destination.primary.reconnects,
        )?;
    }
    out.flush()
}

/// Prints what each destination received, and what is wrong with it.
fn judge(
    receiver: &LocalReceiver,
    session: &SessionReport,
    offsets: &[CueOffsets],
) -> anyhow::Result<ExitCode> {
    let streams = receiver.streams();
    let mut out = io::stdout().lock();
    writeln!(out, "\nstudio: {} frames sent", session.frames)?;
    let mut faults: Vec<String> = session
        .failure
        .iter()
        .map(|failure| format!("studio: {failure}"))
        .collect();
    if streams.len() != DESTINATIONS {
        faults.push(format!(
            "{} publishes were received in place of {DESTINATIONS}",
            streams.len()
        ));
    }
    for (index, (stream, offsets)) in streams.iter().zip(offsets).enumerate() {
        let name = format!("destination-{}", index + 1);
        writeln!(out, "{name}: {}", Received(stream, offsets))?;
        faults.extend(
            faults_of(stream, offsets, session)
                .into_iter()
                .map(|fault| format!("{name}: {fault}")),
        );
    }
    for fault in &faults {
        writeln!(out, "NOT WELL  {fault}")?;
    }
    ensure!(out.flush().is_ok(), "standard output is closed");
    if faults.is_empty() {
        writeln!(out, "all is well")?;
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

struct Received<'a>(&'a StreamReport, &'a CueOffsets);

impl fmt::Display for Received<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StreamReport { video, audio, .. } = self.0;
        let offset = |offset: Option<i64>| {
            offset.map_or_else(|| "-".to_owned(), |offset| format!("{offset} ms"))
        };
        write!(
            formatter,
            "{} {}x{} {} frames, longest gap {} ms, longest keyframe interval {} ms; \
             {} {} Hz {} channels {} frames, longest gap {} ms; A/V offset {} (worst {}, {} flashes and beeps)",
            video.codec.unwrap_or("no picture"),
            video.width,
            video.height,
            video.cadence.frames,
            video.cadence.longest_settled_gap.as_millis(),
            video
                .longest_keyframe_interval
                .unwrap_or_default()
                .as_millis(),
            audio.codec.unwrap_or("no sound"),
            audio.sample_rate_hz,
            audio.channels,
            audio.cadence.frames,
            audio.cadence.longest_settled_gap.as_millis(),
            offset(self.1.median()),
            offset(self.1.worst()),
            self.1.pairs(),
        )
    }
}

fn faults_of(stream: &StreamReport, offsets: &CueOffsets, session: &SessionReport) -> Vec<String> {
    let StreamReport { video, audio, .. } = stream;
    let studio = PublishOptions::new("").studio;
    let per_second = u64::from(studio.frames_per_second);
    let beginning = BEGINNING.as_secs_f64() * f64::from(studio.frames_per_second);
    let missing = session.frames.saturating_sub(video.cadence.frames);
    let checks = [
        (
            video.codec != Some("H.264"),
            "the picture is not H.264".to_owned(),
        ),
        (
            audio.codec != Some("AAC"),
            "the sound is not AAC".to_owned(),
        ),
        (
            (video.width, video.height) != (studio.width, studio.height),
            format!("the picture is not {}x{}", studio.width, studio.height),
        ),
        (
            video.cadence.frames < per_second,
            "there is less than a second of pictures".to_owned(),
        ),
        (
            f64::from(u32::try_from(missing).unwrap_or(u32::MAX)) > beginning,
            format!("{missing} of {} frames are missing", session.frames),
        ),
        (
            video.cadence.longest_settled_gap > LONGEST_GAP,
            format!(
                "pictures have a gap of more than {} ms",
                LONGEST_GAP.as_millis()
            ),
        ),
        (
            audio.cadence.longest_settled_gap > LONGEST_GAP,
            format!(
                "sound has a gap of more than {} ms",
                LONGEST_GAP.as_millis()
            ),
        ),
        (
            video
                .longest_keyframe_interval
                .is_none_or(|interval| interval > LONGEST_KEYFRAME_INTERVAL),
            format!(
                "keyframes are more than {} ms apart",
                LONGEST_KEYFRAME_INTERVAL.as_millis()
            ),
        ),
        (
            offsets
                .worst()
                .is_none_or(|offset| offset.abs() > LARGEST_OFFSET_MS),
            format!("sound and picture are more than {LARGEST_OFFSET_MS} ms apart"),
        ),
        (
            stream.violations_count > 0,
            format!("RTMP rules were broken: {}", stream.violations.join(", ")),
        ),
        (
            stream.ending != Some(Ending::Deleted),
            "it did not end in order".to_owned(),
        ),
    ];
    checks
        .into_iter()
        .filter_map(|(wrong, words)| wrong.then_some(words))
        .collect()
}
