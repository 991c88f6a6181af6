//! One consumer: its stream, what was sent of it, and what its client told. Pure; time is an argument.

use std::time::{Duration, Instant};

use ortc::{CodecParameters, RtpParameters};
use rtc::rtcp::{
    reception_report::ReceptionReport,
    sender_report::SenderReport,
    source_description::{
        SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
    },
};

use super::{
    ConsumerKey, ConsumerSetup, DownlinkEvent,
    forwarder::{Forwarder, Verdict},
    history::History,
    meter::Meter,
    packet::{ExtensionIds, Packet, Stamp, Stream},
};
use crate::router::ConsumerCounters;

/// What a name is at most, in bytes (RFC 3550 § 6.5).
const LONGEST_NAME: usize = 255;
/// Wishes for a keyframe by packets that cannot be used are repeated this often.
const WISH_PAUSE: Duration = Duration::from_millis(200);
/// A larger layer does not come back sooner after it was taken away.
const LOWERED: Duration = Duration::from_secs(5);

/// One consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) key: ConsumerKey,
    pub(super) ssrc: u32,
    pub(super) is_video: bool,
    pub(super) ids: ExtensionIds,
    pub(super) forwarder: Forwarder,
    name: String,
    repeats: Repeats,
    history: Option<History>,
    paused: bool,
    producer_paused: bool,
    /// The highest spatial layer that the client wants.
    pub(super) preferred: u8,
    pub(super) layers: u8,
    /// What its owner was told to be sent.
    told: Option<u8>,
    lowered: Option<Instant>,
    wished: Option<Instant>,
    meter: Meter,
    counters: ConsumerCounters,
    pub(super) report_due: Option<Instant>,
}

/// How packets are sent again.
#[derive(Debug, Clone, Copy)]
enum Repeats {
    Never,
    /// As they were, byte by byte.
    Same,
    /// RFC 4588.
    Wrapped {
        ssrc: u32,
        payload_type: u8,
        sequence: u16,
    },
}

impl Consumer {
    /// `None`: the parameters lack a codec or an SSRC, against their promise.
    pub(super) fn new(setup: ConsumerSetup, now: Instant) -> Option<Self> {
        let codec = setup.rtp.codecs.first()?;
        let encoding = setup.rtp.encodings.first()?;
        let ssrc = encoding.ssrc?;
        let repair = encoding.rtx.zip(repair_of(codec, &setup.rtp));
        let takes_nack = codec
            .rtcp_feedback
            .iter()
            .any(|feedback| feedback.kind == "nack" && feedback.parameter.is_empty());
        let repeats = match repair {
            Some((rtx, payload_type)) => Repeats::Wrapped {
                ssrc: rtx.ssrc,
                payload_type,
                // In the lower half, as the media's (RFC 3711 § 3.3.1).
                sequence: !setup.first.sequence & 0x7fff,
            },
            None if takes_nack => Repeats::Same,
            None => Repeats::Never,
        };
        let forwarder = Forwarder::new(
            setup.video,
            codec.payload_type,
            setup.clock_rate,
            setup.layers,
            setup.first,
        );
        let ids = ExtensionIds::new(&setup.rtp);
        let name = setup.rtp.rtcp.cname.unwrap_or_default();
        Some(Self {
            key: setup.key,
            ssrc,
            is_video: setup.video.is_some(),
            ids,
            forwarder,
            name: name.chars().take(LONGEST_NAME / 4).collect(),
            history: (!matches!(repeats, Repeats::Never)).then(|| History::new(now)),
            repeats,
            paused: setup.paused,
            producer_paused: setup.producer_paused,
            preferred: u8::MAX,
            layers: setup.layers.max(1),
            told: None,
            lowered: None,
            wished: None,
            meter: Meter::new(),
            counters: ConsumerCounters::default(),
            report_due: None,
        })
    }

    /// Whether packets are wanted.
    pub(super) const fn is_open(&self) -> bool {
        !self.paused && !self.producer_paused
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.settle_pause();
    }

    pub(super) fn pause_producer(&mut self, paused: bool) {
        self.producer_paused = paused;
        self.settle_pause();
    }

    /// The highest layers that the client wants.
    pub(super) fn prefer(&mut self, spatial: u8, temporal: Option<u8>) {
        self.preferred = spatial;
        self.forwarder.want_temporal(temporal);
    }

    /// The layer that is to be sent from now on, of those that there is bandwidth for.
    pub(super) fn aim(&mut self, target: Option<u8>, now: Instant) {
        if target < self.forwarder.target() {
            self.lowered = Some(now);
        }
        if target != self.forwarder.target() {
            self.wished = None;
        }
        self.forwarder.aim(target);
    }

    /// Whether a larger layer was taken away just now.
    pub(super) fn was_lowered(&self, now: Instant) -> bool {
        self.lowered
            .is_some_and(|lowered| now.saturating_duration_since(lowered) < LOWERED)
    }

    /// Whether a wish for a keyframe of the target is to be passed on now.
    pub(super) fn take_wish(&mut self, now: Instant) -> bool {
        let is_early = |wished: Instant| now.saturating_duration_since(wished) < WISH_PAUSE;
        if !self.is_open() || !self.forwarder.waits() || self.wished.is_some_and(is_early) {
            return false;
        }
        self.wished = Some(now);
        true
    }

    /// What is sent now, if its owner does not know yet. Without simulcast only what fails is told.
    pub(super) fn take_change(&mut self) -> Option<DownlinkEvent> {
        if !self.is_video || !self.is_open() {
            return None;
        }
        let is_starved = self.forwarder.target().is_none();
        let sent = self.forwarder.layer();
        if sent == self.told || (sent.is_none() && !is_starved) {
            return None;
        }
        let is_first = self.told.is_none() && self.layers == 1 && self.lowered.is_none();
        self.told = sent;
        (!is_first).then_some(DownlinkEvent::LayersChanged(self.key, sent))
    }

