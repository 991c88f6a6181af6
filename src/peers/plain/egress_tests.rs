use std::sync::{Arc, Mutex};

use bytes::BytesMut;

use super::*;
use crate::plain::{CryptoSuite, SrtpParameters, packet::Arrived, track::clock_rate};

const H264_KEYFRAME: &[u8] = &[0x65, 1, 2, 3];
const H264_OTHER: &[u8] = &[0x41, 1, 2, 3];
const WALL: Duration = Duration::from_mins(65_000_000);

type Sent = Arc<Mutex<Vec<(TrackKind, bool, Bytes)>>>;

/// Remembers what was sent.
struct Memory(Sent);

impl Outlet for Memory {
    fn send(&self, kind: TrackKind, rtcp: bool, _: SocketAddr, datagram: &[u8]) {
        let datagram = Bytes::copy_from_slice(datagram);
        self.0.lock().unwrap().push((kind, rtcp, datagram));
    }
}

struct Rig {
    egress: Egress,
    sent: Sent,
    report: watch::Receiver<EgressReport>,
    now: Instant,
}

fn receiver() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 5001))
}

impl Rig {
    fn new(srtp: Option<&SrtpParameters>) -> Self {
        let now = Instant::now();
        let sent = Sent::default();
        let crypto = rtc::crypto::default_provider().unwrap();
        let track = |kind, ssrc| EgressTrack {
            kind,
            payload_type: 96,
            to: SocketAddr::from(([192, 0, 2, 9], 5000)),
            reports_to: receiver(),
            sealer: srtp.map(|srtp| srtp.sealer(&crypto).unwrap()),
            opener: srtp.map(|srtp| srtp.opener(&crypto).unwrap()),
            rewriter: Rewriter::new(ssrc, clock_rate(kind), 10, 0, now),
            history: History::new(now),
            report: EgressTrackReport::default(),
        };
        let (teller, report) = watch::channel(EgressReport::default());
        let tracks = vec![track(TrackKind::Video, 50), track(TrackKind::Audio, 60)];
        let outlet = Box::new(Memory(Arc::clone(&sent)));
        Self {
            egress: Egress::new(VideoCodec::H264, tracks, outlet, teller, WALL, now),
            sent,
            report,
            now,
        }
    }

    fn start(&mut self, codec: VideoCodec) {
        let source = SourceDescription {
            video: Some(codec),
            audio: true,
        };
        self.egress.handle_source_started(source, self.now);
    }

    fn video(&mut self, ssrc: u32, sequence: u16, payload: &'static [u8]) {
        let packet = RtpPacket {
            sequence,
            timestamp: u32::from(sequence) * 3000,
            ssrc,
            marker: true,
            payload: Bytes::from_static(payload),
        };
        self.egress
            .handle_packet(TrackKind::Video, &packet, self.now);
    }

    fn taken(&self) -> Vec<(TrackKind, bool, Bytes)> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    fn packets(&self) -> Vec<Arrived> {
        self.taken()
            .iter()
            .filter(|(_, rtcp, _)| !rtcp)
            .map(|(_, _, datagram)| packet::parse(datagram).unwrap())
            .collect()
    }

    fn hear(&mut self, requests: Vec<Box<dyn rtc::rtcp::Packet>>, from: SocketAddr) {
        let compound = feedback::receiver_compound(7, Vec::new(), requests).unwrap();
        self.egress
            .handle_feedback(TrackKind::Video, &compound, from, self.now);
    }
}

#[test]
fn pictures_begin_with_a_keyframe_that_is_wished_for() {
    let mut rig = Rig::new(None);
    rig.start(VideoCodec::H264);
    assert!(rig.egress.poll_keyframe_request());

    rig.video(1, 7, H264_OTHER);
    rig.video(1, 8, H264_KEYFRAME);
    rig.video(1, 9, H264_OTHER);

    let sequences: Vec<u16> = rig
        .packets()
        .iter()
        .map(|arrived| arrived.packet.sequence)
        .collect();
    assert_eq!(sequences, [11, 12]);
    assert!(!rig.egress.poll_keyframe_request());
}

#[test]
fn a_new_studio_goes_on_in_the_same_stream_after_its_keyframe() {
    let mut rig = Rig::new(None);
    rig.start(VideoCodec::H264);
    rig.video(1, 8, H264_KEYFRAME);
    rig.egress.handle_source_ended(rig.now);
    rig.start(VideoCodec::H264);
    assert!(rig.egress.poll_keyframe_request());

    rig.video(2, 900, H264_OTHER);
    rig.video(2, 901, H264_KEYFRAME);

    let packets = rig.packets();
    let sequences: Vec<u16> = packets
        .iter()
        .map(|arrived| arrived.packet.sequence)
        .collect();
    assert_eq!(sequences, [11, 12]);
    assert!(packets.iter().all(|arrived| arrived.packet.ssrc == 50));
}

#[test]
fn pictures_of_another_codec_are_not_sent() {
    let mut rig = Rig::new(None);
    rig.start(VideoCodec::Vp8);
    rig.video(1, 8, &[0x10, 0, 0, 0]);
    rig.now += REPORT_INTERVAL;
    rig.egress.handle_timeout(rig.now);

    assert!(rig.packets().is_empty());
    assert!(rig.report.borrow().codec_differs);
}

