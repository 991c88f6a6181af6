//! How others wake a worker for one of its sinks: coalesced, never lost, and without a queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use tokio::sync::Notify;

/// A worker's bell. It rings as long as nobody has answered.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    notify: Notify,
}

impl Bell {
    /// Waits until somebody rings. Cancel-safe; a ring while nobody waits ends the next wait at once.
    pub(super) async fn heard(&self) {
        self.notify.notified().await;
    }

    /// Whether somebody rang since this was last asked.
    pub(super) fn take(&self) -> bool {
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::SeqCst)
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }
}

/// One sink's button of the bell.
#[derive(Debug)]
pub(super) struct WakeButton {
    bell: Arc<Bell>,
    pressed: AtomicBool,
}

impl WakeButton {
    pub(super) fn new(bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self {
            bell: Arc::clone(bell),
            pressed: AtomicBool::new(false),
        })
    }

    /// What the sink is given.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Whether it was pressed since this was last asked. To be asked after the bell and before the sink is looked at, so
    /// that what is pressed meanwhile rings again.
    pub(super) fn take(&self) -> bool {
        self.pressed.swap(false, Ordering::SeqCst)
    }
}

impl Wake for WakeButton {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.pressed.swap(true, Ordering::SeqCst) {
            self.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wakes_are_one_ring() {
        let bell = Arc::new(Bell::default());
        let button = WakeButton::new(&bell);
        let waker = button.waker();

        for _ in 0..100 {
            waker.wake_by_ref();
        }

        assert!(bell.take() && button.take());
        assert!(!bell.take() && !button.take());
    }

    #[test]
    fn a_wake_while_the_sink_is_looked_at_rings_again() {
        let bell = Arc::new(Bell::default());
        let button = WakeButton::new(&bell);
        button.waker().wake();
        assert!(bell.take() && button.take());

        button.waker().wake();

        assert!(bell.take() && button.take());
    }

    #[tokio::test]
    async fn a_ring_before_the_wait_is_heard() {
        let bell = Arc::new(Bell::default());
        WakeButton::new(&bell).waker().wake();

        bell.heard().await;

        assert!(bell.take());
    }
}
