//! Loss repair on the way in, as two interceptors behind the transport-cc recorder, and the ear for sender reports.
//!
//! The order is a correctness property: whatever renames or drops packets before [`Slot::TwccReceiver`] hides
//! Chrome's bandwidth probes (sent as RTX padding) from transport-cc, and the estimate stays below 1 Mb/s.

mod ear;
mod gaps;
mod nack;
mod retransmission;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rtc::interceptor::{Registry, Slot};

use ear::Ear;
pub(crate) use gaps::{Arrival, Gaps};
use nack::NackGenerator;
use retransmission::RetransmissionUnwrapper;

const UNWRAP_SLOT: usize = 8_300;
const NACK_SLOT: usize = 8_600;
const EAR_SLOT: usize = 11_500;

/// What repair has counted, readable from other threads.
#[derive(Debug, Default)]
pub(crate) struct RepairCounters {
    lost: AtomicU64,
    recovered: AtomicU64,
    requested: AtomicU64,
}

impl RepairCounters {
    /// Packets that never came.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Requests for packets, repeated ones included.
    pub(crate) fn requested(&self) -> u64 {
        self.requested.load(Ordering::Relaxed)
    }

    /// More packets never came.
    pub(crate) fn count_lost(&self, more: u64) {
        self.lost.fetch_add(more, Ordering::Relaxed);
    }

    /// More packets came after they had been asked for.
    pub(crate) fn count_recovered(&self, more: u64) {
        self.recovered.fetch_add(more, Ordering::Relaxed);
    }

    /// More packets were asked for.
    pub(crate) fn count_requested(&self, more: u64) {
        self.requested.fetch_add(more, Ordering::Relaxed);
    }

    /// Packets that came after they had been asked for.
    pub(crate) fn recovered(&self) -> u64 {
        self.recovered.load(Ordering::Relaxed)
    }
}

/// Puts the two repair interceptors and the ear into a chain.
pub(crate) fn register(registry: Registry, counters: &Arc<RepairCounters>) -> Registry {
    registry
        .with(Slot::from(UNWRAP_SLOT), RetransmissionUnwrapper::default())
        .with(
            Slot::from(NACK_SLOT),
            NackGenerator::new(Arc::clone(counters)),
        )
        .with(Slot::from(EAR_SLOT), Ear::for_studio())
}

/// Puts an ear for a viewer's requests into a chain.
pub(crate) fn register_viewer(registry: Registry) -> Registry {
    registry.with(Slot::from(EAR_SLOT), Ear::for_viewer())
}

/// Implements the parts of `Interceptor` and `Protocol` that all of ours share: two queues.
macro_rules! queues {
    () => {
        type Rout = rtc::interceptor::TaggedPacket;
        type Wout = rtc::interceptor::TaggedPacket;
        type Eout = ();
        type Error = rtc::shared::error::Error;
        type Time = std::time::Instant;

        fn poll_read(&mut self) -> Option<Self::Rout> {
            self.reads.pop_front()
        }

        fn handle_write(
            &mut self,
            message: rtc::interceptor::TaggedPacket,
        ) -> Result<(), Self::Error> {
            self.writes.push_back(message);
            Ok(())
        }

        fn poll_write(&mut self) -> Option<Self::Wout> {
            self.writes.pop_front()
        }
    };
}
use queues;
