//! When things were captured, as those hear of it who come later.

use rtc::rtcp::sender_report::SenderReport;

use super::{client::*, media::came, *};

#[tokio::test]
async fn who_comes_later_is_told_the_senders_clock_with_the_first_picture() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let mut studio = Client::connected(&peers, router).await;
    let order = video_order();
    peers.produce(&studio.session, order.clone()).await.unwrap();
    studio.send_rtp(&picture(1, KEYFRAME)).await;
    let report = SenderReport {
        ssrc: VIDEO_SSRC,
        ntp_time: 3_900_000_000 << 32,
        rtp_time: picture(1, KEYFRAME).timestamp,
        ..SenderReport::default()
    };
    studio.send_rtcp(vec![Box::new(report)]).await;
    studio.send_rtp(&picture(2, PICTURE)).await;
    came(&peers, &studio, 2).await;

    let mut guest = Client::connected(&peers, router).await;
    let consumer = consumer_of("view", &order, 5000, "0");
    peers.consume(&guest.session, consumer).await.unwrap();
    // By its timestamp captured a minute after the report, though it comes now.
    let late = Rtp {
        timestamp: picture(1, KEYFRAME).timestamp + 60 * 90_000,
        ..picture(3, KEYFRAME)
    };
    studio.send_rtp(&late).await;
    let got = guest.get_rtp().await.packet;
    let told: SenderReport = guest.get_rtcp().await;

    let behind = got.timestamp.wrapping_sub(told.rtp_time).cast_signed();
    assert!(
        (30 * 90_000..=60 * 90_000).contains(&behind),
        "{behind} units from the report to the picture"
    );
    peers.shutdown().await;
}
