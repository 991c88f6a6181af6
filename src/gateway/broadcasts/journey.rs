//! One attempt of one line, from resolving the name to the last byte, by the first provider that takes it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use broadcast::{Attempt, DestinationEvent, Failure, Provider, Reason};
use egress_providers::{
    DestinationEvent as Told, DestinationOrder, EgressProvider, Holder, Lease, LeaseKey,
    OpenDestination, What,
};
use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    carriers::{LineId, Note, Outside, Report},
    choices::{Choices, fails_over, to_go_on},
    renditions::Made,
};
use crate::{clock::now, metrics::Metrics};

/// How long a destination of our own may take to say goodbye before its connection is cut.
pub(super) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);

/// The same at a hosted provider: one answer of its API, and a moment. What it does not confirm by then goes on in the
/// background, and the key stays taken meanwhile.
pub(super) const HOSTED_GOODBYE_TIMEOUT: Duration = Duration::from_secs(12);

/// How often a permit that has ended is asked again: it is renewed about once a second.
const PERMIT_POLL: Duration = Duration::from_millis(200);

/// How long to wait for a goodbye.
pub(super) const fn goodbye_timeout(provider: Provider) -> Duration {
    if provider.is_hosted() {
        HOSTED_GOODBYE_TIMEOUT
    } else {
        GOODBYE_TIMEOUT
    }
}

/// Where one attempt reports.
pub(super) struct Telephone {
    pub(super) line: LineId,
    pub(super) attempt: Attempt,
    pub(super) notes: mpsc::Sender<Note>,
}

impl Telephone {
    async fn note(&self, note: Note) {
        // A broadcast that has ended does not listen any more.
        drop(self.notes.send(note).await);
    }

    async fn tell(&self, event: DestinationEvent) {
        let report = Report {
            line: self.line.clone(),
            attempt: self.attempt,
            event,
        };
        self.note(Note::Report(report)).await;
    }
}

/// One attempt.
pub(super) struct Journey {
    pub(super) outside: Arc<Outside>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
    pub(super) rendition: Option<Arc<Made>>,
    pub(super) order: DestinationOrder,
    /// Who is to be tried, or why there is nobody.
    pub(super) choices: Result<Choices, Failure>,
    pub(super) telephone: Telephone,
}

/// How it went with one provider.
enum Outcome {
    /// It ended as it was asked to.
    Asked,
    /// It failed before it was live.
    Refused(Failure),
    /// It failed after it was live.
    Lost(Failure),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl Journey {
    /// A panic ends this attempt only, is counted, and is told as a failure of ours.
    pub(super) async fn go_safely(self) {
        let journey = async {
            tokio::select! {
                outcome = self.go() => outcome,
                failure = refused(self.rendition.as_deref()) => {
                    self.order.black_box.note_failure(&failure, None);
                    Err(failure)
                }
            }
        };
        let failure = match AssertUnwindSafe(journey).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(_) => {
                self.metrics.panicked();
                Failure::new(
                    Reason::EngineFailed,
                    "the connection broke inside the gateway",
                )
            }
        };
        self.telephone.tell(DestinationEvent::Lost(failure)).await;
    }

    /// Carries until asked to stop (`Ok`) or until it fails, with the next provider while nothing is live.
    async fn go(&self) -> Result<(), Failure> {
        tokio::select! {
            () = self.wait_for_permit() => {}
            () = self.stop.cancelled() => return Ok(()),
        }
        let choices = self.choices.as_ref().map_err(Failure::clone)?;
        let mut last = None;
        for (index, choice) in choices.order.iter().enumerate() {
            let provider = choice.provider;
            if index > 0 {
                let (line, because) = (self.telephone.line.1.as_str(), choice.because.as_str());
                let (broadcast, destination) = (&self.order.broadcast, &self.order.destination);
                tracing::warn!(%broadcast, %destination, line, %provider, because, "another provider is tried");
            }
            let failure = match self.go_with(provider).await {
                Outcome::Asked => return Ok(()),
                Outcome::Lost(failure) => {
                    self.note_failed(provider, &failure).await;
                    return Err(to_go_on(failure, choices));
                }
                Outcome::Refused(failure) => failure,
            };
            self.note_failed(provider, &failure).await;
            if !fails_over(failure.reason) {
                return Err(failure);
            }
            last = Some(failure);
        }
        Err(last.unwrap_or_else(|| {
            Failure::new(Reason::ProviderInvalid, "there is nobody to carry this")
        }))
    }

