use std::net::IpAddr;

use bytes::Bytes;

use super::*;
use crate::plain::{
    CryptoSuite, PlainPorts, PlainSource, PlainTrack, SrtpParameters,
    feedback::{self, Heard},
};

#[path = "ingest_sets_tests.rs"]
mod sets;

const OWN: u32 = 77;
const VIDEO_SSRC: u32 = 1111;
const AUDIO_SSRC: u32 = 2222;

/// An ingest, what it told, and what it asked to be done.
struct Rig {
    ingest: Ingest,
    events: mpsc::Receiver<PeerEvent>,
    report: watch::Receiver<IngestReport>,
    done: Vec<IngestOutput>,
    now: Instant,
}

fn crypto() -> Arc<dyn RTCCryptoProvider> {
    rtc::crypto::default_provider().unwrap()
}

fn order() -> PlainIngestOrder {
    PlainIngestOrder {
        ports: PlainPorts {
            listen: IpAddr::from([127, 0, 0, 1]),
            first: 1,
            last: 2,
        },
        video: Some((
            VideoCodec::H264,
            PlainTrack {
                payload_type: 96,
                ..PlainTrack::default()
            },
        )),
        audio: Some(PlainTrack {
            payload_type: 97,
            ..PlainTrack::default()
        }),
        source: None,
    }
}

fn address(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], port))
}

fn rtp(payload_type: u8, ssrc: u32, sequence: u16) -> BytesMut {
    let packet = RtpPacket {
        sequence,
        timestamp: u32::from(sequence) * 3000,
        ssrc,
        marker: true,
        payload: Bytes::from_static(&[0x65, 1, 2, 3]),
    };
    packet::write(payload_type, &packet)
}

fn video(sequence: u16) -> BytesMut {
    rtp(96, VIDEO_SSRC, sequence)
}

fn sender_report(ssrc: u32, goodbye: bool) -> BytesMut {
    let report = rtc::rtcp::sender_report::SenderReport {
        ssrc,
        ntp_time: 5 << 32,
        rtp_time: 90,
        ..rtc::rtcp::sender_report::SenderReport::default()
    };
    feedback::sender_compound(report, goodbye).unwrap()
}

impl Rig {
    fn new(order: PlainIngestOrder) -> Self {
        let now = Instant::now();
        let (sender, events) = mpsc::channel(64);
        let (teller, report) = watch::channel(IngestReport::default());
        let ingest = Ingest::new(order, OWN, sender, teller, &crypto(), now).unwrap();
        Self {
            ingest,
            events,
            report,
            done: Vec::new(),
            now,
        }
    }

    fn take(&mut self, kind: TrackKind, datagram: &[u8], from: SocketAddr) -> Vec<IngestOutput> {
        let mut done = Vec::new();
        self.ingest
            .handle_datagram(kind, false, datagram, from, self.now, &mut |output| {
                done.push(output);
            });
        done
    }

    fn video(&mut self, sequence: u16, from: SocketAddr) -> Vec<IngestOutput> {
        self.take(TrackKind::Video, &video(sequence), from)
    }

    /// Lets time pass as the worker does.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.ingest.deadline() <= end {
            self.now = self.ingest.deadline();
            let done = &mut self.done;
            self.ingest
                .handle_timeout(self.now, &mut |output| done.push(output));
        }
        self.now = end;
    }

    fn event(&mut self) -> PeerEvent {
        self.events.try_recv().unwrap()
    }

    fn refused(&mut self) -> crate::plain::Refusals {
        self.pass(REPORT_INTERVAL);
        self.report.borrow().video.unwrap().refused
    }

    /// What was said by RTCP since this was last asked, and to whom.
    fn told(&mut self) -> Vec<(SocketAddr, Vec<Heard>)> {
        self.done
            .drain(..)
            .filter_map(|output| {
                let IngestOutput::Send(_, to, compound) = output else {
                    return None;
                };
                Some((to, feedback::read(&compound.freeze())))
            })
            .collect()
    }
}

