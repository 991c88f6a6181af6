//! Rooms: routers, the transports of participants, what they send and what they get.

use std::net::SocketAddr;

use ortc::{DtlsParameters, IceCandidate, IceParameters, IceProtocol};
use tokio::sync::{mpsc, oneshot};

use crate::{
    OfferError, Peers, SessionId, SinkId,
    door::{candidate_priority, new_credentials, stun::Credentials},
    peers::EVENT_QUEUE,
    router::{
        Composed, ConsumerCounters, ConsumerOrder, OpenTransport, ProducerCounters, ProducerOrder,
        Reply, RouterCommand, RouterError, RouterId, TransportOrder, TransportProgress,
    },
    worker::{Command, Place},
};

impl Peers {
    /// Opens a router on the worker where the broadcast of the same name is, and where it will be.
    pub async fn open_router(&self, name: &str) -> RouterId {
        let directory = &self.inner.shared.directory;
        let router = RouterId(directory.next_key());
        let worker = directory.place_router(router, name, self.workers());
        self.command(worker, Command::Router(RouterCommand::Open { router }))
            .await;
        router
    }

    /// Ends a router with all its transports. Ending an ended one is no error.
    pub async fn close_router(&self, router: RouterId) {
        let directory = &self.inner.shared.directory;
        let Some(worker) = directory.worker_of_router(router) else {
            return;
        };
        let (done, ended) = oneshot::channel();
        let command = RouterCommand::Close { router, done };
        self.command(worker, Command::Router(command)).await;
        let _ = ended.await;
    }

    /// Opens a transport that waits for its client, as long as its owner lets it: clients connect when they first need
    /// it. It takes a session's place. Once its client has come, 30 s of silence end it, and so does a DTLS handshake
    /// that takes longer than 10 s.
    pub async fn open_transport(&self, router: RouterId) -> Result<OpenTransport, RouterError> {
        let directory = &self.inner.shared.directory;
        let worker = directory
            .worker_of_router(router)
            .ok_or(RouterError::NoSuchRouter)?;
        let limit = self.inner.sessions_limit;
        let berth = self
            .berth_on(worker, Place::Transport { limit })
            .map_err(|error| refusal(&error))?;
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let (opened, answer) = oneshot::channel();
        let command = RouterCommand::OpenTransport {
            router,
            transport: berth.session,
            local: berth.local.clone(),
            events,
            opened,
        };
        self.command(worker, Command::Router(command)).await;
        answer.await.unwrap_or(Err(RouterError::NoSuchRouter))?;
        Ok(OpenTransport {
            ice: parameters(&berth.local),
            candidates: candidates(&self.inner.announced),
            dtls: self.inner.shared.identity.parameters(),
            events: receiver,
            session: berth.keep(),
        })
    }

    /// Takes the client's certificate, with which it is to prove itself in the DTLS handshake that it begins. The same
    /// again is no error; another is [`RouterError::AlreadyConnected`].
    pub async fn connect_transport(
        &self,
        transport: &SessionId,
        dtls: DtlsParameters,
    ) -> Result<(), RouterError> {
        self.order(transport, |reply| TransportOrder::Connect(dtls, reply))
            .await
    }

    /// Gives the transport new ICE credentials; the old ones hold until the new ones are used. DTLS goes on.
    pub async fn restart_transport(
        &self,
        transport: &SessionId,
    ) -> Result<IceParameters, RouterError> {
        let (_, worker) = self
            .inner
            .shared
            .directory
            .find_session(transport.as_str())
            .ok_or(RouterError::NoSuchTransport)?;
        let local = new_credentials(worker);
        let restarted = parameters(&local);
        self.order(transport, |reply| TransportOrder::Restart(local, reply))
            .await?;
        Ok(restarted)
    }

    /// Ends a transport with all that goes by it. Ending an ended one is no error.
    pub async fn close_transport(&self, transport: &SessionId) {
        let _ = self.order(transport, TransportOrder::Close).await;
    }

    /// How far a transport is.
    pub async fn transport_progress(
        &self,
        transport: &SessionId,
    ) -> Result<TransportProgress, RouterError> {
        self.order(transport, TransportOrder::Progress).await
    }

    /// Receives a track by a transport. At most 64 for each transport.
    pub async fn produce(
        &self,
        transport: &SessionId,
        order: ProducerOrder,
    ) -> Result<(), RouterError> {
        self.order(transport, |reply| TransportOrder::Produce(order, reply))
            .await
    }

    /// Forwards nothing of a producer until it goes on.
    pub async fn pause_producer(
        &self,
        transport: &SessionId,
        producer: &str,
        paused: bool,
    ) -> Result<(), RouterError> {
        let producer = producer.to_owned();
        self.order(transport, |reply| {
            TransportOrder::PauseProducer(producer, paused, reply)
        })
        .await
    }

    /// Ends a producer, with all consumers of it and what it feeds.
    pub async fn close_producer(
        &self,
        transport: &SessionId,
        producer: &str,
    ) -> Result<(), RouterError> {
        let producer = producer.to_owned();
        self.order(transport, |reply| {
            TransportOrder::CloseProducer(producer, reply)
        })
        .await
    }

    /// What was counted of a producer.
    pub async fn producer_counters(
        &self,
        transport: &SessionId,
        producer: &str,
    ) -> Result<ProducerCounters, RouterError> {
        let producer = producer.to_owned();
        self.order(transport, |reply| {
            TransportOrder::ProducerCounters(producer, reply)
        })
        .await
    }

