//! VP8's payload descriptors (RFC 7741 § 4.2): which temporal layer a packet belongs to, and picture numbers without a
//! break over streams and pictures that are left out. The bytes are hostile. Pure.

use std::collections::VecDeque;

const EXTENDED: u8 = 0x80;
const START_AND_PARTITION: u8 = 0x17;
const START: u8 = 0x10;
const PICTURE: u8 = 0x80;
const LEVEL_ZERO: u8 = 0x40;
const TEMPORAL: u8 = 0x20;
const KEY: u8 = 0x10;
const LONG: u8 = 0x80;
const LAYER_SYNC: u8 = 0x20;
/// Picture numbers have 15 bits.
const PICTURES: i64 = 1 << 15;
/// How far behind the newest a packet's picture may be: four seconds of 30 pictures.
const WINDOW: i64 = 128;
/// The longest descriptor.
const LONGEST: usize = 6;

/// What a descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    first: u8,
    extension: u8,
    picture: Option<u16>,
    has_long_picture: bool,
    level_zero: Option<u8>,
    /// The temporal layer, 0 is the lowest, and whether the picture needs nothing above layer 0.
    temporal: Option<(u8, bool)>,
    /// The byte of temporal layer and key index.
    layer_byte: Option<u8>,
    length: usize,
}

/// A descriptor as it goes out, in place of the first `replaced` bytes of a payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Front {
    bytes: [u8; LONGEST],
    length: u8,
    pub(super) replaced: u8,
}

impl Front {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Reads a descriptor. `None`: it ends early.
pub(super) fn read(payload: &[u8]) -> Option<Descriptor> {
    let (&first, mut rest) = payload.split_first()?;
    let mut descriptor = Descriptor {
        first,
        extension: 0,
        picture: None,
        has_long_picture: false,
        level_zero: None,
        temporal: None,
        layer_byte: None,
        length: 0,
    };
    if first & EXTENDED != 0 {
        let (&extension, behind) = rest.split_first()?;
        rest = behind;
        descriptor.extension = extension;
        if extension & PICTURE != 0 {
            let (&high, behind) = rest.split_first()?;
            rest = behind;
            if high & LONG == 0 {
                descriptor.picture = Some(u16::from(high));
            } else {
                let (&low, behind) = rest.split_first()?;
                rest = behind;
                descriptor.picture = Some(u16::from_be_bytes([high & !LONG, low]));
                descriptor.has_long_picture = true;
            }
        }
        if extension & LEVEL_ZERO != 0 {
            let (&level, behind) = rest.split_first()?;
            rest = behind;
            descriptor.level_zero = Some(level);
        }
        if extension & (TEMPORAL | KEY) != 0 {
            let (&layer, behind) = rest.split_first()?;
            rest = behind;
            descriptor.layer_byte = Some(layer);
            if extension & TEMPORAL != 0 {
                descriptor.temporal = Some((layer >> 6, layer & LAYER_SYNC != 0));
            }
        }
    }
    descriptor.length = payload.len() - rest.len();
    Some(descriptor)
}

impl Descriptor {
    /// Whether a picture begins with this packet.
    const fn begins_picture(&self) -> bool {
        self.first & START_AND_PARTITION == START
    }

    /// The descriptor with other numbers; a picture number always takes 15 bits.
    fn write(&self, picture: u16, level_zero: u8) -> Front {
        let mut front = Front {
            replaced: u8::try_from(self.length).unwrap_or(0),
            ..Front::default()
        };
        let mut push = |byte: u8| {
            front.bytes[usize::from(front.length)] = byte;
            front.length += 1;
        };
        push(self.first);
        push(self.extension);
        let [high, low] = picture.to_be_bytes();
        push(high | LONG);
        push(low);
        if self.level_zero.is_some() {
            push(level_zero);
        }
        if let Some(layer) = self.layer_byte {
            push(layer);
        }
        front
    }
}

/// The picture numbers of an outgoing stream, and which temporal layers go out.
#[derive(Debug)]
pub(super) struct Pictures {
    /// The highest number given, counted on beyond its wrap.
    highest: i64,
    /// The last number of a picture of layer 0.
    level_zero: u8,
    /// The highest temporal layer that is wanted, and the one that goes out.
    wanted: u8,
    layer: u8,
    stream: Option<Stream>,
}

/// One incoming stream. Its numbers are counted on beyond their wrap.
#[derive(Debug)]
struct Stream {
    highest: i64,
    offset: i64,
    /// Pictures of the window that were left out, ascending.
    left_out: VecDeque<i64>,
    level_zero_offset: u8,
}

impl Pictures {
    /// Nothing has gone out.
    pub(super) const fn new() -> Self {
        Self {
            highest: 0,
            level_zero: 0,
            wanted: u8::MAX,
            layer: 0,
            stream: None,
        }
    }

