//! Whatever a studio sends, the engine stays sane.

use media::VideoCodec;
use proptest::prelude::*;

use super::{
    end_to_end_tests::times,
    tests::{BOTH, Worker, coded_pictures, coded_sounds},
    *,
};

/// One thing that a hostile studio does.
#[derive(Debug, Clone)]
enum Act {
    Packet(bool, u16, u32, u32, bool, Vec<u8>),
    Report(bool, u32, u64, u32),
    Start(bool, bool),
    End,
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (0..360_usize).prop_map(|number| coded_pictures()[number].data[4..]
            .iter()
            .copied()
            .take(1_000)
            .collect()),
        (0..500_usize).prop_map(|number| coded_sounds()[number].to_vec()),
        Just(vec![
            0x78, 0, 13, 0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f,
            0x08, 0, 4, 0x68, 0xce, 0x3c, 0x80, 0, 2, 0x65, 1
        ]),
    ];
    let timestamp = prop_oneof![0..100_000_u32, any::<u32>()];
    let sequence = prop_oneof![4 => 0..60_u16, 1 => any::<u16>()];
    prop_oneof![
        20 => (any::<bool>(), sequence, timestamp, 1..3_u32, any::<bool>(), payload)
            .prop_map(|(video, sequence, timestamp, ssrc, marker, payload)| Act::Packet(video, sequence, timestamp, ssrc, marker, payload)),
        2 => (any::<bool>(), 1..3_u32, any::<u64>(), any::<u32>()).prop_map(|(video, ssrc, ntp, rtp)| Act::Report(video, ssrc, ntp, rtp)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(video, audio)| Act::Start(video, audio)),
        1 => Just(Act::End),
        6 => (0..700_u64).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_studio_does_both_tracks_go_forward(acts in prop::collection::vec(act(), 1..120)) {
        let mut worker = Worker::new(Instant::now());
        worker.engine.handle_source_started(BOTH, worker.start);
        let mut time = Duration::ZERO;
        let kind = |video| if video { TrackKind::Video } else { TrackKind::Audio };
        for act in acts {
            let now = worker.start + time;
            match act {
                Act::Packet(video, sequence, timestamp, ssrc, marker, payload) => {
                    let packet = RtpPacket { sequence, timestamp, ssrc, marker, payload: payload.into() };
                    worker.engine.handle_packet(kind(video), packet, now);
                }
                Act::Report(video, ssrc, ntp, rtp_timestamp) => {
                    let report = SenderReport { ssrc, ntp_time: Duration::from_nanos(ntp), rtp_timestamp };
                    worker.engine.handle_sender_report(kind(video), report, now);
                }
                Act::Start(video, audio) => {
                    let video = video.then_some(VideoCodec::H264);
                    worker.engine.handle_source_started(SourceDescription { video, audio }, now);
                }
                Act::End => worker.engine.handle_source_ended(now),
                Act::Wait(milliseconds) => time += Duration::from_millis(milliseconds),
            }
            worker.read();
            worker.wait(time);
        }

        for kind in [TrackKind::Video, TrackKind::Audio] {
            prop_assert!(times(&worker.units, kind).is_sorted_by(|earlier, later| earlier < later));
        }
        // The timeline may lead the wall clock by what a sender's clock leads it, and by no more.
        let latest = worker.units.iter().map(|unit| unit.timestamp).max().unwrap_or_default();
        prop_assert!(latest <= time + Duration::from_mins(5), "{:?} after {:?}", latest, time);
    }
}
