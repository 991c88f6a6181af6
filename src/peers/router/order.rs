//! What others ask of a worker about rooms.

use media::SourceDescription;
use ortc::DtlsParameters;
use tokio::sync::{mpsc, oneshot};

use super::{
    ConsumerCounters, ConsumerOrder, ProducerCounters, ProducerOrder, RouterError, RouterId,
    TransportEvent, TransportProgress,
};
use crate::{
    PeerEvent, SinkId,
    door::{PeerKey, stun::Credentials},
};

/// Whom the answer goes to. One who does not wait any more is not told.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, RouterError>>;

/// What others ask of a worker about rooms.
pub(crate) enum RouterCommand {
    Open {
        router: RouterId,
    },
    Close {
        router: RouterId,
        done: oneshot::Sender<()>,
    },
    OpenTransport {
        router: RouterId,
        transport: PeerKey,
        local: Credentials,
        events: mpsc::Sender<TransportEvent>,
        opened: Reply<()>,
    },
    Transport {
        transport: PeerKey,
        order: TransportOrder,
    },
    Compose {
        composite: PeerKey,
        sink: SinkId,
        router: RouterId,
        video: Option<String>,
        audio: Option<String>,
        events: mpsc::Sender<PeerEvent>,
        composed: Reply<SourceDescription>,
    },
}

/// What is asked of a transport.
pub(crate) enum TransportOrder {
    Connect(DtlsParameters, Reply<()>),
    Restart(Credentials, Reply<()>),
    Progress(Reply<TransportProgress>),
    Close(Reply<()>),
    Produce(ProducerOrder, Reply<()>),
    PauseProducer(String, bool, Reply<()>),
    CloseProducer(String, Reply<()>),
    ProducerCounters(String, Reply<ProducerCounters>),
    Consume(ConsumerOrder, Reply<()>),
    PauseConsumer(String, bool, Reply<()>),
    CloseConsumer(String, Reply<()>),
    PreferLayers(String, u8, Option<u8>, Reply<()>),
    ConsumerCounters(String, Reply<ConsumerCounters>),
}
