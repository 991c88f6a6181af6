//! RFC 6184, packetization mode 1: single NAL units, STAP-A for parameter sets, FU-A.

use media::CodecConfig;

use super::Coded;
use crate::decoder_configuration;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Bytes in front of a fragment.
const FRAGMENT_HEADER_BYTES: usize = 2;

/// Hands out the payloads of a picture, each in parts, and whether it is the last.
pub(super) fn payloads(
    picture: &Coded<'_>,
    limit: usize,
    hand_out: &mut impl FnMut(&[&[u8]], bool),
) {
    let mut units = nal_units(picture.data).peekable();
    if units.peek().is_none() {
        return;
    }
    if let (true, Some(CodecConfig::Avc(config))) = (picture.keyframe, picture.config) {
        let sets = decoder_configuration::parameter_sets(&config.decoder_configuration);
        let (sequences, pictures) = sets.unwrap_or_default();
        parameter_sets(&[sequences, pictures].concat(), limit, hand_out);
    }
    while let Some(unit) = units.next() {
        nal_unit(unit, limit, units.peek().is_none(), hand_out);
    }
}

/// The NAL units of a picture. Empty ones, and what is cut off at the end, are left out.
pub(crate) fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        loop {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (unit, tail) = tail.split_at_checked(length)?;
            rest = tail;
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    })
}

/// Puts as many parameter sets into a packet as fit. One that fits into none goes in fragments.
fn parameter_sets(sets: &[&[u8]], limit: usize, hand_out: &mut impl FnMut(&[&[u8]], bool)) {
    let mut aggregate = vec![STAP_A | 0x60];
    let flush = |aggregate: &mut Vec<u8>, hand_out: &mut dyn FnMut(&[&[u8]], bool)| {
        if aggregate.len() > 1 {
            hand_out(&[aggregate], false);
            aggregate.truncate(1);
        }
    };
    for set in sets.iter().filter(|set| !set.is_empty()) {
        let Ok(length) = u16::try_from(set.len()) else {
            continue;
        };
        if aggregate.len() + 2 + set.len() > limit {
            flush(&mut aggregate, hand_out);
        }
        if 3 + set.len() > limit {
            nal_unit(set, limit, false, hand_out);
        } else {
            aggregate.extend(length.to_be_bytes());
            aggregate.extend_from_slice(set);
        }
    }
    flush(&mut aggregate, hand_out);
}

fn nal_unit(unit: &[u8], limit: usize, is_last: bool, hand_out: &mut impl FnMut(&[&[u8]], bool)) {
    if unit.len() <= limit {
        return hand_out(&[unit], is_last);
    }
    let [header, body @ ..] = unit else { return };
    let mut pieces = body.chunks(limit - FRAGMENT_HEADER_BYTES).peekable();
    let mut start = 0x80;
    while let Some(piece) = pieces.next() {
        let is_end = pieces.peek().is_none();
        let flags = start | u8::from(is_end) << 6;
        let head = [header & 0x60 | FU_A, flags | header & 0x1f];
        hand_out(&[&head, piece], is_last && is_end);
        start = 0;
    }
}