fn packets(done: &[IngestOutput]) -> usize {
    done.iter()
        .filter(|output| matches!(output, IngestOutput::Packet(..)))
        .count()
}

fn starts(done: &[IngestOutput]) -> usize {
    done.iter()
        .filter(|output| matches!(output, IngestOutput::Started))
        .count()
}

#[test]
fn the_first_packet_that_fits_begins_the_source_and_pins_its_sender() {
    let mut rig = Rig::new(order());

    let other_type = rig.take(TrackKind::Video, &rtp(98, 1, 1), address(9, 1));
    let garbage = rig.take(TrackKind::Video, b"hello, is this RTP?", address(9, 1));
    let first = rig.video(1, address(1, 5000));
    let stranger = rig.video(2, address(2, 5000));
    let second = rig.video(2, address(1, 5000));

    assert!(other_type.is_empty() && garbage.is_empty());
    assert!(matches!(first[0], IngestOutput::Started));
    assert!(
        matches!(&first[1], IngestOutput::Packet(TrackKind::Video, packet) if packet.sequence == 1)
    );
    assert_eq!(packets(&stranger), 0);
    assert_eq!((packets(&second), starts(&second)), (1, 0));
    assert!(matches!(rig.event(), PeerEvent::Connected));
    assert!(matches!(rig.event(), PeerEvent::MediaArrived));
    let refused = rig.refused();
    assert_eq!(
        (refused.payload_type, refused.malformed, refused.source),
        (1, 1, 1)
    );
    let report = *rig.report.borrow();
    assert!(report.receiving);
    assert_eq!(report.video.unwrap().source, Some(address(1, 5000)));
}

#[test]
fn a_packet_that_comes_twice_is_taken_once() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));

    assert_eq!(packets(&rig.video(1, address(1, 5000))), 0);
}

#[test]
fn silence_ends_the_source_but_not_the_ports() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));
    let almost = Duration::from_millis(29_999);
    rig.pass(almost);
    assert!(
        !rig.done
            .iter()
            .any(|output| matches!(output, IngestOutput::Gone))
    );

    rig.pass(SILENCE_LIMIT.saturating_sub(almost));

    assert!(
        rig.done
            .iter()
            .any(|output| matches!(output, IngestOutput::Gone))
    );
    assert!(!rig.report.borrow().receiving);
    while !matches!(rig.event(), PeerEvent::SourceGone(_)) {}
    // Anybody may be the sender now.
    let again = rig.take(TrackKind::Video, &rtp(96, 3, 700), address(7, 7000));
    assert_eq!((starts(&again), packets(&again)), (1, 1));
    assert!(matches!(rig.event(), PeerEvent::Connected));
}

#[test]
fn a_source_is_gone_when_all_its_streams_have_said_goodbye() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));
    rig.take(TrackKind::Audio, &rtp(97, AUDIO_SSRC, 1), address(1, 5002));

    let one = rig.take(
        TrackKind::Video,
        &sender_report(VIDEO_SSRC, true),
        address(1, 5001),
    );
    let straggler = rig.video(2, address(1, 5000));
    let other = rig.take(
        TrackKind::Audio,
        &sender_report(AUDIO_SSRC, true),
        address(1, 5003),
    );

    assert!(
        !one.iter()
            .any(|output| matches!(output, IngestOutput::Gone))
    );
    assert_eq!(packets(&straggler), 0);
    assert!(
        other
            .iter()
            .any(|output| matches!(output, IngestOutput::Gone))
    );
}

#[test]
fn a_stranger_s_goodbye_is_not_believed() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));

    let done = rig.take(
        TrackKind::Video,
        &sender_report(VIDEO_SSRC, true),
        address(2, 5001),
    );

    assert!(done.is_empty());
    assert_eq!(packets(&rig.video(2, address(1, 5000))), 1);
}

