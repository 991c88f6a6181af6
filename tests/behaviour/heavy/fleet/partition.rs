//! A node that only seemed dead does not publish beside the one that took its show over.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use pipelines::rtmp::receiver::Ending;
use tests::{Fleet, TcpCondition};

use super::{Witness, begin, end_with_a_studio, lets_go, taken_over, watch};

#[tokio::test]
#[ignore = "not seen to pass yet (issue F)"]
async fn a_node_that_stood_still_leaves_its_show_to_the_one_that_took_it_over() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    let witness = Witness::start().await?;
    let (door, first) = begin(&fleet, &witness).await?;
    let still = &fleet.nodes[0].gateway()?.process;

    still.signal(Signal::SIGSTOP)?;
    let heir = taken_over(&fleet).await;
    still.signal(Signal::SIGCONT)?;
    let heir = heir?;
    lets_go(fleet.nodes[0].gateway()?).await?;
    // Time to do what it must not.
    watch(fleet.nodes[heir].gateway()?, "show", super::SHOW_FRAMES).await?;
    first.vanish().await?;

    let what = "failover after SIGSTOP";
    end_with_a_studio(&fleet, heir, &door, &witness, what).await
}

#[tokio::test]
async fn a_node_that_loses_the_registry_stops_before_another_begins() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    let witness = Witness::start().await?;
    let (door, first) = begin(&fleet, &witness).await?;

    // Its studio and its platform are as near as ever.
    fleet.nodes[0].set_line(TcpCondition::HalfOpen);
    let heir = taken_over(&fleet).await?;
    fleet.nodes[0].set_line(TcpCondition::Clear);
    lets_go(fleet.nodes[0].gateway()?).await?;
    watch(fleet.nodes[heir].gateway()?, "show", super::SHOW_FRAMES).await?;
    first.vanish().await?;

    let what = "failover of a node without the registry";
    end_with_a_studio(&fleet, heir, &door, &witness, what).await?;
    // Nobody said that the show was over.
    let endings: Vec<_> = witness
        .shows("one")
        .iter()
        .map(|show| show.ending)
        .collect();
    ensure!(
        endings == [Some(Ending::Cut), Some(Ending::Deleted)],
        "{endings:?}"
    );
    Ok(())
}
