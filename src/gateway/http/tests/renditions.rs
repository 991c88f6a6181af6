use pipelines::gstreamer::StudioOptions;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::{
    publish::{self, PublishOptions},
    receiver::LocalReceiver,
};

const DESTINATIONS: &str = "/api/v1/broadcasts/show/destinations";

/// Processes have to start, on a machine that is busy.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// A gateway with a receiver of its own, and a studio.
struct Show {
    rig: Rig,
    receiver: LocalReceiver,
    _studio: JoinSet<()>,
    _stop: DropGuard,
}

impl Show {
    async fn start(destinations: impl Fn(&LocalReceiver) -> Value) -> Self {
        let rig = Rig::with(&[
            ("LOCAL_RECEIVER_ADDRESS", "127.0.0.1:0"),
            ("DESTINATION_ALLOW_PORTS", "any"),
        ])
        .await;
        let receiver = rig.gateway.local_receiver().unwrap().clone();
        let wish = json!({ "id": "show", "destinations": destinations(&receiver) });
        assert_eq!(rig.post("/api/v1/broadcasts", &wish).await.status(), 201);
        let stop = CancellationToken::new();
        let options = PublishOptions {
            studio: StudioOptions {
                width: 640,
                height: 360,
                ..StudioOptions::default()
            },
            ..PublishOptions::new(format!("{}/whip/show", rig.base))
        };
        let publishing = publish::run(options, stop.clone(), |_| {});
        let mut studio = JoinSet::new();
        studio.spawn(async move { drop(publishing.await) });
        Self {
            rig,
            receiver,
            _studio: studio,
            _stop: stop.drop_guard(),
        }
    }

    async fn wait_until(&self, what: &str, is_it: impl AsyncFn() -> bool) {
        let waiting = async {
            while !is_it().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let outcome = tokio::time::timeout(START_PATIENCE, waiting).await;
        outcome.unwrap_or_else(|_| panic!("{what}"));
    }

    /// Width and height of what came with a key.
    fn size(&self, key: &str) -> Option<(u32, u32)> {
        let streams = self.receiver.streams();
        let stream = streams
            .iter()
            .find(|stream| stream.stream_key.expose() == key)?;
        assert_eq!(stream.violations, [""; 0]);
        (stream.video.keyframes > 0).then_some((stream.video.width, stream.video.height))
    }

    async fn active(&self) -> u64 {
        let text = self.rig.get("/metrics").await.text().await.unwrap();
        let mut lines = text.lines();
        let figure = lines.find_map(|line| line.strip_prefix("castgate_renditions_active "));
        figure.unwrap().parse().unwrap()
    }

    async fn destination(&self, id: &str) -> Value {
        let broadcast: Value = self
            .rig
            .get("/api/v1/broadcasts/show")
            .await
            .json()
            .await
            .unwrap();
        let destinations = broadcast["destinations"].as_array().unwrap();
        let mut found = destinations
            .iter()
            .filter(|destination| destination["id"] == id);
        found.next().unwrap().clone()
    }
}

fn destination(receiver: &LocalReceiver, id: &str, rendition: &Value) -> Value {
    let mut destination =
        json!({ "id": id, "rtmpUrl": receiver.rtmp_url(), "streamKey": format!("key-{id}") });
    if !rendition.is_null() {
        destination["rendition"] = rendition.clone();
    }
    destination
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_share_a_rendition_and_the_last_one_ends_it() {
    let low = json!({ "preset": "low" });
    let show = Show::start(|receiver| {
        json!([
            destination(receiver, "whole", &Value::Null),
            destination(receiver, "one", &low),
            destination(receiver, "other", &low),
        ])
    })
    .await;

    show.wait_until("all are there", async || {
        let sizes = ["key-whole", "key-one", "key-other"].map(|key| show.size(key));
        sizes == [Some((640, 360)), Some((320, 180)), Some((320, 180))]
    })
    .await;
    assert_eq!(show.active().await, 1);
    show.rig.delete(&format!("{DESTINATIONS}/one")).await;
    assert_eq!(show.active().await, 1);
    show.rig.delete(&format!("{DESTINATIONS}/other")).await;

    show.wait_until("the rendition ends", async || show.active().await == 0)
        .await;
    assert_eq!(show.destination("whole").await["state"], "live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendition_larger_than_the_picture_is_refused_with_its_field() {
    let show = Show::start(|receiver| json!([destination(receiver, "whole", &Value::Null)])).await;
    show.wait_until("it is live", async || show.size("key-whole").is_some())
        .await;
    let table = [
        (json!({ "preset": "high" }), "rendition.width"),
        (
            json!({ "width": 640, "height": 362, "framesPerSecond": 30, "bitrateKbps": 500 }),
            "rendition.height",
        ),
    ];

    for (rendition, field) in table {
        let wish = destination(&show.receiver, "large", &rendition);
        let refused = problem(show.rig.post(DESTINATIONS, &wish).await).await;
        let field = Some(field.to_owned());
        assert_eq!(
            refused,
            (422, "invalid_field".to_owned(), field),
            "{rendition}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendition_that_turns_out_too_large_fails_for_good() {
    let high = json!({ "preset": "high" });
    let show = Show::start(|receiver| {
        json!([
            destination(receiver, "whole", &Value::Null),
            destination(receiver, "large", &high),
        ])
    })
    .await;

    show.wait_until("it fails", async || {
        show.destination("large").await["state"] == "failed"
    })
    .await;

    let error = show.destination("large").await["lastError"].clone();
    assert_eq!(
        (&error["code"], &error["retry"], &error["fault"]),
        (
            &json!("rendition_too_large"),
            &json!("never"),
            &json!("studio")
        )
    );
    show.wait_until("its process ends", async || show.active().await == 0)
        .await;
    assert_eq!(show.destination("whole").await["state"], "live");
}
