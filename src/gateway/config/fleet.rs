//! The variables of a node among others: where the registry is, and with which keys what is written there is sealed.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fleet::RedisRegistry;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{Secret, reader::Reader};

/// How long a key is: 256 bits.
const KEY_BYTES: usize = 32;

/// The most keys at a time: the one that seals, and the one before it, so that keys can be changed while nodes run.
const KEYS_LIMIT: usize = 2;

/// How a node finds the others.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The registry's URL, which may hold a password.
    pub registry: Secret,
    /// What seals that which is written there.
    pub keys: SecretsKeys,
}

/// The keys of `SECRETS_KEY`, the newest first: that one seals, each opens. Their memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretsKeys(Vec<Zeroizing<[u8; KEY_BYTES]>>);

impl SecretsKeys {
    /// Reads one or two keys, each of 64 hexadecimal digits or the same bytes in base64, separated by a comma.
    ///
    /// # Errors
    /// Says what is wrong without showing anything of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys: Vec<_> = text
            .split(',')
            .map(|key| read_key(key.trim()))
            .collect::<Result<_, _>>()?;
        if keys.len() > KEYS_LIMIT {
            return Err(format!("has more than {KEYS_LIMIT} keys"));
        }
        Ok(Self(keys))
    }

    /// What seals.
    pub fn newest(&self) -> &[u8; KEY_BYTES] {
        &self.0[0]
    }

    /// Whatever may have sealed, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &[u8; KEY_BYTES]> {
        self.0.iter().map(|key| &**key)
    }
}

impl fmt::Debug for SecretsKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretsKeys(hidden)")
    }
}

fn read_key(text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, String> {
    let bytes = if text.len() == 2 * KEY_BYTES {
        hexadecimal(text)
    } else {
        BASE64_STANDARD.decode(text).ok().map(Zeroizing::new)
    };
    let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
    let key = key.ok_or_else(|| {
        format!("is not {KEY_BYTES} bytes in hexadecimal or base64; make them with `openssl rand -hex {KEY_BYTES}`")
    })?;
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(format!(
            "is one byte repeated; make one with `openssl rand -hex {KEY_BYTES}`"
        ));
    }
    Ok(Zeroizing::new(key))
}

fn hexadecimal(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes = pairs.map(|pair| u8::try_from(digit(&pair[0])? * 16 + digit(&pair[1])?).ok());
    bytes.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

/// Reads all of it. A node that others are to find needs a name and an address that last.
pub(super) fn read(
    r: &mut Reader<'_>,
    production: bool,
    public_url: Option<&Url>,
) -> Option<FleetConfig> {
    let keys = r.hidden("SECRETS_KEY", SecretsKeys::parse);
    let registry = r.hidden("REDIS_URL", |text| {
        RedisRegistry::check(text).map(|()| Secret::new(text))
    })?;
    if !r.find_any("SERVER_ID") {
        r.mistake(
            "REDIS_URL",
            "needs SERVER_ID, by which others know this node",
        );
    }
    match public_url {
        None if r.find_any("PUBLIC_URL") => {}
        None => r.mistake(
            "REDIS_URL",
            "needs PUBLIC_URL, where studios and other nodes reach this node",
        ),
        Some(url) if production && is_loopback(url) => r.mistake(
            "PUBLIC_URL",
            "is a loopback address, which no other node reaches; refused with REDIS_URL and NODE_ENV=production",
        ),
        Some(_) => {}
    }
    if keys.is_none() && !r.is_set("SECRETS_KEY") && !r.is_set("SECRETS_KEY_FILE") {
        r.mistake(
            "REDIS_URL",
            "needs SECRETS_KEY, which seals what is written there; make one with `openssl rand -hex 32`",
        );
    }
    keys.map(|keys| FleetConfig { registry, keys })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const SECOND: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn keys_are_read_in_hexadecimal_and_base64() {
        let keys = SecretsKeys::parse(&format!("{FIRST}, {SECOND}")).unwrap();

        assert_eq!(keys.newest()[..3], [0x00, 0x11, 0x22]);
        let all: Vec<_> = keys.all().map(|key| key[31]).collect();
        assert_eq!(all, [0xff, 0x1f]);
        assert_eq!(format!("{keys:?}"), "SecretsKeys(hidden)");
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let three = [FIRST; 3].join(",");
        let same = "ab".repeat(KEY_BYTES);
        let short = "canary";
        let wrong = format!("canary{}", &FIRST[6..]);
        for bad in ["", short, &wrong, &same, &FIRST[2..], &three] {
            let error = SecretsKeys::parse(bad).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
