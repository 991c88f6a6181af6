//! What clients are given to get through their NAT: STUN, and TURN with time-limited credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use signalling::IceServer;

use crate::config::IceServersConfig;

/// Hands out ICE servers. TURN credentials are those of coturn's `use-auth-secret`
/// (draft-uberti-behave-turn-rest): nothing is stored, and they end by themselves.
#[derive(Debug, Clone)]
pub struct IceServers {
    config: IceServersConfig,
}

impl IceServers {
    /// Hands out the configured servers.
    pub const fn new(config: IceServersConfig) -> Self {
        Self { config }
    }

    /// Makes the list for one client, whom `id` names in the TURN server's log.
    #[expect(clippy::missing_panics_doc, reason = "HMAC takes keys of every length")]
    pub fn issue(&self, id: &str, now: SystemTime) -> Vec<IceServer> {
        let mut servers = Vec::new();
        if !self.config.stun.is_empty() {
            servers.push(IceServer {
                urls: self.config.stun.clone(),
                username: None,
                credential: None,
            });
        }
        if let Some(turn) = &self.config.turn {
            let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            let username = format!("{}:{id}", (since_epoch + turn.lifetime).as_secs());
            let mut mac = Hmac::<Sha1>::new_from_slice(turn.secret.expose().as_bytes())
                .expect("HMAC takes keys of every length");
            mac.update(username.as_bytes());
            servers.push(IceServer {
                urls: turn.urls.clone(),
                credential: Some(STANDARD.encode(mac.finalize().into_bytes())),
                username: Some(username),
            });
        }
        servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, TurnConfig};

    fn servers(stun: &[&str]) -> IceServers {
        IceServers::new(IceServersConfig {
            stun: stun.iter().map(|url| (*url).to_owned()).collect(),
            turn: Some(TurnConfig {
                urls: vec!["turn:turn.example.org:3478?transport=udp".to_owned()],
                secret: Secret::new("north"),
                lifetime: Duration::from_hours(1),
            }),
        })
    }

    /// The expected credential is from
    /// `printf 1700003600:show | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn turn_credentials_are_those_that_coturn_computes() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);

        let issued = servers(&["stun:stun.example.org"]).issue("show", now);

        assert_eq!(issued.len(), 2);
        assert_eq!(issued[0].urls, ["stun:stun.example.org"]);
        assert_eq!(issued[1].username.as_deref(), Some("1700003600:show"));
        assert_eq!(
            issued[1].credential.as_deref(),
            Some("JacUYaENhiwNqNWPy1JOmaTtido=")
        );
        assert!(!format!("{issued:?} {:?}", servers(&[])).contains("north"));
    }

    #[test]
    fn nothing_configured_gives_nothing() {
        let none = IceServers::new(IceServersConfig {
            stun: Vec::new(),
            turn: None,
        });

        assert!(none.issue("show", UNIX_EPOCH).is_empty());
    }
}
