use super::*;

fn identity(subject: Option<&str>, token: Option<&StreamKey>, operator: bool) -> StudioIdentity {
    StudioIdentity {
        subject: subject.map(str::to_owned),
        resume_token: token.cloned(),
        operator,
    }
}

fn anybody() -> StudioIdentity {
    identity(None, None, false)
}

fn showing(token: &StreamKey) -> StudioIdentity {
    identity(None, Some(token), false)
}

/// Real workers, since nothing else can name a session.
struct Publishing {
    peers: peers::Peers,
    sink: peers::SinkId,
}

impl Publishing {
    async fn start() -> Self {
        let config = peers::PeersConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            announced: Vec::new(),
            workers: 1,
            sessions_limit: 100,
        };
        let peers = peers::Peers::start(config).unwrap();
        let sink = peers.attach("show", Box::new(Deaf)).await;
        Self { peers, sink }
    }

    /// An answered studio takes the candidate's place.
    async fn answers(&self, studios: &mut Studios) -> StreamKey {
        const OFFER: &str = include_str!("../../peers/fixtures/chrome-offer.sdp");
        let published = self
            .peers
            .publish(self.sink, OFFER, &media::VideoCodec::ALL)
            .await
            .unwrap();
        let resume_token = studios.issue_resume_token();
        studios.candidate = Some(Studio {
            session: published.session,
            etag: published.etag,
            source: published.source,
            events: published.events,
            subject: None,
            resume_token: resume_token.clone(),
            statistics: IngestStatistics::default(),
            protocol: "whip",
        });
        resume_token
    }
}

struct Deaf;

impl media::MediaSink for Deaf {
    fn handle_source_started(&mut self, _: SourceDescription, _: Instant) {}
    fn handle_packet(&mut self, _: media::TrackKind, _: media::RtpPacket, _: Instant) {}
    fn handle_sender_report(&mut self, _: media::TrackKind, _: media::SenderReport, _: Instant) {}
    fn handle_source_ended(&mut self, _: Instant) {}
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn poll_keyframe_request(&mut self) -> bool {
        false
    }
}

#[test]
fn whoever_comes_first_is_let_in_whatever_it_shows() {
    let studios = Studios::default();

    assert_eq!(studios.admit(&anybody()), Ok(()));
    assert_eq!(
        studios.admit(&showing(&StreamKey::new("older show"))),
        Ok(())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_connected_sessions_token_is_right() {
    let publishing = Publishing::start().await;
    let mut studios = Studios::default();
    let refused = Err(PublishError::ResumeTokenRefused);

    let first = publishing.answers(&mut studios).await;
    assert_eq!(studios.admit(&anybody()), Err(PublishError::Taken));
    assert_eq!(studios.admit(&showing(&first)), Ok(()));
    assert_eq!(studios.seat_candidate(), Some(false));
    assert_eq!(studios.admit(&showing(&StreamKey::new("wrong"))), refused);
    assert_eq!(studios.admit(&showing(&first)), Ok(()));

    let second = publishing.answers(&mut studios).await;
    assert!(first != second);
    assert_eq!(
        studios.admit(&showing(&first)),
        Ok(()),
        "the answer may be lost"
    );
    assert_eq!(studios.admit(&showing(&second)), Ok(()));

    assert_eq!(studios.seat_candidate(), Some(true));
    assert_eq!(studios.admit(&showing(&first)), refused, "it is old");
    assert_eq!(studios.admit(&showing(&second)), Ok(()));
    publishing.peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_outlive_the_studios() {
    let publishing = Publishing::start().await;
    let mut studios = Studios::default();
    let token = publishing.answers(&mut studios).await;
    studios.seat_candidate();

    studios.current = None;
    studios.forget_if_empty();

    assert_eq!(studios.admit(&anybody()), Ok(()), "the seat is free");
    assert_eq!(studios.admit(&showing(&token)), Ok(()));
    assert_eq!(
        studios.admit(&identity(None, Some(&StreamKey::new("wrong")), true)),
        Err(PublishError::ResumeTokenRefused)
    );
    publishing.peers.shutdown().await;
}

#[test]
fn the_connected_sessions_token_outlives_many_lost_answers() {
    let mut studios = Studios::default();
    let connected = studios.issue_resume_token();

    let given: Vec<StreamKey> = (0..100).map(|_| studios.issue_resume_token()).collect();

    assert_eq!(studios.resume_tokens.len(), RESUME_TOKENS_LIMIT);
    assert!(studios.is_right(&connected));
    assert!(studios.is_right(&given[99]) && studios.is_right(&given[98]));
    assert!(!studios.is_right(&given[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_is_heard_of_before_the_end_of_what_it_replaces() {
    let publishing = Publishing::start().await;
    let mut studios = Studios::default();
    publishing.answers(&mut studios).await;
    studios.seat_candidate();
    publishing.answers(&mut studios).await;
    let (connected, events) = mpsc::channel(1);
    connected.try_send(PeerEvent::Connected).unwrap();
    studios.candidate.as_mut().unwrap().events = events;
    let (ended, events) = mpsc::channel(1);
    ended
        .try_send(PeerEvent::Ended("another studio took over".to_owned()))
        .unwrap();
    studios.current.as_mut().unwrap().events = events;

    let (seat, event) = studios.next_event().await;

    assert_eq!(seat, Seat::Candidate);
    assert!(matches!(event, PeerEvent::Connected));
    publishing.peers.shutdown().await;
}

#[test]
fn every_token_is_new_and_long() {
    let (one, other) = (new_resume_token(), new_resume_token());

    assert!(one != other);
    assert_eq!(one.expose().len(), 43);
}
