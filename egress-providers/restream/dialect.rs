//! What the four have to know how to do, and what their APIs have in common.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use broadcast::StreamKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::remote::Remote;
use crate::{
    Capabilities, ContributionKind, Hot, Meter,
    hosted::{BreakerState, Cost, EgressStatus, HostedTarget, Operation, ProviderError},
};

/// One kind of server.
#[async_trait]
pub(super) trait Dialect: Send + Sync + fmt::Debug + 'static {
    fn capabilities(&self) -> &Capabilities;

    /// Whether it would take a destination.
    fn check(&self, _target: &HostedTarget) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Makes or adopts the stream of this name; also returns the key that it is published under, if the server chose it.
    async fn prepare(
        &self,
        name: &str,
        targets: &[HostedTarget],
    ) -> Result<(Remote, Option<StreamKey>), ProviderError>;

    /// Has the stream sent to these and no others. What has been done is in `remote`, also when it fails half-way.
    async fn settle(
        &self,
        remote: &mut Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError>;

    async fn status(&self, remote: &Remote) -> Result<EgressStatus, ProviderError>;

    async fn stop(&self, remote: &Remote) -> Result<(), ProviderError>;

    async fn health(&self) -> Result<(), ProviderError>;

    fn breaker(&self) -> BreakerState;

    /// The streams whose names begin so.
    async fn named(&self, prefix: &str) -> Result<Vec<Remote>, ProviderError>;
}

/// The most things of one kind that are asked for at once.
pub(super) const LISTED: &str = "1000";

/// A request that may be repeated.
pub(super) const fn idempotent<'a>(
    name: &'static str,
    method: &'static str,
    path: &'a str,
    thing: &'static str,
) -> Operation<'a> {
    Operation {
        name,
        method,
        path,
        idempotent: true,
        cost: Cost::General,
        thing,
    }
}

/// A request that makes something each time.
pub(super) const fn once<'a>(
    name: &'static str,
    method: &'static str,
    path: &'a str,
    thing: &'static str,
) -> Operation<'a> {
    Operation {
        idempotent: false,
        ..idempotent(name, method, path, thing)
    }
}

/// What all of them can do.
pub(super) const fn capabilities() -> Capabilities {
    Capabilities {
        contribution: ContributionKind::Push,
        hot_add: Hot::Yes,
        hot_remove: Hot::Yes,
        destination_status: false,
        destination_pause: false,
        renditions: false,
        destinations_limit: broadcast::DESTINATIONS_LIMIT,
        longest_show: None,
        forgets_after: Duration::from_mins(1),
        start_limit: Duration::from_secs(30),
        webhooks: false,
        meters: &[(Meter::Show, 1), (Meter::Output, 0)],
    }
}

/// What is gone already has been removed.
pub(super) fn gone_is_done<T>(result: Result<T, ProviderError>) -> Result<(), ProviderError> {
    match result {
        Ok(_) | Err(ProviderError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// `scheme://host:port/application`, which may be a secret.
pub(super) fn server(target: &HostedTarget) -> String {
    let application = target.endpoint.application().expose();
    format!("{}/{application}", target.endpoint)
}

/// How long a mark is, in bytes: two of 20 destinations are alike once in 10^17 times.
const MARK_BYTES: usize = 8;

/// Tells an address and key from others without giving them away: nobody without `secret` can try keys on it.
pub(super) fn mark(secret: Option<&StreamKey>, target: &HostedTarget) -> String {
    let secret = secret.map_or("", StreamKey::expose);
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(server(target).as_bytes());
    mac.update(b"\0");
    mac.update(target.endpoint.stream_key().expose().as_bytes());
    let digest = mac.finalize().into_bytes();
    let (head, _) = digest.split_at(MARK_BYTES);
    BASE64_URL_SAFE_NO_PAD.encode(head)
}

#[cfg(test)]
mod tests {
    use broadcast::Endpoint;

    use super::*;
    use crate::hosted::TargetId;

    fn target(url: &str, key: &str) -> HostedTarget {
        HostedTarget {
            id: TargetId::known("youtube"),
            endpoint: Endpoint::parse(url, Some(key)).unwrap(),
        }
    }

    #[test]
    fn a_mark_changes_with_the_address_the_key_and_the_secret() {
        let secret = StreamKey::new("token");
        let marks = [
            mark(Some(&secret), &target("rtmp://a.example/live", "key")),
            mark(Some(&secret), &target("rtmp://a.example/live", "other")),
            mark(Some(&secret), &target("rtmp://b.example/live", "key")),
            mark(None, &target("rtmp://a.example/live", "key")),
        ];

        for (at, one) in marks.iter().enumerate() {
            assert_eq!(one.len(), 11);
            assert!(!marks[at + 1..].contains(one), "{marks:?}");
        }
        let again = mark(Some(&secret), &target("rtmp://a.example/live", "key"));
        assert_eq!(again, marks[0]);
    }

    #[test]
    fn a_server_is_told_with_its_port_and_whole_application() {
        let target = target("rtmps://b.example/live2?backup=1", "key");

        assert_eq!(server(&target), "rtmps://b.example:443/live2?backup=1");
    }
}
