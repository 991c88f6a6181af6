//! What this node tells of itself.

use fleet::{Cores, NodeId, NodeReport};

use crate::admission::{Admission, Cost};

/// What stays the same for the life of the process.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) id: NodeId,
    /// Made up for this process: tells two of one name apart.
    pub(crate) instance: String,
    /// What browsers and other nodes call it, without a slash at the end.
    pub(crate) url: String,
    /// The address in its ICE candidates.
    pub(crate) ip: String,
    pub(crate) region: Option<String>,
    pub(crate) methods: Vec<String>,
}

impl Profile {
    /// The whole report of this moment.
    pub(crate) fn report(
        &self,
        admission: &Admission,
        broadcasts: usize,
        draining: bool,
    ) -> NodeReport {
        let figures = admission.figures();
        NodeReport {
            id: self.id.clone(),
            instance: self.instance.clone(),
            url: self.url.clone(),
            ip: self.ip.clone(),
            region: self.region.clone(),
            methods: self.methods.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            draining,
            capacity: cores(figures.capacity),
            taken: cores(figures.taken),
            broadcasts: u32::try_from(broadcasts).unwrap_or(u32::MAX),
        }
    }
}

/// The same amount in the fleet's words.
pub(crate) const fn cores(cost: Cost) -> Cores {
    Cores::of_millionths(cost.millionths())
}
