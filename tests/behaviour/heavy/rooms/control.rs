//! The pages prove themselves: with the server that they were made for, all is as it is to be with the gateway.

use anyhow::Result;
use serde_json::json;
use tests::{COLOURS, Mediasoup, Rooms};

use super::{CAMEL, HERMES, SOME_PICTURES, belongings};

#[tokio::test]
async fn two_pages_see_and_hear_each_other_by_mediasoup_itself() -> Result<()> {
    let server = Mediasoup::start().await?;
    let mut rooms = Rooms::open(&server.url(), None).await?;
    let people = [("host", COLOURS[0]), ("ann", COLOURS[1])];
    for (name, colour) in people {
        rooms.page(name, "newest").await?;
        let belongings = belongings(CAMEL, name, colour)?;
        rooms.join(name, CAMEL.name, "show", belongings).await?;
        rooms.publish(name, json!({})).await?;
    }

    for (name, other) in [("host", COLOURS[1]), ("ann", COLOURS[0])] {
        rooms.watches(name, &[other], SOME_PICTURES).await?;
        rooms.hears(name, 1).await?;
        rooms.check_untroubled(name).await?;
    }
    rooms.quit().await
}

#[tokio::test]
async fn one_page_sees_and_hears_another_by_rest_and_mediasoup_itself() -> Result<()> {
    let server = Mediasoup::start().await?;
    let mut rooms = Rooms::open(&server.url(), None).await?;
    for (name, colour) in [("host", COLOURS[0]), ("ann", COLOURS[1])] {
        rooms.page(name, "old").await?;
        let belongings = belongings(HERMES, name, colour)?;
        rooms.join(name, HERMES.name, "show", belongings).await?;
    }
    let order = json!({ "order": ["audio", "video"] });

    let sent = rooms.publish("ann", order).await?;
    let tracks = json!({ "tracks": [sent["video"], sent["audio"]] });
    rooms.tell("host", "subscribe", tracks).await?;

    rooms.watches("host", &[COLOURS[1]], SOME_PICTURES).await?;
    rooms.hears("host", 1).await?;
    rooms.check_untroubled("host").await?;
    rooms.quit().await
}