    /// Sends a track by a transport. At most 256 for each transport. What the transport cannot send yet waits for nobody:
    /// media flow once it is connected.
    pub async fn consume(
        &self,
        transport: &SessionId,
        order: ConsumerOrder,
    ) -> Result<(), RouterError> {
        self.order(transport, |reply| TransportOrder::Consume(order, reply))
            .await
    }

    /// Sends nothing to a consumer until it goes on.
    pub async fn pause_consumer(
        &self,
        transport: &SessionId,
        consumer: &str,
        paused: bool,
    ) -> Result<(), RouterError> {
        let consumer = consumer.to_owned();
        self.order(transport, |reply| {
            TransportOrder::PauseConsumer(consumer, paused, reply)
        })
        .await
    }

    /// Ends a consumer.
    pub async fn close_consumer(
        &self,
        transport: &SessionId,
        consumer: &str,
    ) -> Result<(), RouterError> {
        let consumer = consumer.to_owned();
        self.order(transport, |reply| {
            TransportOrder::CloseConsumer(consumer, reply)
        })
        .await
    }

    /// Lets a consumer have at most these layers, from 0; `None`: all temporal ones.
    pub async fn prefer_layers(
        &self,
        transport: &SessionId,
        consumer: &str,
        spatial: u8,
        temporal: Option<u8>,
    ) -> Result<(), RouterError> {
        let consumer = consumer.to_owned();
        self.order(transport, |reply| {
            TransportOrder::PreferLayers(consumer, spatial, temporal, reply)
        })
        .await
    }

    /// What was counted of a consumer.
    pub async fn consumer_counters(
        &self,
        transport: &SessionId,
        consumer: &str,
    ) -> Result<ConsumerCounters, RouterError> {
        let consumer = consumer.to_owned();
        self.order(transport, |reply| {
            TransportOrder::ConsumerCounters(consumer, reply)
        })
        .await
    }

    /// Lets producers feed a sink, as a studio's session does: an earlier source of the sink is ended. It ends when one of
    /// the producers ends, or by [`close`](Self::close).
    ///
    /// The sink must be on the router's worker, which it is when both have the same name; else
    /// [`RouterError::NoSuchSink`].
    pub async fn compose(
        &self,
        sink: SinkId,
        router: RouterId,
        video: Option<&str>,
        audio: Option<&str>,
    ) -> Result<Composed, RouterError> {
        let directory = &self.inner.shared.directory;
        let worker = directory
            .worker_of_router(router)
            .ok_or(RouterError::NoSuchRouter)?;
        if directory.worker_of_sink(sink) != Some(worker) {
            return Err(RouterError::NoSuchSink);
        }
        let berth = self
            .berth_on(worker, Place::Composite)
            .map_err(|error| refusal(&error))?;
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let (composed, answer) = oneshot::channel();
        let command = RouterCommand::Compose {
            composite: berth.session,
            sink,
            router,
            video: video.map(str::to_owned),
            audio: audio.map(str::to_owned),
            events,
            composed,
        };
        self.command(worker, Command::Router(command)).await;
        let source = answer.await.unwrap_or(Err(RouterError::NoSuchRouter))?;
        Ok(Composed {
            session: berth.keep(),
            source,
            events: receiver,
        })
    }

    async fn order<T>(
        &self,
        transport: &SessionId,
        order: impl FnOnce(Reply<T>) -> TransportOrder,
    ) -> Result<T, RouterError> {
        let (transport, worker) = self
            .inner
            .shared
            .directory
            .find_session(transport.as_str())
            .ok_or(RouterError::NoSuchTransport)?;
        let (reply, answer) = oneshot::channel();
        let order = order(reply);
        self.command(
            worker,
            Command::Router(RouterCommand::Transport { transport, order }),
        )
        .await;
        answer.await.unwrap_or(Err(RouterError::NoSuchTransport))
    }
}

fn refusal(error: &OfferError) -> RouterError {
    match error {
        OfferError::Full => RouterError::Full,
        OfferError::NoSuchSink => RouterError::NoSuchSink,
        OfferError::Malformed(_)
        | OfferError::UnsupportedCodec(_)
        | OfferError::TooManyViewers
        | OfferError::Internal(_) => RouterError::Internal(error.to_string()),
    }
}

fn parameters(local: &Credentials) -> IceParameters {
    IceParameters {
        username_fragment: local.fragment.clone(),
        password: local.password.clone(),
        ice_lite: true,
    }
}

fn candidates(addresses: &[SocketAddr]) -> Vec<IceCandidate> {
    let of = |protocol: IceProtocol| {
        addresses
            .iter()
            .enumerate()
            .map(move |(index, address)| IceCandidate {
                foundation: match protocol {
                    IceProtocol::Udp => "udpcandidate".to_owned(),
                    IceProtocol::Tcp => "tcpcandidate".to_owned(),
                },
                priority: candidate_priority(protocol, index),
                ip: address.ip(),
                address: address.ip(),
                protocol,
                port: address.port(),
                kind: "host".to_owned(),
                tcp_type: (protocol == IceProtocol::Tcp).then(|| "passive".to_owned()),
            })
    };
    of(IceProtocol::Udp).chain(of(IceProtocol::Tcp)).collect()
}
