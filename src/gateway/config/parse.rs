//! Turns the text of one variable into its value, or says in words what it should be.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use broadcast::{BroadcastId, Endpoint, Method, Provider};
use url::Url;

use crate::admission::Cost;

/// The most entries of a list.
const LONGEST_LIST: usize = 64;

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.parse()
        .map_err(|_| format!("'{text}' is not an IP address"))
}

pub(super) fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    list(text, |entry| {
        let address = address(entry)?;
        if address.is_unspecified() || address.is_multicast() {
            Err(format!("'{entry}' is no address that a studio can reach"))
        } else {
            Ok(address)
        }
    })
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not a port from 0 to 65535"))
}

pub(super) fn number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: Copy + FromStr + PartialOrd + std::fmt::Display,
{
    text.parse()
        .ok()
        .filter(|number| (&least..=&most).contains(&number))
        .ok_or_else(|| format!("'{text}' is not a number from {least} to {most}"))
}

/// A path, or a name that is looked for.
pub(super) fn program(text: &str) -> Result<PathBuf, String> {
    if text.chars().any(char::is_control) {
        return Err("is not a path: it has control characters".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// A number of cores, not necessarily a whole one.
pub(super) fn cores(text: &str) -> Result<Cost, String> {
    text.parse()
        .ok()
        .filter(|cores| (0.1..=1024.0).contains(cores))
        .map(Cost::of_cores)
        .ok_or_else(|| format!("'{text}' is not a number of cores from 0.1 to 1024"))
}

pub(super) fn milliseconds(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    number(text, least, most).map(Duration::from_millis)
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false")),
    }
}

/// One of several words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("'{text}' is not one of {}", words.join(", "))
        })
}

/// An `http` or `https` URL without user, query and fragment. The text is not repeated in the mistake: it may hold a password.
pub(super) fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL must start with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password in the URL are not supported".to_owned());
    }
    if url.fragment().is_some() {
        return Err("the URL must not have a fragment".to_owned());
    }
    Ok(url)
}

/// The same without a query, so that a path can be appended.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let url = web_url(text)?;
    if url.query().is_some() {
        return Err("the URL must not have a query".to_owned());
    }
    Ok(url)
}

/// `stun:host[:port]` or `turn[s]:host[:port][?transport=udp|tcp]`, by RFC 7064 and RFC 7065.
pub(super) fn ice_urls(text: &str, schemes: &[&str]) -> Result<Vec<String>, String> {
    list(text, |entry| {
        let valid = |c: char| c.is_ascii_alphanumeric() || ".-_:[]?=".contains(c);
        let (scheme, rest) = entry.split_once(':').unwrap_or(("", ""));
        if !schemes.contains(&scheme) || rest.is_empty() || !rest.chars().all(valid) {
            return Err(format!(
                "'{entry}' does not look like {}:host:port",
                schemes[0]
            ));
        }
        Ok(entry.to_owned())
    })
}

pub(super) fn identity(text: &str) -> Result<String, String> {
    BroadcastId::new(text)
        .map(|id| id.as_str().to_owned())
        .map_err(|error| error.to_string())
}

pub(super) fn method(text: &str) -> Result<Method, String> {
    text.parse()
        .map_err(|error: broadcast::SpecError| error.to_string())
}

/// Providers in an order, each once.
pub(super) fn providers(text: &str) -> Result<Vec<Provider>, String> {
    let providers = list(text, |entry| {
        entry
            .parse::<Provider>()
            .map_err(|_| format!("'{entry}' is not one of {}", words_of_providers()))
    })?;
    let mut seen = HashSet::new();
    match providers.iter().find(|provider| !seen.insert(**provider)) {
        Some(twice) => Err(format!("{twice} is there twice")),
        None => Ok(providers),
    }
}

fn words_of_providers() -> String {
    Provider::ALL.map(Provider::as_str).join(", ")
}

/// A name as accounts have it: printable, without spaces, and fit for a path.
pub(super) fn account(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("has other characters than A-Z, a-z, 0-9, '-' and '_'".to_owned())
    }
}

/// An API's base URL; `ws` and `wss`, as some dashboards show it, mean `http` and `https`.
pub(super) fn api_url(text: &str) -> Result<Url, String> {
    let web = ["ws", "wss"].into_iter().zip(["http", "https"]);
    let same = web.into_iter().find_map(|(socket, web)| {
        let rest = text.strip_prefix(socket)?;
        rest.starts_with("://").then(|| format!("{web}{rest}"))
    });
    base_url(same.as_deref().unwrap_or(text))
}

/// `rtmp[s]://host[:port]/application`, to which a key is going to be appended.
pub(super) fn ingest(text: &str) -> Result<String, String> {
    Endpoint::parse(text, Some("key"))
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

/// `None` for `any`.
pub(super) fn ports(text: &str) -> Result<Option<Vec<u16>>, String> {
    if text.eq_ignore_ascii_case("any") {
        return Ok(None);
    }
    list(text, |entry| number(entry, 1, u16::MAX)).map(Some)
}

/// `None` for `any`.
pub(super) fn hosts(text: &str) -> Result<Option<Vec<String>>, String> {
    if text.eq_ignore_ascii_case("any") {
        return Ok(None);
    }
    list(text, |entry| {
        let host = entry.strip_prefix("*.").unwrap_or(entry);
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(valid) {
            return Err(format!("'{entry}' is not a host name"));
        }
        Ok(entry.trim_end_matches('.').to_ascii_lowercase())
    })
    .map(Some)
}

pub(super) fn loopback_socket(text: &str) -> Result<SocketAddr, String> {
    let socket: SocketAddr = text
        .parse()
        .map_err(|_| format!("'{text}' is not an address with a port, such as 127.0.0.1:19350"))?;
    if socket.ip().is_loopback() {
        Ok(socket)
    } else {
        Err(format!("'{text}' is not a loopback address"))
    }
}

fn list<T>(text: &str, entry: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let entries: Vec<_> = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect();
    if entries.is_empty() {
        return Err("the list is empty".to_owned());
    }
    if entries.len() > LONGEST_LIST {
        return Err(format!("the list has more than {LONGEST_LIST} entries"));
    }
    entries.into_iter().map(entry).collect()
}