    /// Waits until anything may be sent. A node that may have been taken over tries nothing, and fails nothing.
    async fn wait_for_permit(&self) {
        while !self.order.show.permit.allows(now()) {
            sleep(PERMIT_POLL).await;
        }
    }

    async fn note_failed(&self, provider: Provider, failure: &Failure) {
        let failure = failure.clone();
        self.telephone.note(Note::Failed(provider, failure)).await;
    }

    async fn go_with(&self, provider: Provider) -> Outcome {
        let Some(carrier) = self.outside.providers.find(provider) else {
            let words = format!("{provider} is not configured on this node");
            return Failure::new(Reason::ProviderInvalid, words).into();
        };
        let line = self.telephone.line.clone();
        self.telephone.note(Note::Begun(line, provider)).await;
        let asked = now();
        let beginning = async {
            let mut order = self.order.clone();
            order.addresses = self.resolve(provider).await?;
            let lease = self.take_lease(provider).await?;
            Held::open(lease, &*carrier, order).await
        };
        let mut held = tokio::select! {
            begun = beginning => match begun {
                Ok(held) => held,
                Err(failure) => return failure.into(),
            },
            () = self.stop.cancelled() => return Outcome::Asked,
        };
        let mut was_live = false;
        loop {
            let event = tokio::select! {
                event = held.connection.next_event() => event,
                () = self.stop.cancelled() => break,
            };
            let failure = match event {
                Some(Told::Connecting) => continue,
                Some(Told::Live) => {
                    was_live = true;
                    self.metrics.destination_opened(now() - asked);
                    self.telephone.tell(DestinationEvent::Live).await;
                    continue;
                }
                Some(Told::Lost(failure)) => failure,
                Some(Told::Closed) | None => {
                    Failure::new(Reason::EngineFailed, "the media ended inside the gateway")
                }
            };
            return if was_live {
                Outcome::Lost(failure)
            } else {
                Outcome::Refused(failure)
            };
        }
        held.connection.close();
        let goodbye = async { while held.connection.next_event().await.is_some() {} };
        if timeout(goodbye_timeout(provider), goodbye).await.is_err() {
            tracing::debug!(%provider, "destination did not say goodbye in time");
        }
        Outcome::Asked
    }

    /// Addresses to connect to. A provider on another machine resolves the name itself: what is known of the name here
    /// must be allowed, but it need not be known.
    async fn resolve(&self, provider: Provider) -> Result<Vec<std::net::SocketAddr>, Failure> {
        let black_box = &self.order.black_box;
        let asked = now();
        let resolved = self.outside.guard.resolve(&self.order.endpoint).await;
        let elapsed = Some(now() - asked);
        match resolved {
            Ok(addresses) => {
                let count = addresses.len();
                let words = format!("{count} address{}", if count == 1 { "" } else { "es" });
                black_box.note(What::Dns, elapsed, &words);
                Ok(addresses)
            }
            Err(failure) if provider.is_hosted() && failure.reason == Reason::DnsFailed => {
                black_box.note(What::Dns, elapsed, "left to the provider");
                Ok(Vec::new())
            }
            Err(failure) => {
                black_box.note_failure(&failure, elapsed);
                Err(failure)
            }
        }
    }

    async fn take_lease(&self, provider: Provider) -> Result<Lease, Failure> {
        let (destination, line) = self.telephone.line.clone();
        let holder = Holder {
            broadcast: self.order.broadcast.clone(),
            destination,
            line,
            provider,
        };
        let key = LeaseKey::of(&self.order.endpoint);
        let taken = self.outside.providers.leases().take(key, &holder).await;
        taken.inspect_err(|failure| self.order.black_box.note_failure(failure, None))
    }
}

/// A connection with the right to its key, which is given back when nobody can be publishing any more.
struct Held {
    connection: OpenDestination,
    lease: Option<Lease>,
}

impl Held {
    async fn open(
        lease: Lease,
        carrier: &dyn EgressProvider,
        order: DestinationOrder,
    ) -> Result<Self, Failure> {
        let connection = carrier.open(order).await?;
        let lease = Some(lease);
        Ok(Self { connection, lease })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.let_go(self.connection.let_go());
        }
    }
}

/// Waits until it turns out that what a destination wants cannot be, if ever.
async fn refused(rendition: Option<&Made>) -> Failure {
    match rendition {
        Some(made) => made.refused().await,
        None => std::future::pending().await,
    }
}
