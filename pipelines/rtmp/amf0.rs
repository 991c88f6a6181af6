//! AMF0, the value format of RTMP commands: a bounded reader and a writer.

/// How deep objects and arrays may nest.
pub(super) const DEPTH_LIMIT: usize = 16;

/// How many values one message may hold, nested ones included.
pub(super) const VALUES_LIMIT: usize = 1_024;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const XML_DOCUMENT: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;

/// One value. It has no `Debug` outside tests, because it may hold a stream key.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Value {
    Number(f64),
    Boolean(bool),
    /// Bytes that are not UTF-8 are read as U+FFFD.
    String(String),
    Object(Vec<(String, Value)>),
    Null,
    Undefined,
    EcmaArray(Vec<(String, Value)>),
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970; the time zone, which must be zero, is not kept.
    Date(f64),
}

/// Why bytes are not AMF0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Amf0Error {
    #[error("a value ends too early")]
    Truncated,
    #[error("no value begins with {0:#04x}")]
    Marker(u8),
    #[error("values nest deeper than {DEPTH_LIMIT}")]
    Depth,
    #[error("a message holds more than {VALUES_LIMIT} values")]
    Count,
}

impl Value {
    pub(super) fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// A member of an object or ECMA array.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let (Self::Object(members) | Self::EcmaArray(members)) = self else {
            return None;
        };
        members
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// Reads all values of a message.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    let mut decoder = Decoder {
        rest: bytes,
        count: 0,
    };
    let mut values = Vec::new();
    while !decoder.rest.is_empty() {
        values.push(decoder.value(0)?);
    }
    Ok(values)
}

/// Writes values one after another.
pub(super) fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        write(&mut out, value);
    }
    out
}

struct Decoder<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Amf0Error> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Amf0Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Amf0Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Amf0Error::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        if depth >= DEPTH_LIMIT {
            return Err(Amf0Error::Depth);
        }
        self.count += 1;
        if self.count > VALUES_LIMIT {
            return Err(Amf0Error::Count);
        }
        let [marker] = self.array()?;
        match marker {
            NUMBER => Ok(Value::Number(f64::from_be_bytes(self.array()?))),
            BOOLEAN => Ok(Value::Boolean(self.array::<1>()? != [0])),
            STRING => self.short_text().map(Value::String),
            LONG_STRING | XML_DOCUMENT => self.long_text().map(Value::String),
            OBJECT => self.members(depth).map(Value::Object),
            TYPED_OBJECT => {
                self.short_text()?;
                self.members(depth).map(Value::Object)
            }
            NULL => Ok(Value::Null),
            UNDEFINED => Ok(Value::Undefined),
            ECMA_ARRAY => {
                // The count is a hint that writers get wrong; the end marker decides.
                self.array::<4>()?;
                self.members(depth).map(Value::EcmaArray)
            }
            STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                (0..count)
                    .map(|_| self.value(depth + 1))
                    .collect::<Result<_, _>>()
                    .map(Value::StrictArray)
            }
            DATE => {
                let milliseconds = f64::from_be_bytes(self.array()?);
                self.array::<2>()?;
                Ok(Value::Date(milliseconds))
            }
            other => Err(Amf0Error::Marker(other)),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Amf0Error> {
        let mut members = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(&[0, 0, OBJECT_END]) {
                self.rest = rest;
                return Ok(members);
            }
            let name = self.short_text()?;
            members.push((name, self.value(depth + 1)?));
        }
    }

    fn short_text(&mut self) -> Result<String, Amf0Error> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(usize::from(length))
    }

    fn long_text(&mut self) -> Result<String, Amf0Error> {
        let length = u32::from_be_bytes(self.array()?);
        self.text(usize::try_from(length).map_err(|_| Amf0Error::Truncated)?)
    }

    fn text(&mut self, length: usize) -> Result<String, Amf0Error> {
        self.take(length)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            out.push(NUMBER);
            out.extend(number.to_be_bytes());
        }
        Value::Boolean(value) => out.extend([BOOLEAN, u8::from(*value)]),
        Value::String(text) => {
            if u16::try_from(text.len()).is_ok() {
                out.push(STRING);
                write_short_text(out, text);
            } else {
                let text = truncated(text, u32::MAX as usize);
                out.push(LONG_STRING);
                out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend(text.as_bytes());
            }
        }
        Value::Object(members) => {
            out.push(OBJECT);
            write_members(out, members);
        }
        Value::Null => out.push(NULL),
        Value::Undefined => out.push(UNDEFINED),
        Value::EcmaArray(members) => {
            out.push(ECMA_ARRAY);
            out.extend(
                u32::try_from(members.len())
                    .unwrap_or(u32::MAX)
                    .to_be_bytes(),
            );
            write_members(out, members);
        }
        Value::StrictArray(values) => {
            out.push(STRICT_ARRAY);
            out.extend(
                u32::try_from(values.len())
                    .unwrap_or(u32::MAX)
                    .to_be_bytes(),
            );
            for value in values {
                write(out, value);
            }
        }
        Value::Date(milliseconds) => {
            out.push(DATE);
            out.extend(milliseconds.to_be_bytes());
            out.extend([0, 0]);
        }
    }
}

fn write_members(out: &mut Vec<u8>, members: &[(String, Value)]) {
    for (name, value) in members {
        write_short_text(out, name);
        write(out, value);
    }
    out.extend([0, 0, OBJECT_END]);
}

fn write_short_text(out: &mut Vec<u8>, text: &str) {
    let text = truncated(text, usize::from(u16::MAX));
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(text.as_bytes());
}

/// The front of `text`, at most `limit` bytes.
fn truncated(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (-1e12..1e12).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,40}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            (0.0..1e12).prop_map(Value::Date),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let members = prop::collection::vec(("[a-z]{1,8}", inner.clone()), 0..6);
            prop_oneof![
                members.clone().prop_map(Value::Object),
                members.prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
            ]
        })
    }

    fn nested(depth: usize) -> Vec<u8> {
        [STRICT_ARRAY, 0, 0, 0, 1]
            .repeat(depth - 1)
            .into_iter()
            .chain([NULL])
            .collect()
    }

    #[test]
    fn a_string_of_65536_bytes_becomes_a_long_string() {
        let text = Value::String("k".repeat(65_536));

        let bytes = encode(std::slice::from_ref(&text));

        assert_eq!(bytes[0], LONG_STRING);
        assert_eq!(decode(&bytes), Ok(vec![text]));
    }

    #[test]
    fn values_may_nest_sixteen_deep_and_no_deeper() {
        assert!(decode(&nested(DEPTH_LIMIT)).is_ok());
        assert_eq!(decode(&nested(DEPTH_LIMIT + 1)), Err(Amf0Error::Depth));
    }

    #[test]
    fn a_message_may_hold_1024_values_and_no_more() {
        assert!(decode(&[NULL; VALUES_LIMIT]).is_ok());
        assert_eq!(decode(&[NULL; VALUES_LIMIT + 1]), Err(Amf0Error::Count));
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        assert_eq!(
            decode(&[STRICT_ARRAY, 255, 255, 255, 255]),
            Err(Amf0Error::Truncated)
        );
        assert_eq!(
            decode(&[LONG_STRING, 255, 255, 255, 255]),
            Err(Amf0Error::Truncated)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(value(), 0..6)) {
            prop_assert_eq!(decode(&encode(&values)), Ok(values));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn damaged_values_do_not_make_the_reader_panic(
            values in prop::collection::vec(value(), 1..4),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = encode(&values);
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let _ = decode(&bytes);
            let _ = decode(&bytes[..place]);
        }
    }
}