#[test]
fn the_receiver_is_heard_and_nobody_else() {
    let mut rig = Rig::new(None);
    rig.start(VideoCodec::H264);
    for sequence in 0..5 {
        rig.video(1, 8 + sequence, H264_KEYFRAME);
    }
    rig.taken();
    rig.now += WISH_INTERVAL;
    assert!(rig.egress.poll_keyframe_request());

    let requests = || {
        vec![
            feedback::missing(7, 50, &[12, 14, 99]),
            feedback::picture_loss(7, 50),
        ]
    };
    rig.hear(requests(), SocketAddr::from(([192, 0, 2, 8], 5001)));
    assert!(rig.packets().is_empty() && !rig.egress.poll_keyframe_request());
    rig.hear(requests(), receiver());

    let sequences: Vec<u16> = rig
        .packets()
        .iter()
        .map(|arrived| arrived.packet.sequence)
        .collect();
    assert_eq!(sequences, [12, 14]);
    assert!(rig.egress.poll_keyframe_request());
}

#[test]
fn many_requests_for_keyframes_are_one_wish_a_second() {
    let mut rig = Rig::new(None);
    rig.start(VideoCodec::H264);
    assert!(rig.egress.poll_keyframe_request());
    let mut wishes = 0;
    for _ in 0..30 {
        rig.now += Duration::from_millis(100);
        rig.hear(vec![feedback::full_intra(7, 50, 1)], receiver());
        wishes += usize::from(rig.egress.poll_keyframe_request());
    }

    assert_eq!(wishes, 3);
}

#[test]
fn reports_keep_the_studio_s_sound_and_picture_together() {
    let mut rig = Rig::new(None);
    rig.start(VideoCodec::H264);
    rig.video(1, 0, H264_KEYFRAME);
    let sound = RtpPacket {
        sequence: 5,
        timestamp: 777,
        ssrc: 2,
        marker: false,
        payload: Bytes::from_static(&[1]),
    };
    rig.egress.handle_packet(TrackKind::Audio, &sound, rig.now);
    let firsts = rig.packets();
    // The picture of this instant has the timestamp 0, the sound of it 480 less than that of its packet.
    let told = |ssrc, rtp_timestamp| SenderReport {
        ssrc,
        ntp_time: Duration::from_secs(1000),
        rtp_timestamp,
    };
    rig.egress
        .handle_report(TrackKind::Video, &told(1, 0), rig.now);
    rig.egress
        .handle_report(TrackKind::Audio, &told(2, 297), rig.now);
    rig.now += REPORT_INTERVAL;
    rig.egress.handle_timeout(rig.now);

    let reports: Vec<SenderReport> = rig
        .taken()
        .iter()
        .filter(|(_, rtcp, _)| *rtcp)
        .flat_map(|(_, _, compound)| feedback::read(compound))
        .filter_map(|heard| {
            let Heard::Report(report, _) = heard else {
                return None;
            };
            Some(report)
        })
        .collect();
    let since = |index: usize| {
        reports[index]
            .rtp_timestamp
            .wrapping_sub(firsts[index].packet.timestamp)
    };
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0].ntp_time, reports[1].ntp_time);
    assert_eq!(since(0), 90_000);
    assert_eq!(since(1), 48_000 - 480);
}

#[test]
fn what_is_sealed_is_kept_sealed_and_requests_must_be() {
    let suite = CryptoSuite::AesCm128HmacSha1_80;
    let srtp = SrtpParameters::new(suite, vec![3; suite.key_bytes()]).unwrap();
    let crypto = rtc::crypto::default_provider().unwrap();
    let mut rig = Rig::new(Some(&srtp));
    let mut opener = srtp.opener(&crypto).unwrap();
    let mut sealer = srtp.sealer(&crypto).unwrap();
    rig.start(VideoCodec::H264);
    rig.video(1, 8, H264_KEYFRAME);
    let (_, _, first) = rig.taken().remove(0);

    rig.hear(vec![feedback::missing(7, 50, &[11])], receiver());
    assert!(rig.taken().is_empty(), "not sealed");
    let request: BytesMut =
        feedback::receiver_compound(7, Vec::new(), vec![feedback::missing(7, 50, &[11])]).unwrap();
    let request = sealer.seal_rtcp(&request).unwrap();
    rig.egress
        .handle_feedback(TrackKind::Video, &request, receiver(), rig.now);

    assert_eq!(rig.taken()[0].2, first);
    let plain = opener.open_rtp(&first, 50).unwrap();
    assert_eq!(
        &packet::parse(&plain).unwrap().packet.payload[..],
        H264_KEYFRAME
    );
}

#[test]
fn the_end_is_told() {
    let mut rig = Rig::new(None);
    rig.start(VideoCodec::H264);
    rig.video(1, 8, H264_KEYFRAME);
    let sent = Arc::clone(&rig.sent);

    drop(rig.egress);

    let last = sent.lock().unwrap().pop().unwrap();
    assert!(feedback::read(&last.2).contains(&Heard::Goodbye(vec![50])));
}