    /// The highest temporal layer that is to go out.
    pub(super) const fn want(&mut self, layer: u8) {
        self.wanted = layer;
    }

    /// What comes next is another stream, beginning with a keyframe.
    pub(super) fn interrupt(&mut self) {
        self.stream = None;
        self.layer = 0;
    }

    /// Whether a packet is to go out. If not, its picture is left out, and the numbers of later ones close up.
    pub(super) fn is_wanted(&mut self, descriptor: &Descriptor) -> bool {
        let number = self.number_of(descriptor);
        if let (Some(number), Some(stream)) = (number, &self.stream) {
            if stream.left_out.binary_search(&number).is_ok() {
                return false;
            }
            if number <= stream.highest {
                return true;
            }
        }
        let (layer, is_sync) = descriptor.temporal.unwrap_or((0, true));
        self.layer = self.layer.min(self.wanted);
        if layer > self.layer {
            if layer > self.wanted || !is_sync || !descriptor.begins_picture() {
                self.leave_out(number);
                return false;
            }
            self.layer = layer;
        }
        true
    }

    /// The descriptor of a packet as it goes out. `None`: as it came, for it numbers nothing.
    pub(super) fn rewrite(&mut self, descriptor: &Descriptor) -> Option<Front> {
        let picture = descriptor.picture?;
        let number = self.number_of(descriptor).unwrap_or(i64::from(picture));
        let level_zero = descriptor.level_zero.unwrap_or(0);
        let (next, next_level_zero) = (self.highest + 1, self.level_zero.wrapping_add(1));
        let stream = self.stream.get_or_insert_with(|| Stream {
            highest: number,
            offset: next - number,
            left_out: VecDeque::new(),
            level_zero_offset: next_level_zero.wrapping_sub(level_zero),
        });
        stream.advance(number);
        let before = stream
            .left_out
            .partition_point(|left_out| *left_out < number);
        let placed = number + stream.offset - i64::try_from(before).unwrap_or(WINDOW);
        let level_zero = level_zero.wrapping_add(stream.level_zero_offset);
        if placed >= self.highest {
            self.highest = placed;
            self.level_zero = level_zero;
        }
        let wire = u16::try_from(placed.rem_euclid(PICTURES)).unwrap_or(0);
        Some(descriptor.write(wire, level_zero))
    }

    fn leave_out(&mut self, number: Option<i64>) {
        if let (Some(number), Some(stream)) = (number, &mut self.stream) {
            stream.advance(number);
            stream.left_out.push_back(number);
        }
    }

