//! What becomes of a show whose way in was good and is not taken any more.

use broadcast::Reason;

use super::stage::{Stage, lost, next, reason};
use crate::{Hot, hosted::ProviderError};

impl Stage {
    /// Interrupts the way there; the attempts that follow fail like this before others flow.
    fn interrupt(&self, failures: &[ProviderError]) {
        let mut waiting = self.courier.failures.lock().unwrap();
        waiting.extend(failures.iter().cloned());
        drop(waiting);
        let cut = self.courier.cut.lock().unwrap().take();
        cut.unwrap().cancel();
    }

    async fn attempted(&self, attempts: u32) {
        self.until(|stage| *stage.courier.attempts.lock().unwrap() == attempts)
            .await;
    }

    fn hosts(&self) -> Vec<String> {
        self.courier.hosts.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn who_is_refused_after_having_been_let_in_comes_by_a_new_way_and_keeps_it() {
    let stage = Stage::new(Hot::Yes);
    let open = stage.live(&["a"]).await;

    stage.interrupt(&[ProviderError::Auth]);
    stage.attempted(3).await;
    stage.interrupt(&[]);
    stage.attempted(4).await;

    assert_eq!(stage.api.count("renew"), 1);
    let (old, new) = ("ingest.example", "again.example");
    assert_eq!(stage.hosts(), [old, old, new, new]);
    assert_eq!(
        (stage.api.count("prepare"), stage.api.count("stop")),
        (1, 0)
    );
    drop(open);
}

#[tokio::test]
async fn a_new_way_is_asked_for_until_there_is_one() {
    let stage = Stage::new(Hot::Yes);
    let open = stage.live(&["a"]).await;
    let busy = ProviderError::RateLimited { retry_after: None };
    let refusals = [busy.clone(), busy].into();
    stage.api.memory().refusals.insert("renew", refusals);

    stage.interrupt(&[ProviderError::Auth]);
    stage.attempted(3).await;

    assert_eq!(stage.api.count("renew"), 3);
    assert_eq!(stage.hosts().last().unwrap(), "again.example");
    drop(open);
}

#[tokio::test]
async fn a_new_way_that_is_refused_too_ends_the_session() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;

    stage.interrupt(&[ProviderError::Auth, ProviderError::Auth]);

    assert_eq!(
        reason(&next(&mut open[0]).await),
        Some(Reason::ProviderAuth)
    );
    assert_eq!(stage.api.count("renew"), 1);
    assert_eq!(*stage.courier.attempts.lock().unwrap(), 3);
}

#[tokio::test]
async fn credentials_that_make_no_new_way_end_the_session() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let error = ProviderError::Auth;
    stage.api.memory().out_of_order.insert("renew", error);

    stage.interrupt(&[ProviderError::Auth]);

    assert_eq!(
        reason(&next(&mut open[0]).await),
        Some(Reason::ProviderAuth)
    );
    assert_eq!(*stage.courier.attempts.lock().unwrap(), 2);
}

#[tokio::test]
async fn who_was_never_let_in_is_not_tried_again() {
    let stage = Stage::new(Hot::Yes);
    let failures = [ProviderError::Auth, lost()];
    stage.courier.failures.lock().unwrap().extend(failures);

    let mut open = stage.open("a").await;

    next(&mut open).await;
    assert_eq!(reason(&next(&mut open).await), Some(Reason::ProviderAuth));
    assert_eq!(stage.api.count("renew"), 0);
    assert_eq!(*stage.courier.attempts.lock().unwrap(), 1);
}
