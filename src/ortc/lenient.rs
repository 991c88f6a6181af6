//! Reads what JavaScript writes for "nothing" and for numbers, as mediasoup does: `null`, `0` and `""` are absent where they
//! mean nothing, and a bit rate may have a fraction.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` is the default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An empty name is none.
pub(crate) fn name<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::<String>::deserialize(deserializer)?.filter(|name| !name.is_empty()))
}

/// SSRC 0 is none.
pub(crate) fn ssrc<'de, D>(deserializer: D) -> Result<Option<u32>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::<u32>::deserialize(deserializer)?.filter(|ssrc| *ssrc != 0))
}

/// What is not a boolean is none.
pub(crate) fn flag<'de, D>(deserializer: D) -> Result<Option<bool>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Value::deserialize(deserializer)?.as_bool())
}

/// A bit rate, in bit/s; the fraction is dropped, and zero and less are none.
pub(crate) fn bitrate<'de, D>(deserializer: D) -> Result<Option<u64>, D::Error>
where
    D: Deserializer<'de>,
{
    let bitrate = Option::<f64>::deserialize(deserializer)?;
    Ok(bitrate
        .filter(|bitrate| (1.0..MAX_BITRATE).contains(bitrate))
        .map(|bitrate| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range was checked, and the fraction is to go"
            )]
            let whole = bitrate as u64;
            whole
        }))
}

/// No link is faster, in bit/s: a terabit. More is no limit.
const MAX_BITRATE: f64 = 1e12;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{DtlsParameters, DtlsRole, EncodingParameters, RtpCapabilities, RtpParameters};

    #[test]
    fn nothing_may_be_written_as_null() {
        let read: RtpParameters = serde_json::from_value(json!({
            "mid": null,
            "codecs": [{ "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000,
                "channels": null, "parameters": null, "rtcpFeedback": null }],
            "headerExtensions": null,
            "encodings": null,
            "rtcp": null,
            "msid": null,
        }))
        .expect("parameters");

        assert_eq!(read.validate(), Ok(()));
        assert_eq!(read.codecs[0].channels, None);
        let empty: RtpCapabilities =
            serde_json::from_value(json!({ "codecs": null, "headerExtensions": null }))
                .expect("capabilities");
        assert_eq!(empty, RtpCapabilities::default());
        let dtls: DtlsParameters =
            serde_json::from_value(json!({ "role": null, "fingerprints": [] })).expect("DTLS");
        assert_eq!(dtls.role, DtlsRole::Auto);
    }

    #[test]
    fn nothing_may_be_written_as_an_empty_value() {
        let read: EncodingParameters = serde_json::from_value(json!({
            "ssrc": 0, "rid": "", "dtx": "no", "scalabilityMode": "", "maxBitrate": 0, "active": true,
        }))
        .expect("an encoding");

        assert_eq!(read, EncodingParameters::default());
    }

    #[test]
    fn a_bit_rate_may_have_a_fraction() {
        let bitrate = |value: serde_json::Value| {
            serde_json::from_value::<EncodingParameters>(json!({ "maxBitrate": value }))
                .map(|encoding| encoding.max_bitrate)
                .ok()
        };

        assert_eq!(bitrate(json!(1_749_999.999_9)), Some(Some(1_749_999)));
        assert_eq!(bitrate(json!(4_500_000)), Some(Some(4_500_000)));
        assert_eq!(bitrate(json!(-1)), Some(None));
        assert_eq!(bitrate(json!(1e300)), Some(None));
        assert_eq!(bitrate(json!("fast")), None);
    }
}
