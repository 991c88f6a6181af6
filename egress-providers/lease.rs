//! Who may publish with a key: at most one at a time, whoever carries it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use broadcast::{BroadcastId, DestinationId, Endpoint, Failure, LineName, Provider, Reason};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::LetGo;

/// The ports by which platforms take RTMP and RTMPS, each as good as the others.
const PLATFORM_PORTS: [u16; 5] = [80, 443, 1935, 2935, 5222];

/// What a destination's address and key are known by, without showing them: SHA-256 of both.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseKey([u8; 32]);

impl LeaseKey {
    /// The same for all ways to write the same address and key.
    pub fn of(endpoint: &Endpoint) -> Self {
        // The host is in lower case. Whether TLS is used makes no other stream of it, and neither does a platform's other port;
        // behind a port that is nobody's is another server.
        let mut hasher = Sha256::new();
        let application = endpoint.application().expose().trim_matches('/');
        let port = Some(endpoint.port()).filter(|port| !PLATFORM_PORTS.contains(port));
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        let key = endpoint.stream_key().expose();
        for part in [endpoint.host(), &port, application, key] {
            hasher.update(part.len().to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// In hexadecimal, for stores that a fleet shares.
    pub fn to_hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Debug for LeaseKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash of what can be guessed is as good as what it is of; four bytes tell keys apart in a log.
        write!(formatter, "LeaseKey({:.8}…)", self.to_hex())
    }
}

/// Who publishes: one line of a broadcast's destination, by one provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Whose broadcast.
    pub broadcast: BroadcastId,
    /// To which destination.
    pub destination: DestinationId,
    /// Over which of its connections.
    pub line: LineName,
    /// Who carries it.
    pub provider: Provider,
}

/// The right to publish with a key. Dropping it gives it back at once.
#[derive(Debug)]
pub struct Lease {
    fence: u64,
    keeper: Option<Box<dyn LeaseKeeper>>,
}

impl Lease {
    /// A lease that `keeper` is told the end of.
    pub fn new(fence: u64, keeper: Box<dyn LeaseKeeper>) -> Self {
        Self {
            fence,
            keeper: Some(keeper),
        }
    }

    /// Larger than that of any lease on any key before it.
    pub const fn fence(&self) -> u64 {
        self.fence
    }

