//! Spans of what happens to work, for whoever exports them. Owns which work is traced, and that nobody ever waits for the
//! exporter: where spans are not taken they are dropped and counted. Knows no protocol.

use std::{sync::Arc, time::SystemTime};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::sync::mpsc;

use crate::domain::trace::{SpanId, TraceContext, TraceId};

/// Spans that wait in memory for the exporter: some megabytes.
const WAITING_MAX: usize = 4_096;

/// Something that has happened to traced work.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its trace and its own id.
    pub context: TraceContext,
    /// `None` where the trace began with it.
    pub parent: Option<SpanId>,
    pub began: SystemTime,
    pub ended: SystemTime,
    pub told: Told,
}

/// What is told of a span once it has ended. No payload, no header, no URL: those may hold secrets.
#[derive(Clone, Debug)]
pub struct Told {
    pub name: &'static str,
    pub side: Side,
    /// Why it failed, in words; `None` where it did not.
    pub error: Option<String>,
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// Which end of a call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Number(i64),
}

/// Makes spans, or, without an exporter, only passes on what callers say of their own traces. Clones share the exporter.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Recording>>);

#[derive(Debug)]
struct Recording {
    spans: mpsc::Sender<Span>,
    /// Of the traces that begin here, the part that is recorded.
    ratio: f64,
    dropped: Counter,
}

/// One step of traced work while it goes on.
#[derive(Debug)]
pub struct Step {
    context: Option<TraceContext>,
    span: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    recording: Arc<Recording>,
    context: TraceContext,
    parent: Option<SpanId>,
    began: SystemTime,
}

impl Tracer {
    /// A tracer whose spans come out of the receiver, and the count of those that do not.
    #[must_use]
    pub fn recording(ratio: f64, registry: &mut Registry) -> (Self, mpsc::Receiver<Span>, Counter) {
        let (spans, receiver) = mpsc::channel(WAITING_MAX);
        let dropped = Counter::default();
        let words = "Spans that the collector was not given, since it did not take them in time";
        registry.register("postrider_trace_spans_dropped", words, dropped.clone());
        (Self(Some(Arc::new(Recording { spans, ratio, dropped: dropped.clone() }))), receiver, dropped)
    }

    /// Work is handed in by a caller that gave this context, or none. What it is carried under afterwards is the step's
    /// [`Step::context`]: the caller's own as long as nobody records here.
    #[must_use]
    pub fn hand_in(&self, given: Option<TraceContext>) -> Step {
        let Some(recording) = &self.0 else { return Step { context: given, span: None } };
        match given {
            None if rand::random::<f64>() < recording.ratio => {
                let begun = TraceContext::begin(TraceId::from_random(rand::random()), new_span());
                Step::begin(recording, begun, None)
            }
            None => Step { context: None, span: None },
            Some(given) => Step::within(recording, given),
        }
    }

    /// An attempt of work that was handed in under this context, or none. The receiver is told the step's.
    #[must_use]
    pub fn attempt(&self, carried: Option<&TraceContext>) -> Step {
        match (&self.0, carried.cloned()) {
            (Some(recording), Some(carried)) => Step::within(recording, carried),
            (_, carried) => Step { context: carried, span: None },
        }
    }
}

impl Step {
    /// A child of the context's span, where its trace is recorded; else the context goes on unchanged, as by a proxy that
    /// takes no part.
    fn within(recording: &Arc<Recording>, context: TraceContext) -> Self {
        if !context.is_sampled() {
            return Self { context: Some(context), span: None };
        }
        Self::begin(recording, context.with_span(new_span()), Some(context.span))
    }

    fn begin(recording: &Arc<Recording>, context: TraceContext, parent: Option<SpanId>) -> Self {
        let (recording, began) = (Arc::clone(recording), SystemTime::now());
        let span = Begun { recording, context: context.clone(), parent, began };
        Self { context: Some(context), span: Some(span) }
    }

    /// What the next steps happen in.
    #[must_use]
    pub const fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Ends the step. `tell` is asked where it is recorded.
    pub fn end(self, tell: impl FnOnce() -> Told) {
        let Some(Begun { recording, context, parent, began }) = self.span else { return };
        let span = Span { context, parent, began, ended: SystemTime::now(), told: tell() };
        if recording.spans.try_send(span).is_err() {
            recording.dropped.inc();
        }
    }
}

fn new_span() -> SpanId {
    SpanId::from_random(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn told() -> Told {
        Told { name: "test", side: Side::Server, error: None, attributes: Vec::new() }
    }

    #[test]
    fn without_an_exporter_a_context_goes_on_unchanged() {
        let given: TraceContext = format!("{PARENT} a=1").parse().unwrap();
        let step = Tracer::default().hand_in(Some(given.clone()));
        assert_eq!(step.context(), Some(&given));
        assert_eq!(Tracer::default().attempt(step.context()).context(), Some(&given));
        assert_eq!(Tracer::default().hand_in(None).context(), None);
    }

    #[test]
    fn attempts_are_children_of_the_handing_in_and_that_of_the_caller_s_span() {
        let (tracer, mut spans, _) = Tracer::recording(1.0, &mut Registry::default());
        let given: TraceContext = format!("{PARENT} a=1").parse().unwrap();
        let step = tracer.hand_in(Some(given.clone()));
        let carried = step.context().cloned().unwrap();
        step.end(told);
        tracer.attempt(Some(&carried)).end(told);
        let [first, second] = [spans.try_recv().unwrap(), spans.try_recv().unwrap()];
        assert_eq!((first.context.trace, first.parent), (given.trace, Some(given.span)));
        assert_eq!((second.context.trace, second.parent), (given.trace, Some(first.context.span)));
        assert_eq!(second.context.state_header(), Some("a=1"));
    }

    #[test]
    fn a_trace_that_its_caller_does_not_record_is_not_recorded_here() {
        let (tracer, mut spans, _) = Tracer::recording(1.0, &mut Registry::default());
        let given: TraceContext = PARENT.replace("-01", "-00").parse().unwrap();
        let step = tracer.hand_in(Some(given.clone()));
        assert_eq!(step.context(), Some(&given));
        step.end(told);
        spans.try_recv().unwrap_err();
    }

    #[test]
    fn of_the_traces_that_begin_here_a_part_is_recorded() {
        for (ratio, least, most) in [(0.0, 0, 0), (1.0, 1_000, 1_000), (0.5, 300, 700)] {
            let (tracer, _spans, _) = Tracer::recording(ratio, &mut Registry::default());
            let recorded = (0..1_000).filter(|_| tracer.hand_in(None).context().is_some()).count();
            assert!((least..=most).contains(&recorded), "{ratio}: {recorded}");
        }
    }

    #[test]
    fn spans_that_nobody_takes_are_dropped_and_counted() {
        let (tracer, _spans, dropped) = Tracer::recording(1.0, &mut Registry::default());
        for _ in 0..WAITING_MAX + 10 {
            tracer.hand_in(None).end(told);
        }
        assert_eq!(dropped.get(), 10);
    }
}
