//! Whatever comes.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use media::{RtpPacket, SenderReport, VideoCodec};
use proptest::prelude::*;
use rtc::rtcp;

use super::{
    super::DownlinkEvent,
    client::missing,
    rig::{Hands, KEYFRAME, Rig, pictures, sound},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_no_number_is_sent_twice_and_time_goes_on(
        events in prop::collection::vec((0..16_u8, 0..3_u8, any::<u16>(), prop::collection::vec(any::<u8>(), 0..60)), 1..300)
    ) {
        let mut rig = Rig::new();
        for number in 2..4 {
            let mut setup = pictures(number, 3);
            if number == 3 {
                setup.video = Some(VideoCodec::Vp8);
            }
            rig.add(setup);
        }
        rig.add(sound(4));
        let mut streams = HashSet::new();
        let mut transport = HashSet::new();
        for (event, layer, number, bytes) in events {
            let producer = 2 + u32::from(number % 3);
            let (now, hands) = (rig.now, &mut rig.hands);
            match event {
                0 => rig.downlink.pause(producer, number % 2 == 0, now, hands),
                1 => rig.downlink.pause_producer(producer, number % 2 == 0, now, hands),
                2 => rig.downlink.prefer_layers(producer, layer, Some(layer), now, hands),
                3 => {
                    let mut compound = vec![0x80 | (layer + 13), 205 + u8::from(number % 2 == 0), 0, 0];
                    compound.extend(&bytes);
                    compound.resize(compound.len().next_multiple_of(4), 0);
                    let words = u16::try_from(compound.len() / 4 - 1).unwrap();
                    compound[2..4].copy_from_slice(&words.to_be_bytes());
                    if let Ok(packets) = rtcp::packet::unmarshal(&mut Bytes::from(compound)) {
                        rig.downlink.handle_rtcp(&packets, now, hands);
                    }
                }
                4 => rig.tell(missing(1000 + producer, &[number, 65_500, 65_501])),
                5 => rig.pass(Duration::from_millis(u64::from(number) % 500)),
                6 => {
                    let report = SenderReport {
                        ssrc: producer * 10 + u32::from(layer),
                        ntp_time: Duration::from_millis(u64::from(number) << layer),
                        rtp_timestamp: u32::from(number) << 16,
                    };
                    rig.downlink.handle_report(producer, layer, &report, now);
                }
                _ => {
                    let mut payload = vec![if event % 3 == 0 { KEYFRAME[0] } else { 0x90 }];
                    payload.extend(&bytes);
                    let packet = RtpPacket {
                        sequence: if event > 13 { number } else { number % 64 },
                        timestamp: u32::from(number),
                        ssrc: producer * 10 + u32::from(layer),
                        marker: true,
                        payload: payload.into(),
                    };
                    rig.give_packet(producer, layer, &packet);
                }
            }
        }
        for packet in &rig.hands.packets {
            let header = &packet.header;
            prop_assert!(streams.insert((header.ssrc, header.sequence_number)), "{:?}", header);
            prop_assert!(transport.insert(Hands::transport_sequence(packet)));
        }
        let bandwidth = rig.hands.events.iter().filter(|event| matches!(event, DownlinkEvent::Bandwidth(_)));
        prop_assert!(bandwidth.count() <= 1 + usize::try_from((rig.now - rig.start).as_secs()).unwrap());
    }
}