    /// Gives it back, from when on `let_go` says. Until then only the same holder can have it.
    pub fn let_go(mut self, let_go: LetGo) {
        if let Some(keeper) = self.keeper.take() {
            keeper.end(let_go);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.end(LetGo::Now);
        }
    }
}

/// Whoever gave a lease, and takes it back.
pub trait LeaseKeeper: Send + Sync + fmt::Debug {
    /// The lease is given back.
    fn end(self: Box<Self>, let_go: LetGo);
}

/// Gives leases: one at a time on each key.
#[async_trait]
pub trait Leases: Send + Sync + fmt::Debug {
    /// Takes the right to publish with a key, or fails with [`Reason::KeyInUse`].
    async fn take(&self, key: LeaseKey, holder: &Holder) -> Result<Lease, Failure>;
}

/// Leases within this process.
#[derive(Debug, Default, Clone)]
pub struct ProcessLeases(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    fence: u64,
    entries: HashMap<LeaseKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    holder: Holder,
    fence: u64,
    /// `None` while it is held.
    free_at: Option<Instant>,
}

#[derive(Debug)]
struct Page {
    leases: ProcessLeases,
    key: LeaseKey,
    fence: u64,
}

impl ProcessLeases {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Leases for ProcessLeases {
    async fn take(&self, key: LeaseKey, holder: &Holder) -> Result<Lease, Failure> {
        let now = Instant::now();
        let mut book = self.book();
        book.entries
            .retain(|_, entry| entry.free_at.is_none_or(|free_at| now < free_at));
        if let Some(entry) = book.entries.get(&key)
            && (entry.free_at.is_none() || entry.holder != *holder)
        {
            return Err(in_use(entry, holder));
        }
        book.fence += 1;
        let fence = book.fence;
        let holder = holder.clone();
        let entry = Entry {
            holder,
            fence,
            free_at: None,
        };
        book.entries.insert(key, entry);
        let leases = self.clone();
        Ok(Lease::new(fence, Box::new(Page { leases, key, fence })))
    }
}

impl LeaseKeeper for Page {
    fn end(self: Box<Self>, let_go: LetGo) {
        let mut book = self.leases.book();
        // A lease of an older number has nothing to say about what its successor holds.
        let Some(entry) = book.entries.get_mut(&self.key) else {
            return;
        };
        if entry.fence != self.fence {
            return;
        }
        match let_go {
            LetGo::Now => drop(book.entries.remove(&self.key)),
            LetGo::After(pause) => entry.free_at = Some(Instant::now() + pause),
        }
    }
}

/// Tells who has a key, as far as that is the asker's business.
fn in_use(entry: &Entry, asker: &Holder) -> Failure {
    let (broadcast, provider) = (&entry.holder.broadcast, entry.holder.provider);
    let words = if *broadcast != asker.broadcast {
        "another broadcast publishes with this key".to_owned()
    } else if entry.holder.destination != asker.destination {
        let destination = &entry.holder.destination;
        format!("the destination {destination} of this broadcast has the same address and key")
    } else if entry.free_at.is_some() {
        format!("{provider} may still be publishing with this key, and could not be asked")
    } else {
        format!("{provider} still publishes with this key")
    };
    Failure::new(Reason::KeyInUse, words)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(url: &str, stream_key: &str) -> LeaseKey {
        LeaseKey::of(&Endpoint::parse(url, Some(stream_key)).unwrap())
    }

    fn holder(broadcast: &str, provider: Provider) -> Holder {
        Holder {
            broadcast: BroadcastId::new(broadcast).unwrap(),
            destination: DestinationId::new("youtube").unwrap(),
            line: LineName::Primary,
            provider,
        }
    }

    #[test]
    fn the_same_address_and_key_are_one_however_they_are_written() {
        let one = key("rtmp://Live.example/app/", "k?a=b");

        assert_eq!(one, key("rtmp://live.example:1935/app", "k?a=b"));
        assert_eq!(one, key("rtmps://live.example/app", "k?a=b"));
        assert_ne!(one, key("rtmp://live.example:19350/app", "k?a=b"));
        assert_ne!(one, key("rtmp://live.example/app", "k?a=c"));
        assert_ne!(one, key("rtmp://live.example/ap", "pk?a=b"));
    }

    #[test]
    fn a_lease_key_is_shown_by_its_beginning_only() {
        let key = key("rtmp://live.example/app", "secret");

        let shown = format!("{key:?}");

        assert_eq!(key.to_hex().len(), 64);
        assert_eq!(shown, format!("LeaseKey({}…)", &key.to_hex()[..8]));
    }

    #[tokio::test]
    async fn a_second_broadcast_does_not_get_a_key_in_use() {
        let leases = ProcessLeases::default();
        let key = key("rtmp://live.example/app", "secret");
        let first = leases.take(key, &holder("one", Provider::Own)).await;

        let second = leases.take(key, &holder("two", Provider::Own)).await;

        let failure = second.unwrap_err();
        assert_eq!(failure.reason, Reason::KeyInUse);
        assert!(!failure.message.contains("one"), "{failure}");
        drop(first);
        assert!(
            leases
                .take(key, &holder("two", Provider::Own))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_key_that_may_still_be_published_with_is_held_back_from_others() {
        tokio::time::pause();
        let leases = ProcessLeases::default();
        let key = key("rtmp://live.example/app", "secret");
        let (hosted, own) = (holder("one", Provider::Mux), holder("one", Provider::Own));
        let lease = leases.take(key, &hosted).await.unwrap();

        lease.let_go(LetGo::After(Duration::from_secs(40)));

        tokio::time::advance(Duration::from_millis(39_999)).await;
        assert!(leases.take(key, &own).await.is_err());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(leases.take(key, &own).await.is_ok());
    }

    #[tokio::test]
    async fn who_may_still_be_publishing_may_go_on() {
        let leases = ProcessLeases::default();
        let key = key("rtmp://live.example/app", "secret");
        let hosted = holder("one", Provider::Mux);
        let lease = leases.take(key, &hosted).await.unwrap();
        assert!(leases.take(key, &hosted).await.is_err(), "it is held");

        let first = lease.fence();
        lease.let_go(LetGo::After(Duration::from_secs(40)));
        let again = leases.take(key, &hosted).await.unwrap();

        assert!(again.fence() > first);
    }

    #[tokio::test]
    async fn an_older_lease_does_not_end_its_successor() {
        let leases = ProcessLeases::default();
        let key = key("rtmp://live.example/app", "secret");
        let stale = Page {
            leases: leases.clone(),
            key,
            fence: 0,
        };
        let _held = leases.take(key, &holder("one", Provider::Own)).await;

        Box::new(stale).end(LetGo::Now);

        assert!(
            leases
                .take(key, &holder("two", Provider::Own))
                .await
                .is_err()
        );
    }
}
