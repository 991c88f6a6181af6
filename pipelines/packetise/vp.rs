//! RFC 7741 (VP8) and RFC 9628 (VP9, flexible mode off): a descriptor in front of each piece of a frame.

use super::Coded;

/// Writes the descriptor of a piece and returns how long it is.
type Descriptor = fn(&mut [u8; DESCRIPTOR_BYTES], id: u16, place: Place) -> usize;

/// The longest descriptor.
const DESCRIPTOR_BYTES: usize = 4;

/// Where in its frame a piece is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    is_keyframe: bool,
    is_start: bool,
    is_end: bool,
}

/// Hands out the payloads of a picture, each in parts, and whether it is the last.
pub(super) fn payloads(
    picture: &Coded<'_>,
    id: u16,
    limit: usize,
    descriptor: Descriptor,
    hand_out: &mut impl FnMut(&[&[u8]], bool),
) {
    let mut pieces = picture.data.chunks(limit - DESCRIPTOR_BYTES).peekable();
    let mut is_start = true;
    while let Some(piece) = pieces.next() {
        let is_end = pieces.peek().is_none();
        let mut head = [0; DESCRIPTOR_BYTES];
        let place = Place {
            is_keyframe: picture.keyframe,
            is_start,
            is_end,
        };
        let length = descriptor(&mut head, id, place);
        hand_out(&[&head[..length], piece], is_end);
        is_start = false;
    }
}

/// X, S where the frame begins; then I alone and the picture id.
pub(super) fn vp8(head: &mut [u8; DESCRIPTOR_BYTES], id: u16, place: Place) -> usize {
    let [high, low] = id.to_be_bytes();
    *head = [0x80 | u8::from(place.is_start) << 4, 0x80, 0x80 | high, low];
    4
}

/// I, P unless it is a keyframe, B where the frame begins, E where it ends; then the picture id.
pub(super) fn vp9(head: &mut [u8; DESCRIPTOR_BYTES], id: u16, place: Place) -> usize {
    let [high, low] = id.to_be_bytes();
    let flags = u8::from(!place.is_keyframe) << 6
        | u8::from(place.is_start) << 3
        | u8::from(place.is_end) << 2;
    head[..3].copy_from_slice(&[0x80 | flags, 0x80 | high, low]);
    3
}