#[test]
fn a_sender_that_was_started_anew_begins_the_source_anew_once() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));
    rig.take(TrackKind::Audio, &rtp(97, AUDIO_SSRC, 1), address(1, 5002));
    rig.pass(Duration::from_secs(3));

    let video = rig.take(TrackKind::Video, &rtp(96, 3, 9), address(1, 6000));
    let audio = rig.take(TrackKind::Audio, &rtp(97, 4, 9), address(1, 6002));

    assert_eq!((starts(&video), packets(&video)), (1, 1));
    assert_eq!((starts(&audio), packets(&audio)), (0, 1));
}

#[test]
fn an_ssrc_takes_over_when_the_other_is_silent() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));

    let too_early = rig.take(TrackKind::Video, &rtp(96, 3, 9), address(1, 5000));
    rig.pass(Duration::from_secs(1));
    let later = rig.take(TrackKind::Video, &rtp(96, 3, 9), address(1, 5000));

    assert_eq!((packets(&too_early), packets(&later)), (0, 1));
}

#[test]
fn a_known_ssrc_and_a_known_source_are_the_only_ones() {
    let mut known = order();
    known.source = Some(PlainSource {
        ip: address(1, 0).ip(),
    });
    if let Some((_, track)) = &mut known.video {
        track.ssrc = Some(VIDEO_SSRC);
        track.source_port = Some(5000);
    }
    let mut rig = Rig::new(known);

    for (from, ssrc, taken) in [
        (address(2, 5000), VIDEO_SSRC, 0),
        (address(1, 5004), VIDEO_SSRC, 0),
        (address(1, 5000), 5, 0),
        (address(1, 5000), VIDEO_SSRC, 1),
    ] {
        let done = rig.take(TrackKind::Video, &rtp(96, ssrc, 1), from);
        assert_eq!(packets(&done), taken, "{from} {ssrc}");
    }
}

#[test]
fn a_report_that_was_faster_than_the_first_packet_is_not_lost() {
    let mut rig = Rig::new(order());

    let before = rig.take(
        TrackKind::Video,
        &sender_report(VIDEO_SSRC, false),
        address(1, 5001),
    );
    let first = rig.video(1, address(1, 5000));

    assert!(before.is_empty());
    assert!(matches!(
        &first[2],
        IngestOutput::Report(TrackKind::Video, report) if report.rtp_timestamp == 90
    ));
}

#[test]
fn keyframes_are_asked_for_where_reports_come_from() {
    let mut rig = Rig::new(order());
    let done = rig.video(1, address(1, 5000));
    rig.done.extend(done);

    let (to, heard) = rig.told().pop().unwrap();
    assert_eq!(to, address(1, 5001), "by convention");
    assert_eq!(
        heard,
        [
            Heard::Reception(VIDEO_SSRC, 0),
            Heard::KeyframeWanted(VIDEO_SSRC)
        ]
    );

    rig.video(2, address(1, 5000));
    let report = sender_report(VIDEO_SSRC, false);
    rig.take(TrackKind::Video, &report, address(1, 7777));
    rig.pass(Duration::from_secs(2));
    let told = rig.told();
    assert!(told.iter().all(|(to, _)| *to == address(1, 7777)));
    let requests = told
        .iter()
        .flat_map(|(_, heard)| heard)
        .filter(|heard| matches!(heard, Heard::KeyframeWanted(_)));
    assert_eq!(requests.count(), 1, "every two seconds");
}

#[test]
fn janus_shows_before_its_packets_where_it_wants_to_be_asked() {
    let mut rig = Rig::new(order());
    let now = rig.now;
    let latch = |rig: &mut Rig, from| {
        let act = &mut |_: IngestOutput| panic!("nothing is to be done");
        rig.ingest
            .handle_datagram(TrackKind::Video, true, &[0; 4], from, now, act);
    };

    latch(&mut rig, address(2, 4444));
    latch(&mut rig, address(1, 7777));
    let done = rig.video(1, address(1, 5000));
    rig.done.extend(done);

    let (to, _) = rig.told().pop().unwrap();
    assert_eq!(to, address(1, 7777));
}

