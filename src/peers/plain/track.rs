//! One stream that comes in: its sender, its key, its gaps, and what is told back. Pure; time is an argument.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use media::{RtpPacket, SenderReport, TrackKind};
use rtc::{crypto::RTCCryptoProvider, rtcp::Packet, shared::error::Error};

use super::{
    PlainTrack, TrackReport,
    feedback::{self, Heard},
    packet,
    pin::Pin,
    reception::Reception,
};
use crate::{
    repair::{Arrival, Gaps},
    srtp::{Opener, Sealer},
};

/// How long an SSRC must have been silent before another of the same sender takes its place.
const SSRC_PATIENCE: Duration = Duration::from_secs(1);
/// How long packets of an SSRC that said good-bye are stragglers.
const STRAGGLING: Duration = Duration::from_secs(1);

/// What a datagram was.
pub(super) enum Taken {
    /// A packet of media that was not seen before. `anew`: its sender was silent, or another, before.
    Packet {
        packet: RtpPacket,
        anew: bool,
        recovered: bool,
    },
    /// The sender told how its clocks relate.
    Report(SenderReport),
    /// The sender said that it is gone.
    Goodbye,
}

/// One stream.
pub(super) struct Track {
    pub(super) kind: TrackKind,
    order: PlainTrack,
    pin: Pin,
    opener: Option<Opener>,
    sealer: Option<Sealer>,
    /// The SSRC that is followed, and its state.
    stream: Option<Stream>,
    reports_to: Option<SocketAddr>,
    /// Who has written to the port for RTCP before the first packet, whose sender proves it.
    early_reporter: Option<SocketAddr>,
    /// What came before the first packet, whose sender proves it.
    early: Option<(SocketAddr, SenderReport)>,
    farewell: Option<(u32, Instant)>,
    requests: u8,
    report: TrackReport,
}

/// A request for packets that are missing.
pub(super) struct Repair {
    pub(super) packets: u64,
    pub(super) request: Box<dyn Packet>,
}

struct Stream {
    ssrc: u32,
    last: Instant,
    gaps: Gaps,
    reception: Reception,
}

impl Track {
    pub(super) fn new(
        kind: TrackKind,
        order: PlainTrack,
        ip: Option<std::net::IpAddr>,
        crypto: &Arc<dyn RTCCryptoProvider>,
    ) -> Result<Self, Error> {
        let opener = match &order.srtp {
            Some(srtp) => Some(srtp.opener(crypto)?),
            None => None,
        };
        let sealer = match &order.srtp {
            Some(srtp) => Some(srtp.sealer(crypto)?),
            None => None,
        };
        Ok(Self {
            kind,
            pin: Pin::new(ip, order.source_port, order.srtp.is_some()),
            order,
            opener,
            sealer,
            stream: None,
            reports_to: None,
            early_reporter: None,
            early: None,
            farewell: None,
            requests: 0,
            report: TrackReport::default(),
        })
    }

    /// When the last packet came, of those that count.
    pub(super) fn last_packet(&self) -> Option<Instant> {
        self.stream.as_ref().map(|stream| stream.last)
    }

    /// What is counted.
    pub(super) fn report(&self) -> TrackReport {
        TrackReport {
            source: self.pin.address(),
            ..self.report
        }
    }

    /// The sender is gone; whoever comes next may be it.
    pub(super) fn release(&mut self) {
        self.pin.release();
        self.stream = None;
        self.reports_to = None;
        self.early = None;
    }

    /// What the sender told before its first packet came. To be asked after that packet.
    pub(super) fn take_early_report(&mut self) -> Option<SenderReport> {
        let (from, report) = self.early.take()?;
        let fits = self.pin.admits_reports(from)
            && self
                .stream
                .as_ref()
                .is_some_and(|stream| stream.ssrc == report.ssrc);
        fits.then_some(report)
    }

    /// An RTP packet on one of the stream's ports.
    pub(super) fn handle_rtp(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) -> Option<Taken> {
        let refusals = &mut self.report.refused;
        let Some((payload_type, ssrc)) = packet::peek(datagram) else {
            refusals.malformed += 1;
            return None;
        };
        if !self.pin.admits(from, now) {
            refusals.source += 1;
            return None;
        }
        if payload_type != self.order.payload_type {
            refusals.payload_type += 1;
            return None;
        }
        let followed = self.stream.as_ref().filter(|stream| {
            stream.ssrc != ssrc && now.saturating_duration_since(stream.last) < SSRC_PATIENCE
        });
        if self.order.ssrc.is_some_and(|known| known != ssrc)
            || followed.is_some()
            || self.farewell.is_some_and(|(gone, since)| {
                gone == ssrc && now.saturating_duration_since(since) < STRAGGLING
            })
        {
            refusals.ssrc += 1;
            return None;
        }
        let opened = match &mut self.opener {
            Some(opener) => opener.open_rtp(datagram, ssrc),
            None => Some(Bytes::copy_from_slice(datagram)),
        };
        let Some(opened) = opened else {
            refusals.authentication += 1;
            return None;
        };
        let Some(arrived) = packet::parse(&opened) else {
            refusals.malformed += 1;
            return None;
        };
        self.follow(arrived.packet, from, now)
    }

