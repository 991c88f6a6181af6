//! A node dies in the middle of a show, and another goes on.

use anyhow::{Context, Result, ensure};
use pipelines::rtmp::receiver::Ending;
use serde_json::json;
use tests::{Fleet, Nginx, Recording, Shown};

use super::{
    FAILOVER_GAP_LIMIT, LIVE_LIMIT, SHOW_FRAMES, TAKEOVER_LIMIT, Witness, destination, showing,
    studio, tell_gaps, watch,
};

#[tokio::test]
async fn a_killed_nodes_show_goes_on_elsewhere_with_the_slate_and_then_with_the_studio()
-> Result<()> {
    let mut fleet = Fleet::start(3).await?;
    let (nginx, witness) = (Nginx::start().await?, Witness::start().await?);
    let destinations = json!([
        destination("one", nginx.address(), "one"),
        destination("two", witness.address(), "two"),
    ]);
    fleet.nodes[0]
        .gateway()?
        .create("show", destinations)
        .await?;
    let door = fleet.door().await?;
    let first = studio(&door.whip("show")).await?;
    let before = fleet.nodes[0].gateway()?;
    for id in ["one", "two"] {
        before
            .destination_until("show", id, "live", LIVE_LIMIT)
            .await?;
    }
    watch(before, "show", SHOW_FRAMES).await?;

    fleet.nodes[0].kill().await?;
    let heir = fleet.moved("show", 0, TAKEOVER_LIMIT).await?;
    let after = fleet.nodes[heir].gateway()?;
    showing(after, "show", "slate").await?;
    for id in ["one", "two"] {
        after
            .destination_until("show", id, "live", TAKEOVER_LIMIT)
            .await?;
    }
    watch(after, "show", SHOW_FRAMES).await?;
    first.vanish().await?;
    let second = studio(&door.whip("show")).await?;
    showing(after, "show", "studio").await?;
    watch(after, "show", SHOW_FRAMES).await?;
    let one = after
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    after.delete("/api/v1/broadcasts/show").await?;
    second.vanish().await?;

    ensure!(one["reconnects"] == 0, "{one}");
    check_recordings(&nginx).await?;
    witness.check_one_at_a_time("two")?;
    let gap = tell_gaps("failover after kill -9", &witness, "two")?;
    ensure!(gap <= FAILOVER_GAP_LIMIT, "no picture for {gap:?}");
    let endings: Vec<_> = witness
        .shows("two")
        .iter()
        .map(|show| show.ending)
        .collect();
    ensure!(
        endings == [Some(Ending::Cut), Some(Ending::Deleted)],
        "{endings:?}"
    );
    ensure!(nginx.collisions()? == 0, "two published at a time");
    Ok(())
}

/// What the platform saw: the studio until the node died, then the slate and the studio again as one stream.
async fn check_recordings(nginx: &Nginx) -> Result<()> {
    let recordings = nginx.finished_recordings("one").await?;
    let [before, after] = recordings.as_slice() else {
        anyhow::bail!("{recordings:?}");
    };
    let (before, after) = (
        Recording::analyse(before).await?,
        Recording::analyse(after).await?,
    );

    let shown = |recording: &Recording| -> Vec<Shown> {
        recording.spans().iter().map(|span| span.shown).collect()
    };
    ensure!(shown(&before) == [Shown::Studio], "{:?}", before.spans());
    ensure!(
        shown(&after) == [Shown::Slate, Shown::Studio],
        "{:?}",
        after.spans()
    );
    let first = after.video.frames.first().context("no picture")?;
    ensure!(first.keyframe, "{first:?}");
    ensure!(after.decode_errors.is_empty(), "{:#?}", after.decode_errors);
    let size = |recording: &Recording| {
        let frame = recording.video.frames.last();
        frame.map(|frame| (frame.width, frame.height))
    };
    ensure!(size(&before) == size(&after), "{:?}", size(&after));
    let tags = after.tags.as_ref().context("tags")?;
    tags.check_order()?;
    tags.check_sound_stays()
}