    /// A packet went out.
    pub(super) fn handle_sent(&mut self, packet: Packet, stamp: Stamp, now: Instant) {
        let bytes = packet.payload_bytes();
        if self.counters.packets == 0 {
            self.report_due = Some(now);
        }
        self.counters.packets += 1;
        self.counters.bytes += u64::try_from(bytes).unwrap_or(0);
        self.meter.count(bytes, now);
        if let Some(history) = &mut self.history {
            history.keep(packet, stamp, now);
        }
    }

    /// A packet that the client misses, in the stream where it goes, with its first stamp if it goes as it was.
    pub(super) fn repeat(
        &mut self,
        sequence: u16,
        now: Instant,
    ) -> Option<(&ExtensionIds, &Packet, Stream, Option<Stamp>)> {
        let history = self.history.as_mut()?;
        let (packet, stamp) = history.take(sequence, self.counters.round_trip, now)?;
        self.counters.repeated += 1;
        let (stream, stamp) = match &mut self.repeats {
            Repeats::Never => return None,
            Repeats::Same => (Stream::Media { ssrc: self.ssrc }, Some(stamp)),
            wrapped @ Repeats::Wrapped { .. } => (wrapped.next()?, None),
        };
        Some((&self.ids, packet, stream, stamp))
    }

    /// One of the newest packets, to be sent again as a probe. `None`: there is none, or no stream for it.
    pub(super) fn pad(&mut self, number: usize) -> Option<(&ExtensionIds, &Packet, Stream)> {
        let packet = self.history.as_ref()?.recent(number)?;
        Some((&self.ids, packet, self.repeats.next()?))
    }

    /// Whether there is something to probe with.
    pub(super) fn can_pad(&self) -> bool {
        matches!(self.repeats, Repeats::Wrapped { .. })
            && self.ids.has_transport_sequence()
            && self
                .history
                .as_ref()
                .is_some_and(|history| history.recent(0).is_some())
    }

    /// The client tells how it receives.
    pub(super) fn handle_reception(&mut self, report: &ReceptionReport, ntp_time: u64) {
        self.counters.lost = u64::from(report.total_lost);
        if report.last_sender_report != 0 {
            let middle = ntp_time.to_be_bytes();
            let middle = u32::from_be_bytes([middle[2], middle[3], middle[4], middle[5]]);
            let units = middle
                .wrapping_sub(report.last_sender_report)
                .wrapping_sub(report.delay);
            // Half a minute is 2^21 units; more is a report that lies.
            if units < 1 << 21 {
                let micros = u64::from(units) * 1_000_000 / 65_536;
                self.counters.round_trip = Some(Duration::from_micros(micros));
            }
        }
    }

    /// The client needs a keyframe.
    pub(super) const fn count_keyframe_request(&mut self) {
        self.counters.keyframe_requests += 1;
    }

    /// Measures the last second.
    pub(super) fn measure(&mut self, now: Instant) {
        self.counters.bits_per_second = self.meter.rate(now);
    }

    pub(super) fn counters(&self) -> ConsumerCounters {
        ConsumerCounters {
            spatial_layer: self.forwarder.layer().filter(|_| self.layers > 1),
            ..self.counters
        }
    }

    /// What to report. `None`: nothing went out.
    pub(super) fn report(
        &self,
        ours: i64,
        ntp_time: u64,
    ) -> Option<(SenderReport, SourceDescription)> {
        let standing = self.forwarder.standing(ours)?;
        let report = SenderReport {
            ssrc: self.ssrc,
            ntp_time,
            rtp_time: standing.rtp_timestamp,
            packet_count: standing.packets,
            octet_count: standing.octets,
            ..SenderReport::default()
        };
        let name = SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: self.ssrc,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: self.name.clone().into(),
                }],
            }],
        };
        Some((report, name))
    }

    fn settle_pause(&mut self) {
        if !self.is_open() {
            self.forwarder.interrupt();
        }
        self.wished = None;
    }

    /// What becomes of a packet of the producer.
    pub(super) fn handle_packet(
        &mut self,
        incoming: &super::Incoming<'_>,
        clock: &crate::relay::Wallclock,
        now: Instant,
    ) -> Verdict {
        if self.is_open() {
            self.forwarder.handle_packet(incoming, clock, now)
        } else {
            Verdict::Leave
        }
    }
}

impl Repeats {
    fn next(&mut self) -> Option<Stream> {
        match self {
            Self::Never | Self::Same => None,
            Self::Wrapped {
                ssrc,
                payload_type,
                sequence,
            } => {
                *sequence = sequence.wrapping_add(1);
                Some(Stream::Repeated {
                    ssrc: *ssrc,
                    payload_type: *payload_type,
                    sequence: *sequence,
                })
            }
        }
    }
}

/// The payload type of what repeats a codec (RFC 4588 § 8.6).
fn repair_of(codec: &CodecParameters, parameters: &RtpParameters) -> Option<u8> {
    let repairs = |other: &&CodecParameters| {
        let kind = other.mime_type.rsplit('/').next().unwrap_or_default();
        let is_of = |of: u64| of == u64::from(codec.payload_type);
        let apt = other.parameters.get("apt");
        kind.eq_ignore_ascii_case("rtx") && apt.is_some_and(|apt| apt.as_u64().is_some_and(is_of))
    };
    let repair = parameters.codecs.iter().find(repairs)?;
    Some(repair.payload_type)
}
