//! apalis' `Backend` over our queue. Its I/O is elsewhere: the claimer feeds it, and here is only received. It never
//! answers `Err`, which would end the worker.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    error::BoxDynError,
    task::Task,
    worker::context::WorkerContext,
};
use postrider_core::{queue::Next, store::Work};
use tokio::sync::mpsc;
use tower::{Layer, Service};

use crate::{
    executors::Executors,
    leases::Slot,
    outcomes::{Execution, Recorder},
};

/// A claimed job with its work: in the channel, then on its way through apalis' services.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) work: Arc<Work>,
    /// When the work was read from SQL.
    pub(crate) read_at: Instant,
    /// Taken by the layer, which gives it back with the verdict.
    pub(crate) slot: Option<Slot>,
}

/// The receiving end of the claimer's channel. Clones share it, so that a restarted worker goes on where the one
/// before ended.
#[derive(Clone, Debug)]
pub(crate) struct Assignments {
    receiver: Arc<Mutex<mpsc::Receiver<Assignment>>>,
    recorder: Recorder,
    executors: Executors,
}

impl Assignments {
    pub(crate) fn new(receiver: mpsc::Receiver<Assignment>, recorder: Recorder, executors: Executors) -> Self {
        Self { receiver: Arc::new(Mutex::new(receiver)), recorder, executors }
    }

    /// Gives back what was claimed and not started.
    pub(crate) fn release(&self) {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.close();
        while let Ok(assignment) = receiver.try_recv() {
            if let Some(slot) = assignment.slot {
                self.recorder.settler.put_back(slot, Next::Release);
            }
        }
    }
}

impl Backend for Assignments {
    type Task = Task<Assignment>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Assignment>, Infallible>>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        match receiver.poll_recv(cx) {
            Poll::Ready(Some(assignment)) => Poll::Ready(Some(Ok(Task::new(assignment)))),
            // The claimer ends before the worker does. An end here would leave apalis waiting for a stop that it
            // does not see; the stop itself wakes it.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The last verdicts are waited for by whoever runs the settler.
    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.release();
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Assignments {
    type Args = Assignment;
    type Id = ();
    type Kind = Ephemeral;
    type Config = ();
    type Layer = RecordLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> RecordLayer {
        RecordLayer { recorder: self.recorder.clone(), executors: self.executors.clone() }
    }
}

/// Sees every execution's end, panics included, and has it recorded.
#[derive(Clone, Debug)]
pub(crate) struct RecordLayer {
    recorder: Recorder,
    executors: Executors,
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record { inner, layer: self.clone() }
    }
}

/// See [`RecordLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Record<S> {
    inner: S,
    layer: RecordLayer,
}

impl<S> Service<Task<Assignment>> for Record<S>
where
    S: Service<Task<Assignment>, Response = Execution, Error = BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut task: Task<Assignment>) -> Self::Future {
        let work = Arc::clone(&task.args.work);
        let slot = task.args.slot.take();
        let running = self.inner.call(task);
        let RecordLayer { recorder, executors } = self.layer.clone();
        Box::pin(async move {
            let Some(slot) = slot else { return Ok(()) };
            let execution = match running.await {
                Ok(execution) => execution,
                Err(error) => executors.broke(&work, &error).await,
            };
            recorder.end(slot, &work.job, execution).await;
            Ok(())
        })
    }
}
