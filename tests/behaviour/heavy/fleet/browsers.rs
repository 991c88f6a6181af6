//! Two people open the studio page of one node and broadcast from two.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use tests::{Browser, Fleet, Nginx, eventually};

use super::TAKEOVER_LIMIT;

#[tokio::test]
#[ignore = "the studio page does not hand over yet (issue F)"]
async fn two_browsers_land_on_two_nodes() -> Result<()> {
    // Loopback's other addresses are not what the gateway takes for its own machine's pages.
    let fleet = Fleet::start_with(2, &[("FRONTEND_URL", "*")]).await?;
    let nginx = Nginx::start().await?;

    let mut browsers = Vec::new();
    let mut nodes = BTreeSet::new();
    for name in ["one", "two"] {
        let page = format!(
            "/?source=test&pattern=flash&size=480x270&golive=1&broadcast={name}#destination={}/{name}",
            nginx.url()
        );
        let browser = Browser::open(&fleet.nodes[0].gateway()?.url(&page), None).await?;
        browsers.push(browser);
        let node = eventually("the show is somewhere", TAKEOVER_LIMIT, async || {
            fleet.holder(name).await
        })
        .await?;
        let gateway = fleet.nodes[node].gateway()?;
        let live = |now: &serde_json::Value| now["destinations"][0]["state"] == "live";
        gateway
            .broadcast_until(name, "it is live", TAKEOVER_LIMIT, live)
            .await?;
        nodes.insert(node);
    }

    ensure!(nodes.len() == 2, "both are on {nodes:?}");
    for (mut browser, name) in browsers.into_iter().zip(["one", "two"]) {
        browser.command("stop").await.context(name)?;
        browser.quit().await?;
        ensure!(nginx.recordings(name)?.len() == 1, "{name}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "the studio page does not hand over yet (issue F)"]
async fn a_browser_finds_its_show_again_when_its_node_dies() -> Result<()> {
    let mut fleet = Fleet::start_with(3, &[("FRONTEND_URL", "*")]).await?;
    let nginx = Nginx::start().await?;
    let page = format!(
        "/?source=test&pattern=flash&size=480x270&golive=1&broadcast=show#destination={}/show",
        nginx.url()
    );
    let mut browser = Browser::open(&fleet.nodes[0].gateway()?.url(&page), None).await?;
    let before = eventually("the show is live", TAKEOVER_LIMIT, async || {
        let Some(node) = fleet.holder("show").await? else {
            return Ok(None);
        };
        let now = fleet.nodes[node].gateway()?.broadcast("show").await?;
        Ok((now["destinations"][0]["state"] == "live").then_some(node))
    })
    .await?;

    fleet.nodes[before].kill().await?;
    let heir = fleet.moved("show", before, TAKEOVER_LIMIT).await?;
    // The page that was open asks again by itself.
    super::showing(fleet.nodes[heir].gateway()?, "show", "studio").await?;

    let state = browser.command("state").await?;
    browser
        .command("stop")
        .await
        .with_context(|| state.to_string())?;
    browser.quit().await?;
    ensure!(nginx.recordings("show")?.len() == 2, "{state}");
    Ok(())
}
