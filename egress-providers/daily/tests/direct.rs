//! Studios that go to Daily themselves, before and after there are destinations.

use async_trait::async_trait;

use super::*;
use crate::hosted::{
    Contribute, ContributionOrder, Hosted, HostedParts, MemoryHandles, Unobserved,
};

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Contribute for Nobody {
    async fn carry(&self, _order: ContributionOrder) -> Result<(), ProviderError> {
        panic!("the studio goes there itself");
    }
}

async fn hosted(contribution: DailyContribution) -> (Hosted, FakeDaily) {
    let fake = FakeDaily::start(&FakeSettings::default(), DailyQuirks::default())
        .await
        .unwrap();
    let mut settings = settings_for(&fake);
    settings.contribution = contribution;
    let hosted = Hosted::new(HostedParts {
        api: Arc::new(Daily::new(settings).unwrap()),
        contribute: Arc::new(Nobody),
        owner: spec().owner,
        store: Arc::new(MemoryHandles::default()),
        observer: Arc::new(Unobserved),
    });
    (hosted, fake)
}

#[tokio::test]
async fn a_studio_is_invited_before_there_is_a_destination_and_the_reaper_lets_it_in() {
    let (hosted, fake) = hosted(DailyContribution::Direct).await;
    let broadcast = spec().broadcast;

    let invitation = hosted.invite(&broadcast).await.unwrap();
    let again = hosted.invite(&broadcast).await.unwrap();
    hosted.reap().await.unwrap();

    assert_eq!(invitation.handle, again.handle);
    let token = &invitation.join.token;
    assert!(fake.opens(token.expose(), ROOM));
    assert_eq!(fake.rooms().len(), 1);
    assert_eq!(
        room_of(&invitation.handle).map(|room| room.name),
        Some(ROOM.to_owned())
    );
}

#[tokio::test]
async fn a_room_is_gone_when_its_studio_is_not_wanted_any_more() {
    let (hosted, fake) = hosted(DailyContribution::Direct).await;
    hosted.invite(&spec().broadcast).await.unwrap();

    hosted.uninvite(&spec().broadcast).await;
    hosted.uninvite(&spec().broadcast).await;

    assert_eq!(fake.rooms(), []);
}

#[tokio::test]
async fn nobody_is_invited_where_the_gateway_brings_the_show() {
    let (hosted, fake) = hosted(DailyContribution::Sidecar).await;

    let refused = hosted.invite(&spec().broadcast).await;

    assert!(matches!(refused, Err(ProviderError::Invalid(_))));
    assert_eq!(fake.rooms(), []);
}
