//! Whose pages may use the gateway (CORS).

use axum::http::Uri;

/// The most origins in a list.
const ORIGINS_LIMIT: usize = 64;

/// Origins whose pages may use the gateway. The gateway's own pages need no permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every page of the web.
    Any,
    /// Pages of this machine: `localhost`, `127.0.0.0/8` and `[::1]` at any port.
    Loopback,
    /// These, as browsers write them: lower case, no slash at the end, no default port.
    List(Vec<String>),
}

impl Origins {
    /// Reads `*` or origins separated by commas, such as `https://studio.example.org`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entries: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .collect();
        if entries == ["*"] {
            return Ok(Self::Any);
        }
        if entries.is_empty() || entries.len() > ORIGINS_LIMIT {
            return Err(format!("the list must have 1 to {ORIGINS_LIMIT} origins"));
        }
        let list: Result<Vec<String>, String> = entries.into_iter().map(normal).collect();
        list.map(Self::List)
    }

    /// Whether pages of this origin may use the gateway.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => is_loopback(origin),
            Self::List(list) => list.iter().any(|allowed| allowed == origin),
        }
    }
}

fn normal(entry: &str) -> Result<String, String> {
    let complaint = || "an origin must look like https://studio.example.org".to_owned();
    let lower = entry.to_ascii_lowercase();
    let uri: Uri = lower
        .trim_end_matches('/')
        .parse()
        .map_err(|_| complaint())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(complaint());
    };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(complaint()),
    };
    if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(complaint());
    }
    let host = authority.host();
    Ok(match authority.port_u16() {
        Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
        Some(_) | None => format!("{scheme}://{host}"),
    })
}

fn is_loopback(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else {
        return false;
    };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    web && uri.host().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || address
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        let origins = Origins::parse("https://Studio.Example.org:443/, http://a:8080").unwrap();

        assert!(origins.allows("https://studio.example.org"));
        assert!(origins.allows("http://a:8080"));
        assert!(!origins.allows("http://a"));
        assert!(!origins.allows("https://studio.example.org.evil.example"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            ",",
            "studio.example.org",
            "ftp://a",
            "https://a/b",
            "https://u@a",
            "*,*",
        ] {
            assert!(Origins::parse(text).is_err(), "{text}");
        }
        assert_eq!(Origins::parse("*"), Ok(Origins::Any));
    }

    #[test]
    fn only_pages_of_this_machine_are_loopback() {
        for good in [
            "http://localhost:3002",
            "http://127.0.0.1",
            "https://[::1]:5173",
        ] {
            assert!(Origins::Loopback.allows(good), "{good}");
        }
        for bad in [
            "null",
            "http://localhost.evil.example",
            "http://10.0.0.1",
            "file://localhost",
        ] {
            assert!(!Origins::Loopback.allows(bad), "{bad}");
        }
    }
}
