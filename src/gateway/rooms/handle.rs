//! The way to a room's task: jobs go in, one after the other.

use std::{fmt, sync::Arc, time::Duration};

use broadcast::BroadcastId;
use futures_util::future::BoxFuture;
use rooms::{RoomError, RoomFigures};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::task::RoomTask;

/// How many jobs may wait for one room; more callers wait in line, within [`CALL_TIMEOUT`]. A room of 50 in which everybody
/// does something at once has 50.
pub(super) const JOBS_LIMIT: usize = 64;

/// How long a call may take. Clients give up after 10 s.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(8);

/// Something to do with a room.
pub(super) type Job = Box<dyn for<'a> FnOnce(&'a mut RoomTask) -> BoxFuture<'a, ()> + Send>;

/// A running room. Cloning shares it.
#[derive(Clone)]
pub(super) struct RoomHandle {
    pub(super) id: Arc<BroadcastId>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) figures: watch::Receiver<RoomFigures>,
}

impl fmt::Debug for RoomHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RoomHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl RoomHandle {
    /// Whether its task has not ended.
    pub(super) fn is_alive(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Has the room's task do something. [`RoomError::NoSuchRoom`] when the room has ended.
    pub(super) async fn ask<T, J>(&self, job: J) -> Result<T, RoomError>
    where
        T: Send + 'static,
        J: for<'a> FnOnce(&'a mut RoomTask) -> BoxFuture<'a, Result<T, RoomError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |task: &mut RoomTask| -> BoxFuture<'_, ()> {
            Box::pin(async move {
                // Whoever asked may have gone away.
                drop(reply.send(job(task).await));
            })
        });
        let asking = async {
            let sent = self.jobs.send(job).await;
            sent.map_err(|_| RoomError::NoSuchRoom)?;
            answer.await.map_err(|_| RoomError::NoSuchRoom)?
        };
        timeout(CALL_TIMEOUT, asking)
            .await
            .map_err(|_| RoomError::Timeout)?
    }

    /// Has the room's task do something soon, without waiting. `false`: there is no room in its queue, or it has ended.
    pub(super) fn hint<J>(&self, job: J) -> bool
    where
        J: for<'a> FnOnce(&'a mut RoomTask) -> BoxFuture<'a, ()> + Send + 'static,
    {
        self.jobs.try_send(Box::new(job)).is_ok()
    }
}
