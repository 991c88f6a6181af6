//! What `REDIS_URL` may say.

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsMode,
    cluster::ClusterClient,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

/// Where the registry is: `redis://`, `rediss://`, `redis+sentinel://…/NAME` and `redis+cluster://…`, the latter two with
/// several hosts between commas, and with `s` behind `redis` for TLS.
pub(super) enum Address {
    One(Client),
    Sentinel(Box<SentinelClient>),
    Cluster(Box<ClusterClient>),
}

impl Address {
    /// Reads it. What is wrong is told without the URL, which holds a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it is no URL")?;
        let plain = |scheme: &str, host: &str| {
            format!("{scheme}://{host}")
                .into_connection_info()
                .map_err(|error| error.to_string())
        };
        match scheme {
            "redis" | "rediss" => {
                let info = plain(scheme, rest)?;
                Ok(Self::One(
                    Client::open(info).map_err(|error| error.to_string())?,
                ))
            }
            "redis+cluster" | "rediss+cluster" => {
                let base = scheme.trim_end_matches("+cluster");
                let (login, hosts) = split_login(rest);
                let hosts = hosts.trim_end_matches('/');
                let infos = hosts
                    .split(',')
                    .map(|host| plain(base, &format!("{login}{host}")));
                let infos: Vec<ConnectionInfo> = infos.collect::<Result<_, _>>()?;
                let client = ClusterClient::new(infos).map_err(|error| error.to_string())?;
                Ok(Self::Cluster(Box::new(client)))
            }
            "redis+sentinel" | "rediss+sentinel" => {
                let base = scheme.trim_end_matches("+sentinel");
                let (login, hosts) = split_login(rest);
                let (hosts, name) = hosts
                    .split_once('/')
                    .filter(|(_, name)| !name.is_empty())
                    .ok_or("a sentinel's URL ends with the name that the master has there")?;
                let (name, database) = name.split_once('/').unwrap_or((name, "0"));
                let database: i64 = database
                    .parse()
                    .map_err(|_| "the database is not a number")?;
                let addresses = hosts.split(',').map(|host| {
                    // A sentinel's own port, unless the URL says another.
                    let host = if host.contains(':') {
                        host.to_owned()
                    } else {
                        format!("{host}:26379")
                    };
                    Ok(plain("redis", &host)?.addr().clone())
                });
                let addresses: Vec<ConnectionAddr> = addresses.collect::<Result<_, String>>()?;
                let info = plain(base, &format!("{login}master"))?;
                let mut builder = SentinelClientBuilder::new(
                    addresses,
                    name.to_owned(),
                    SentinelServerType::Master,
                )
                .map_err(|error| error.to_string())?
                .set_client_to_redis_db(database);
                if let Some(user) = info.redis_settings().username() {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = info.redis_settings().password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                if base == "rediss" {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                }
                let client = builder.build().map_err(|error| error.to_string())?;
                Ok(Self::Sentinel(Box::new(client)))
            }
            _ => {
                Err("the scheme is one of redis, rediss, redis+sentinel, redis+cluster".to_owned())
            }
        }
    }
}

/// `user:password@` and the hosts.
fn split_login(rest: &str) -> (&str, &str) {
    match rest.rfind('@') {
        Some(at) => rest.split_at(at + 1),
        None => ("", rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_servers_can_be_named() {
        for url in [
            "redis://localhost",
            "redis://:secret@localhost:6380/2",
            "rediss://user:secret@redis.example.org",
            "redis+sentinel://:secret@a,b:26380/mymaster",
            "redis+sentinel://a/mymaster/3",
            "redis+cluster://a:7000,b:7001",
        ] {
            assert!(Address::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for url in [
            "localhost",
            "http://:canary@localhost",
            "redis://:canary@",
            "redis+sentinel://:canary@a",
            "redis+sentinel://:canary@a/mymaster/x",
            "redis+cluster://:canary@a:x",
        ] {
            let Err(error) = Address::parse(url) else {
                panic!("{url}");
            };
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
