//! How full the node is.

use prometheus_client::registry::Registry;

use super::Real;
use crate::admission::Figures;

/// What is promised and used of what there is.
pub(super) struct AdmissionMetrics {
    load: Real,
    capacity: Real,
    reserved: Real,
}

impl AdmissionMetrics {
    pub(super) fn new(own: &mut Registry) -> Self {
        let mut gauge = |name, help| {
            let gauge = Real::default();
            own.register(name, help, gauge.clone());
            gauge
        };
        Self {
            load: gauge(
                "load_ratio",
                "What is reserved or used, whichever is more, over the capacity; 1 is full",
            ),
            capacity: gauge("capacity_cores", "Cores that may be promised to broadcasts"),
            reserved: gauge("reserved_cores", "Cores that are promised to broadcasts"),
        }
    }

    pub(super) fn set(&self, figures: &Figures) {
        self.load.set(figures.load_ratio());
        self.capacity.set(figures.capacity.cores());
        self.reserved.set(figures.reserved.cores());
    }
}
