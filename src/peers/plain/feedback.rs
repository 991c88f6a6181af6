//! RTCP compounds: what we tell, and what we hear (RFC 3550 § 6, RFC 4585, RFC 5104).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use media::SenderReport;
use rtc::rtcp::{
    self, Packet,
    goodbye::Goodbye,
    payload_feedbacks::{
        full_intra_request::{FirEntry, FullIntraRequest},
        picture_loss_indication::PictureLossIndication,
    },
    receiver_report::ReceiverReport,
    reception_report::ReceptionReport,
    sender_report,
    source_description::{
        SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
    },
    transport_feedbacks::transport_layer_nack::{
        NackPair, TransportLayerNack, nack_pairs_from_sequence_numbers,
    },
};

/// What we are called in source descriptions. A name of the machine's would tell more than anybody needs.
const CANONICAL_NAME: &[u8] = b"castgate";
/// Units of a second in the fraction of an NTP timestamp.
const NTP_FRACTION: u64 = 1 << 32;
/// The most RTCP packets of a compound that are looked at.
const PACKETS_LIMIT: usize = 64;

/// One thing that a compound says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// How the sender's clocks relate; the whole NTP timestamp beside it, to be repeated.
    Report(SenderReport, u64),
    /// These SSRCs are gone.
    Goodbye(Vec<u32>),
    /// A keyframe of this SSRC is needed.
    KeyframeWanted(u32),
    /// Packets of this SSRC are missing.
    Missing(u32, Vec<u16>),
    /// How this SSRC is received: lost of 256, since the last report.
    Reception(u32, u8),
}

/// Reads a compound. What is not understood, or damaged, is left out.
pub(crate) fn read(compound: &Bytes) -> Vec<Heard> {
    let mut rest = compound.clone();
    let Ok(packets) = rtcp::packet::unmarshal(&mut rest) else {
        return Vec::new();
    };
    let mut heard = Vec::new();
    for packet in packets.iter().take(PACKETS_LIMIT) {
        let any = packet.as_any();
        if let Some(report) = any.downcast_ref::<sender_report::SenderReport>() {
            heard.push(Heard::Report(report_of(report), report.ntp_time));
            heard.extend(report.reports.iter().map(reception_of));
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            heard.extend(report.reports.iter().map(reception_of));
        } else if let Some(goodbye) = any.downcast_ref::<Goodbye>() {
            heard.push(Heard::Goodbye(goodbye.sources.clone()));
        } else if let Some(request) = any.downcast_ref::<PictureLossIndication>() {
            heard.push(Heard::KeyframeWanted(request.media_ssrc));
        } else if let Some(request) = any.downcast_ref::<FullIntraRequest>() {
            heard.extend(
                request
                    .fir
                    .iter()
                    .map(|entry| Heard::KeyframeWanted(entry.ssrc)),
            );
        } else if let Some(request) = any.downcast_ref::<TransportLayerNack>() {
            let sequences = request
                .nacks
                .iter()
                .flat_map(NackPair::packet_list)
                .collect();
            heard.push(Heard::Missing(request.media_ssrc, sequences));
        }
    }
    heard
}

pub(crate) fn report_of(report: &sender_report::SenderReport) -> SenderReport {
    SenderReport {
        ssrc: report.ssrc,
        ntp_time: from_ntp(report.ntp_time),
        rtp_timestamp: report.rtp_time,
    }
}

fn reception_of(report: &ReceptionReport) -> Heard {
    Heard::Reception(report.ssrc, report.fraction_lost)
}

/// Time since 1900 of an NTP timestamp.
fn from_ntp(timestamp: u64) -> Duration {
    let nanoseconds = (timestamp % NTP_FRACTION) * 1_000_000_000 / NTP_FRACTION;
    Duration::from_secs(timestamp / NTP_FRACTION) + Duration::from_nanos(nanoseconds)
}

/// The NTP timestamp of a time since 1900. Wraps in 2036, as NTP does.
pub(crate) fn to_ntp(time: Duration) -> u64 {
    let fraction = u64::from(time.subsec_nanos()) * NTP_FRACTION / 1_000_000_000;
    (time.as_secs() % NTP_FRACTION) << 32 | fraction
}