    /// A packet that fits in every way.
    fn follow(&mut self, packet: RtpPacket, from: SocketAddr, now: Instant) -> Option<Taken> {
        let mut anew = self.pin.take(from, now);
        if anew {
            let early = self.early_reporter.take();
            self.reports_to = early.filter(|early| early.ip() == from.ip());
        }
        let (ssrc, sequence) = (packet.ssrc, packet.sequence);
        let stream = match &mut self.stream {
            Some(stream) if stream.ssrc == ssrc => stream,
            other => {
                anew = true;
                self.farewell = None;
                other.insert(Stream {
                    ssrc,
                    last: now,
                    gaps: Gaps::default(),
                    reception: Reception::new(clock_rate(self.kind), sequence, now),
                })
            }
        };
        stream.last = now;
        let repetition = stream.gaps.was_requested(sequence);
        let arrival = stream.gaps.handle_arrival(sequence, repetition, now);
        if arrival == Arrival::Duplicate {
            return None;
        }
        stream
            .reception
            .handle_packet(sequence, packet.timestamp, now);
        self.report.packets += 1;
        Some(Taken::Packet {
            packet,
            anew,
            recovered: arrival == Arrival::Recovered,
        })
    }

    /// Something that is neither came to the port for RTCP: Janus shows by four zero bytes where it wants its RTCP.
    pub(super) fn handle_latch(&mut self, from: SocketAddr) {
        if self.opener.is_none() {
            self.learn_reporter(from);
        }
    }

    fn learn_reporter(&mut self, from: SocketAddr) {
        if self.pin.address().is_none() {
            self.early_reporter = Some(from);
        } else if self.pin.admits_reports(from) {
            self.reports_to = Some(from);
        }
    }

    /// An RTCP compound on one of the stream's ports.
    pub(super) fn handle_reports(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) -> Vec<Taken> {
        let opened = match &mut self.opener {
            Some(opener) => opener.open_rtcp(datagram),
            None => Some(Bytes::copy_from_slice(datagram)),
        };
        let Some(opened) = opened else {
            self.report.refused.authentication += 1;
            return Vec::new();
        };
        let admitted = self.pin.admits_reports(from);
        if !admitted && self.pin.address().is_some() {
            self.report.refused.source += 1;
            return Vec::new();
        }
        self.learn_reporter(from);
        let mut taken = Vec::new();
        for heard in feedback::read(&opened) {
            match (heard, &mut self.stream) {
                (Heard::Report(report, ntp), Some(stream)) if report.ssrc == stream.ssrc => {
                    stream.reception.handle_sender_report(ntp, now);
                    taken.push(Taken::Report(report));
                }
                (Heard::Report(report, _), None) => self.early = Some((from, report)),
                (Heard::Goodbye(ssrcs), Some(stream)) if ssrcs.contains(&stream.ssrc) => {
                    self.farewell = Some((stream.ssrc, now));
                    self.release();
                    taken.push(Taken::Goodbye);
                }
                _ => {}
            }
        }
        taken
    }

    /// Packets that are given up, and a request for those that are to be repeated, if the sender does that.
    pub(super) fn repair(&mut self, own: u32, now: Instant) -> (u64, Option<Repair>) {
        let nack = self.order.nack;
        let Some(stream) = &mut self.stream else {
            return (0, None);
        };
        let lost = stream.gaps.give_up(now);
        let due = if nack {
            stream.gaps.take_due(now)
        } else {
            Vec::new()
        };
        let request = (!due.is_empty()).then(|| {
            let request = feedback::missing(own, stream.ssrc, &due);
            Repair {
                packets: due.len() as u64,
                request,
            }
        });
        (lost, request)
    }

    /// When [`repair`](Self::repair) is due, if anything is missing that could be repeated.
    pub(super) fn repair_due(&self) -> Option<Instant> {
        let stream = self.stream.as_ref().filter(|_| self.order.nack)?;
        stream.gaps.next_due()
    }

    /// A wish for a keyframe, in the way that the sender understands.
    pub(super) fn keyframe_request(&mut self, own: u32) -> Option<Box<dyn Packet>> {
        let media = self.stream.as_ref()?.ssrc;
        self.requests = self.requests.wrapping_add(1);
        Some(match self.order.keyframe_request {
            super::KeyframeRequest::Pli => feedback::picture_loss(own, media),
            super::KeyframeRequest::Fir => feedback::full_intra(own, media, self.requests),
        })
    }

    /// A compound for the sender with a report of what came, and where it goes. `None`: nothing came yet.
    pub(super) fn compound(
        &mut self,
        own: u32,
        requests: Vec<Box<dyn Packet>>,
        now: Instant,
    ) -> Option<(SocketAddr, BytesMut)> {
        let to = self.reports_address()?;
        let stream = self.stream.as_mut()?;
        let report = stream.reception.report(stream.ssrc, now);
        let compound = feedback::receiver_compound(own, vec![report], requests)?;
        let sealed = match &mut self.sealer {
            Some(sealer) => sealer.seal_rtcp(&compound)?,
            None => compound,
        };
        Some((to, sealed))
    }

    /// Where RTCP goes: where it came from, where it was said to be, or by convention the port above RTP's.
    fn reports_address(&self) -> Option<SocketAddr> {
        let pinned = self.pin.address()?;
        if self.order.rtcp_mux {
            return Some(pinned);
        }
        let said = self.order.source_rtcp_port;
        let port = said.or_else(|| pinned.port().checked_add(1))?;
        Some(
            self.reports_to
                .unwrap_or_else(|| SocketAddr::new(pinned.ip(), port)),
        )
    }
}

/// Of the codecs that are taken, in Hz.
pub(super) const fn clock_rate(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Video => 90_000,
        TrackKind::Audio => 48_000,
    }
}