    /// The picture's number, counted on; of the first of a stream as it is.
    fn number_of(&self, descriptor: &Descriptor) -> Option<i64> {
        let picture = i64::from(descriptor.picture?);
        let Some(stream) = &self.stream else {
            return Some(picture);
        };
        let round = if descriptor.has_long_picture {
            PICTURES
        } else {
            PICTURES >> 8
        };
        let ahead = (picture - stream.highest).rem_euclid(round);
        let distance = if ahead >= round / 2 {
            ahead - round
        } else {
            ahead
        };
        Some(stream.highest + distance)
    }
}

impl Stream {
    fn advance(&mut self, number: i64) {
        self.highest = self.highest.max(number);
        while let Some(oldest) = self.left_out.front() {
            if *oldest > self.highest - WINDOW {
                break;
            }
            self.offset -= 1;
            self.left_out.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet of a picture in a temporal layer, with a number of 15 bits.
    fn packet(picture: u16, level_zero: u8, layer: u8, is_sync: bool) -> Vec<u8> {
        let [high, low] = picture.to_be_bytes();
        let sync = if is_sync { LAYER_SYNC } else { 0 };
        let extension = PICTURE | LEVEL_ZERO | TEMPORAL;
        vec![
            EXTENDED | START,
            extension,
            high | LONG,
            low,
            level_zero,
            layer << 6 | sync,
            0x11,
        ]
    }

    /// The numbers with which a packet goes out: of the picture, and of layer 0.
    fn pass(pictures: &mut Pictures, payload: &[u8]) -> Option<(u16, u8)> {
        let descriptor = read(payload)?;
        if !pictures.is_wanted(&descriptor) {
            return None;
        }
        let front = pictures.rewrite(&descriptor)?;
        let written = read(front.bytes())?;
        assert_eq!(written.temporal, descriptor.temporal);
        assert_eq!(usize::from(front.replaced), descriptor.length);
        Some((written.picture?, written.level_zero?))
    }

    #[test]
    fn streams_follow_each_other_without_a_break() {
        let mut pictures = Pictures::new();
        let first: Vec<_> = [32_766, 32_767, 0]
            .into_iter()
            .map(|picture| pass(&mut pictures, &packet(picture, 9, 0, true)))
            .collect();

        pictures.interrupt();
        let second = pass(&mut pictures, &packet(500, 200, 0, true));

        assert_eq!(first, [Some((1, 1)), Some((2, 1)), Some((3, 1))]);
        assert_eq!(second, Some((4, 2)));
    }

    #[test]
    fn pictures_of_layers_above_the_wanted_one_leave_no_gap() {
        let mut pictures = Pictures::new();
        pictures.want(0);
        let layers = [0, 2, 1, 2, 0, 2, 1, 2, 0];

        let passed: Vec<_> = layers
            .iter()
            .zip(100_u16..)
            .filter_map(|(layer, picture)| {
                pass(&mut pictures, &packet(picture, 0, *layer, *layer > 0))
            })
            .map(|(picture, _)| picture)
            .collect();

        assert_eq!(passed, [1, 2, 3]);
    }

    #[test]
    fn every_packet_of_a_picture_shares_its_fate() {
        let mut pictures = Pictures::new();
        pictures.want(2);
        assert!(pass(&mut pictures, &packet(1, 0, 0, false)).is_some());
        assert!(pass(&mut pictures, &packet(2, 0, 2, true)).is_some());

        pictures.want(0);

        assert_eq!(pass(&mut pictures, &packet(2, 0, 2, true)), Some((2, 1)));
        assert_eq!(pass(&mut pictures, &packet(3, 0, 1, true)), None);
        pictures.want(2);
        assert_eq!(pass(&mut pictures, &packet(3, 0, 1, true)), None);
        assert_eq!(pass(&mut pictures, &packet(4, 1, 0, false)), Some((3, 2)));
    }

    #[test]
    fn a_higher_layer_begins_only_where_it_can_be_decoded() {
        let mut pictures = Pictures::new();
        pictures.want(1);
        assert!(pass(&mut pictures, &packet(1, 0, 0, false)).is_some());

        assert_eq!(pass(&mut pictures, &packet(2, 0, 1, false)), None);
        assert_eq!(pass(&mut pictures, &packet(3, 1, 0, false)), Some((2, 2)));
        assert_eq!(pass(&mut pictures, &packet(4, 1, 1, true)), Some((3, 2)));
        assert_eq!(pass(&mut pictures, &packet(5, 2, 0, false)), Some((4, 3)));
        assert_eq!(pass(&mut pictures, &packet(6, 2, 1, false)), Some((5, 3)));
    }

    #[test]
    fn short_numbers_become_long_ones() {
        let mut pictures = Pictures::new();
        let short = |picture: u8| vec![EXTENDED | START, PICTURE, picture, 0x10];

        let numbers: Vec<_> = (0..300_u16)
            .map(|number| {
                let payload = short(u8::try_from(number % 128).unwrap());
                let descriptor = read(&payload).unwrap();
                assert!(pictures.is_wanted(&descriptor));
                let front = pictures.rewrite(&descriptor).unwrap();
                assert_eq!((front.bytes().len(), front.replaced), (4, 3));
                read(front.bytes()).unwrap().picture.unwrap()
            })
            .collect();

        assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
    }

    #[test]
    fn what_numbers_nothing_stays_as_it_is() {
        let mut pictures = Pictures::new();
        let descriptor = read(&[START, 0x10]).unwrap();

        assert!(pictures.is_wanted(&descriptor));
        assert_eq!(pictures.rewrite(&descriptor), None);
        assert_eq!(read(&[EXTENDED, PICTURE | LEVEL_ZERO, 3]), None);
    }

    proptest! {
        #[test]
        fn hostile_descriptors_never_panic_and_pictures_never_run_backwards(
            packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..12), 0..20_u8), 0..200)
        ) {
            let mut pictures = Pictures::new();
            for (payload, event) in packets {
                match event {
                    0 => pictures.interrupt(),
                    1..=4 => pictures.want(event - 1),
                    _ => {}
                }
                let before = pictures.highest;
                if let Some(descriptor) = read(&payload)
                    && pictures.is_wanted(&descriptor)
                    && let Some(front) = pictures.rewrite(&descriptor)
                {
                    prop_assert!(front.bytes().len() <= LONGEST);
                    prop_assert!(usize::from(front.replaced) <= payload.len());
                    if event == 0 {
                        prop_assert_eq!(pictures.highest, before + 1);
                    }
                }
                prop_assert!(pictures.highest >= before);
                prop_assert!(pictures.stream.as_ref().is_none_or(|stream| stream.left_out.len() <= 128));
            }
        }
    }
}