/// A receiver's compound: report, name, and what is asked for.
pub(crate) fn receiver_compound(
    ssrc: u32,
    reports: Vec<ReceptionReport>,
    requests: Vec<Box<dyn Packet>>,
) -> Option<BytesMut> {
    let report = ReceiverReport {
        ssrc,
        reports,
        ..ReceiverReport::default()
    };
    let mut packets: Vec<Box<dyn Packet>> = vec![Box::new(report), Box::new(name(ssrc))];
    packets.extend(requests);
    rtcp::packet::marshal(&packets).ok()
}

/// A sender's compound: report and name, and perhaps a good-bye.
pub(crate) fn sender_compound(
    report: sender_report::SenderReport,
    goodbye: bool,
) -> Option<BytesMut> {
    let ssrc = report.ssrc;
    let mut packets: Vec<Box<dyn Packet>> = vec![Box::new(report), Box::new(name(ssrc))];
    if goodbye {
        packets.push(Box::new(Goodbye {
            sources: vec![ssrc],
            reason: Bytes::new(),
        }));
    }
    rtcp::packet::marshal(&packets).ok()
}

pub(crate) fn picture_loss(sender: u32, media: u32) -> Box<dyn Packet> {
    Box::new(PictureLossIndication {
        sender_ssrc: sender,
        media_ssrc: media,
    })
}

/// `number` counts requests, repeated ones not.
pub(crate) fn full_intra(sender: u32, media: u32, number: u8) -> Box<dyn Packet> {
    Box::new(FullIntraRequest {
        sender_ssrc: sender,
        media_ssrc: media,
        fir: vec![FirEntry {
            ssrc: media,
            sequence_number: number,
        }],
    })
}

pub(crate) fn missing(sender: u32, media: u32, sequences: &[u16]) -> Box<dyn Packet> {
    Box::new(TransportLayerNack {
        sender_ssrc: sender,
        media_ssrc: media,
        nacks: nack_pairs_from_sequence_numbers(sequences),
    })
}

fn name(ssrc: u32) -> SourceDescription {
    SourceDescription {
        chunks: vec![SourceDescriptionChunk {
            source: ssrc,
            items: vec![SourceDescriptionItem {
                sdes_type: SdesType::SdesCname,
                text: Bytes::from_static(CANONICAL_NAME),
            }],
        }],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_asked_is_heard() {
        let requests = vec![
            picture_loss(1, 2),
            full_intra(1, 2, 9),
            missing(1, 2, &[65_535, 0, 40]),
        ];

        let compound = receiver_compound(1, Vec::new(), requests).unwrap().freeze();

        assert_eq!(
            read(&compound),
            [
                Heard::KeyframeWanted(2),
                Heard::KeyframeWanted(2),
                Heard::Missing(2, vec![65_535, 0, 40]),
            ]
        );
    }

    #[test]
    fn a_sender_s_report_keeps_its_time() {
        let time = Duration::new(3_900_000_000, 250_000_000);
        let report = sender_report::SenderReport {
            ssrc: 7,
            ntp_time: to_ntp(time),
            rtp_time: 99,
            ..sender_report::SenderReport::default()
        };

        let compound = sender_compound(report, true).unwrap().freeze();

        let heard = read(&compound);
        let Heard::Report(read, _) = &heard[0] else {
            panic!("{heard:?}");
        };
        assert_eq!((read.ssrc, read.rtp_timestamp), (7, 99));
        assert!(read.ntp_time.abs_diff(time) < Duration::from_micros(1));
        assert_eq!(heard[1], Heard::Goodbye(vec![7]));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..128), kind in 192_u8..224) {
            let _ = read(&Bytes::from(bytes.clone()));
            if let [first, second, ..] = &mut bytes[..] {
                *first |= 0x80;
                *second = kind;
            }
            let _ = read(&Bytes::from(bytes));
        }
    }
}
