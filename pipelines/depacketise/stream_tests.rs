//! What real encoders make comes out as they made it.

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_rtp::RTPBuffer;

use super::*;

const PICTURES: usize = 40;

/// What an encoder made, and its packets, if there is a payloader.
struct Coded {
    pictures: Vec<Vec<u8>>,
    packets: Vec<RtpPacket>,
}

/// Runs an encoder and a payloader, which may be `identity`.
fn encode(encoder: &str, payloader: &str) -> Coded {
    gst::init().unwrap();
    let description = format!(
        "videotestsrc num-buffers={PICTURES} pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 \
         ! {encoder} ! tee name=tee ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! appsink name=pictures sync=false \
         tee. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! {payloader} ! appsink name=packets sync=false"
    );
    let pipeline = gst::parse::launch(&description)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = |name| {
        let element = pipeline.by_name(name).unwrap();
        element.downcast::<AppSink>().unwrap()
    };
    let (pictures, packets) = (sink("pictures"), sink("packets"));
    pipeline.set_state(gst::State::Playing).unwrap();

    let mut coded = Coded {
        pictures: Vec::new(),
        packets: Vec::new(),
    };
    while let Ok(sample) = pictures.pull_sample() {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        coded.pictures.push(map.to_vec());
    }
    while let Ok(sample) = packets.pull_sample() {
        let buffer = sample.buffer().unwrap();
        if let Ok(rtp) = RTPBuffer::from_buffer_readable(buffer) {
            coded.packets.push(RtpPacket {
                sequence: rtp.seq(),
                timestamp: rtp.timestamp(),
                ssrc: rtp.ssrc(),
                marker: rtp.is_marker(),
                payload: Bytes::copy_from_slice(rtp.payload().unwrap()),
            });
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(coded.pictures.len(), PICTURES);
    coded
}

fn depacketise(codec: VideoCodec, packets: &[RtpPacket]) -> Vec<WholePicture> {
    let now = Instant::now();
    let mut depacketiser = Depacketiser::new(codec);
    let mut pictures = Vec::new();
    for packet in packets {
        depacketiser.handle_packet(packet, now);
        pictures.extend(std::iter::from_fn(|| depacketiser.poll()));
    }
    assert_eq!(depacketiser.dropped(), 0);
    pictures
}

fn check(codec: VideoCodec, pictures: &[WholePicture], expected: &[Vec<u8>]) {
    assert_eq!(pictures.len(), expected.len(), "{codec}");
    for (number, (picture, expected)) in pictures.iter().zip(expected).enumerate() {
        assert!(
            picture.data == expected[..],
            "{codec}: picture {number} is another"
        );
        assert_eq!(picture.keyframe, number % 15 == 0, "{codec}: {number}");
        let size = picture.keyframe.then_some((320, 180));
        assert_eq!(picture.size, size, "{codec}: {number}");
    }
}

#[test]
fn frames_of_vp8_come_out_as_the_encoder_made_them() {
    for mode in ["none", "7-bit", "15-bit"] {
        let coded = encode(
            "vp8enc deadline=1 keyframe-max-dist=15 target-bitrate=2000000 token-partitions=2",
            &format!("rtpvp8pay mtu=120 picture-id-mode={mode}"),
        );
        assert!(coded.packets.len() > PICTURES * 3 / 2);

        let pictures = depacketise(VideoCodec::Vp8, &coded.packets);

        check(VideoCodec::Vp8, &pictures, &coded.pictures);
        check_beginnings(VideoCodec::Vp8, &coded.packets);
    }
}

#[test]
fn frames_of_vp9_come_out_as_the_encoder_made_them() {
    for mode in ["none", "7-bit", "15-bit"] {
        let coded = encode(
            "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=15 target-bitrate=2000000 lag-in-frames=0",
            &format!("rtpvp9pay mtu=120 picture-id-mode={mode}"),
        );
        assert!(coded.packets.len() > PICTURES * 3 / 2);

        let pictures = depacketise(VideoCodec::Vp9, &coded.packets);

        check(VideoCodec::Vp9, &pictures, &coded.pictures);
        check_beginnings(VideoCodec::Vp9, &coded.packets);
    }
}

#[test]
fn temporal_units_of_av1_come_out_as_the_encoder_made_them() {
    let coded = encode(
        "av1enc cpu-used=8 usage-profile=realtime keyframe-max-dist=15 target-bitrate=2000 lag-in-frames=0 \
         ! av1parse ! video/x-av1,stream-format=obu-stream,alignment=tu",
        "identity",
    );
    let mut packets = Vec::new();
    let mut expected = Vec::new();
    for (number, unit) in (0..).zip(&coded.pictures) {
        let obus = split_obus(unit);
        packets.extend(packetise(&obus, number * 3_000));
        expected.push(obus.iter().flat_map(|obu| obu.with_size.clone()).collect());
    }
    assert!(packets.len() > PICTURES * 3 / 2);

    let pictures = depacketise(VideoCodec::Av1, &packets);

    check(VideoCodec::Av1, &pictures, &expected);
    check_beginnings(VideoCodec::Av1, &packets);
}

/// Each keyframe is known by its first packet, and by no other.
fn check_beginnings(codec: VideoCodec, packets: &[RtpPacket]) {
    let begins: Vec<usize> = packets
        .iter()
        .enumerate()
        .filter(|(_, packet)| begins_keyframe(codec, &packet.payload))
        .map(|(index, _)| index)
        .collect();
    assert_eq!(begins.len(), PICTURES.div_ceil(15), "{codec}");
    for index in begins {
        assert!(index == 0 || packets[index - 1].marker, "{codec}: {index}");
    }
}

/// An OBU other than a temporal delimiter, as it is in a file and as it is in a packet.
struct Obu {
    with_size: Vec<u8>,
    without_size: Vec<u8>,
}

fn split_obus(mut unit: &[u8]) -> Vec<Obu> {
    let mut obus = Vec::new();
    while let Some(&header) = unit.first() {
        assert_eq!(header & 0x06, 0x02, "a size and no extension");
        let mut size = 0;
        let mut length = 1;
        loop {
            let byte = unit[length];
            size |= usize::from(byte & 0x7f) << (7 * (length - 1));
            length += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (obu, rest) = unit.split_at(length + size);
        if header >> 3 != 2 {
            obus.push(Obu {
                with_size: obu.to_vec(),
                without_size: [&[header & !0x02], &obu[length..]].concat(),
            });
        }
        unit = rest;
    }
    obus
}

/// Puts the OBUs of one instant into packets of one element each, and the first two together (W = 2).
fn packetise(obus: &[Obu], timestamp: u32) -> Vec<RtpPacket> {
    const LIMIT: usize = 100;
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for (index, obu) in obus.iter().enumerate() {
        let chunks: Vec<&[u8]> = obu.without_size.chunks(LIMIT).collect();
        for (part, chunk) in chunks.iter().enumerate() {
            let flags =
                if part == 0 { 0 } else { 0x80 } | if part + 1 == chunks.len() { 0 } else { 0x40 };
            match payloads.last_mut() {
                Some(before) if index == 1 && part == 0 && obus[0].without_size.len() < 128 => {
                    let length = u8::try_from(before.len() - 1).unwrap();
                    before.insert(1, length);
                    before[0] = 0x20 | flags;
                    before.extend_from_slice(chunk);
                }
                _ => payloads.push([&[0x10 | flags], *chunk].concat()),
            }
        }
    }
    let last = payloads.len() - 1;
    payloads
        .into_iter()
        .enumerate()
        .map(|(index, payload)| RtpPacket {
            sequence: 0,
            timestamp,
            ssrc: 1,
            marker: index == last,
            payload: payload.into(),
        })
        .collect()
}
