//! The text of single attributes.

use serde_json::{Number, Value};

use crate::Fmtp;

/// `name=value;name=value`, as libraries of JavaScript read it: what is written as a whole number is one. What has no
/// value is passed over.
pub(super) fn parse_fmtp(text: &str) -> Fmtp {
    text.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| {
            let value = value.trim();
            (name.trim().to_owned(), parse_value(name.trim(), value))
        })
        .collect()
}

/// Hexadecimal digits are no number, though they may look like one.
fn parse_value(name: &str, value: &str) -> Value {
    if name == "profile-level-id" {
        return Value::from(value);
    }
    match value.parse::<i64>() {
        Ok(number) if number.to_string() == value => Value::from(number),
        _ => Value::from(value),
    }
}

/// The same written again; empty when there is nothing to write.
pub(super) fn format_fmtp(parameters: &Fmtp) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", format_value(value)?)))
        .collect();
    pairs.join(";")
}

fn format_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(Number::to_string(number)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A codec in `rtpmap`: name, clock rate and, of sound, channels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RtpMap<'a> {
    pub(super) name: &'a str,
    pub(super) clock_rate: u32,
    pub(super) channels: Option<u8>,
}

/// `name/clock rate[/channels]`.
pub(super) fn parse_rtpmap(text: &str) -> Option<RtpMap<'_>> {
    let mut parts = text.trim().split('/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let clock_rate = parts.next()?.parse().ok()?;
    let channels = match parts.next() {
        Some(channels) => Some(channels.parse().ok()?),
        None => None,
    };
    Some(RtpMap {
        name,
        clock_rate,
        channels,
    })
}

/// The layers after `direction` in `simulcast` (RFC 8853), of alternatives the first, paused or not. The draft before it
/// wrote `rid=` in front.
pub(super) fn parse_simulcast<'a>(text: &'a str, direction: &str) -> Vec<&'a str> {
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if word == direction {
            let list = words.next().unwrap_or_default();
            let list = list.strip_prefix("rid=").unwrap_or(list);
            return list
                .split(';')
                .filter_map(|layer| layer.split(',').next())
                .map(|rid| rid.strip_prefix('~').unwrap_or(rid))
                .filter(|rid| !rid.is_empty())
                .collect();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fmtp_is_read_as_javascript_reads_it() {
        let parameters = parse_fmtp(
            "level-asymmetry-allowed=1; packetization-mode=1;profile-level-id=420029;x=01;y=1.5;0-15",
        );

        assert_eq!(
            serde_json::to_value(&parameters).expect("JSON"),
            json!({ "level-asymmetry-allowed": 1, "packetization-mode": 1,
                "profile-level-id": "420029", "x": "01", "y": "1.5" })
        );
        assert_eq!(
            format_fmtp(&parameters),
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=420029;x=01;y=1.5"
        );
    }

    #[test]
    fn rtpmaps_have_a_clock_and_perhaps_channels() {
        let opus = parse_rtpmap("opus/48000/2").expect("a codec");

        assert_eq!(
            (opus.name, opus.clock_rate, opus.channels),
            ("opus", 48_000, Some(2))
        );
        assert_eq!(parse_rtpmap("VP8/90000").expect("a codec").channels, None);
        for bad in [
            "",
            "VP8",
            "VP8/",
            "/90000",
            "VP8/x",
            "opus/48000/x",
            "opus/48000/999",
        ] {
            assert_eq!(parse_rtpmap(bad), None, "{bad}");
        }
    }

    #[test]
    fn layers_are_listed_in_every_way_that_was_ever_written() {
        assert_eq!(parse_simulcast("send r0;r1;r2", "send"), ["r0", "r1", "r2"]);
        assert_eq!(parse_simulcast("recv a send ~b,c;d", "send"), ["b", "d"]);
        assert_eq!(parse_simulcast(" send rid=hi;lo", "send"), ["hi", "lo"]);
        assert!(parse_simulcast("recv a", "send").is_empty());
        assert!(parse_simulcast("send", "send").is_empty());
    }
}