#[test]
fn many_wishes_for_keyframes_are_one_a_second() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));
    rig.done.clear();
    let mut asked = 0;
    for sequence in 2..302 {
        rig.ingest.wish_keyframe(rig.now);
        rig.pass(Duration::from_millis(10));
        rig.video(sequence, address(1, 5000));
        asked += rig
            .told()
            .iter()
            .flat_map(|(_, heard)| heard)
            .filter(|heard| matches!(heard, Heard::KeyframeWanted(_)))
            .count();
    }

    assert!((2..=3).contains(&asked), "{asked} in 3 s");
}

#[test]
fn only_senders_that_repeat_are_asked_for_what_is_missing() {
    for nack in [false, true] {
        let mut wanted = order();
        if let Some((_, track)) = &mut wanted.video {
            track.nack = nack;
        }
        let mut rig = Rig::new(wanted);
        rig.video(1, address(1, 5000));
        rig.done.clear();

        rig.video(3, address(1, 5000));
        rig.pass(Duration::from_millis(20));
        let told = rig.told();
        let repeated = rig.video(2, address(1, 5000));

        let asked = told
            .iter()
            .flat_map(|(_, heard)| heard)
            .any(|heard| *heard == Heard::Missing(VIDEO_SSRC, vec![2]));
        assert_eq!(asked, nack);
        assert_eq!(packets(&repeated), 1);
        assert_eq!(rig.ingest.counters.recovered(), u64::from(nack));
    }
}

#[test]
fn losses_are_counted_without_repetitions_too() {
    let mut rig = Rig::new(order());
    rig.video(1, address(1, 5000));
    rig.video(5, address(1, 5000));

    rig.pass(Duration::from_secs(3));

    assert_eq!(rig.ingest.counters.lost(), 3);
}

#[test]
fn a_stream_with_a_key_takes_only_what_is_sealed_and_seals_what_it_tells() {
    for suite in CryptoSuite::ALL {
        let key = |byte| SrtpParameters::new(suite, vec![byte; suite.key_bytes()]).unwrap();
        let mut sealed = order();
        if let Some((_, track)) = &mut sealed.video {
            track.srtp = Some(key(1));
        }
        let mut rig = Rig::new(sealed);
        let mut right = key(1).sealer(&crypto()).unwrap();
        let mut wrong = key(2).sealer(&crypto()).unwrap();
        let mut ears = key(1).opener(&crypto()).unwrap();

        let plain = rig.video(1, address(9, 5000));
        let forged = wrong.seal_rtp(&video(1)).unwrap();
        let forged = rig.take(TrackKind::Video, &forged, address(9, 5000));
        let genuine = right.seal_rtp(&video(1)).unwrap();
        let genuine = rig.take(TrackKind::Video, &genuine, address(1, 5000));

        assert!(plain.is_empty() && forged.is_empty());
        assert_eq!((starts(&genuine), packets(&genuine)), (1, 1));
        let Some(IngestOutput::Send(_, _, request)) = genuine.last() else {
            panic!("no request for a keyframe");
        };
        let request = ears.open_rtcp(request).unwrap();
        assert!(feedback::read(&request).contains(&Heard::KeyframeWanted(VIDEO_SSRC)));
        assert_eq!(rig.refused().authentication, 2);
    }
}

#[test]
fn the_owner_is_told_why_it_ended() {
    let mut rig = Rig::new(order());

    rig.ingest.end("closed by request");

    assert!(
        matches!(rig.events.try_recv(), Ok(PeerEvent::Ended(reason)) if reason == "closed by request")
    );
}
