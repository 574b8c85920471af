//! The states of a job as a drawing, with the time that it spent in each and where it is now. The same stands beside it as
//! a list. Nothing in it is a stranger's text.

use postrider_core::domain::{UnixMs, dead_letter::PastAttempt, job::JobView};

use crate::moment::length;

const WIDTH: u32 = 120;
const HEIGHT: u32 = 44;

/// One state.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) x: u32,
    pub(crate) y: u32,
    /// It is in this state now.
    pub(crate) here: bool,
    /// How long it was in it; `None` where it never was.
    pub(crate) time: Option<String>,
}

pub(crate) struct Diagram {
    pub(crate) nodes: Vec<Node>,
}

/// What a job's times are told from.
pub(crate) struct Life<'a> {
    pub(crate) made_at: UnixMs,
    pub(crate) finished_at: Option<UnixMs>,
    pub(crate) view: JobView,
    /// Oldest first.
    pub(crate) attempts: &'a [PastAttempt],
    /// For when its first attempt was planned, where that is known.
    pub(crate) planned: Option<UnixMs>,
    pub(crate) now: UnixMs,
}

impl Diagram {
    /// Lines between the states.
    pub(crate) const fn arrows(&self) -> [&'static str; 7] {
        [
            "M130 32H167",
            "M290 32H327",
            "M450 32H487",
            "M450 40C475 45 465 90 487 92",
            "M370 54V117",
            "M410 120V57",
            "M230 54V180H470V152H487",
        ]
    }

    pub(crate) fn of(life: &Life<'_>) -> Self {
        let nodes = JobView::ALL.iter().map(|&view| {
            let (x, y) = place(view);
            Node { name: view.as_str(), x, y, here: view == life.view, time: life.time_in(view) }
        });
        Self { nodes: nodes.collect() }
    }

    pub(crate) fn here(&self) -> &'static str {
        self.nodes.iter().find(|node| node.here).map_or("", |node| node.name)
    }
}

impl Node {
    pub(crate) const fn width(&self) -> u32 {
        WIDTH
    }

    pub(crate) const fn height(&self) -> u32 {
        HEIGHT
    }

    /// Where its texts stand: the middle, and the two lines.
    pub(crate) const fn texts(&self) -> (u32, u32, u32) {
        let name = if self.time.is_some() { 18 } else { 27 };
        (self.x + WIDTH / 2, self.y + name, self.y + 35)
    }
}

const fn place(view: JobView) -> (u32, u32) {
    match view {
        JobView::Scheduled => (10, 10),
        JobView::Queued => (170, 10),
        JobView::Running => (330, 10),
        JobView::Succeeded => (490, 10),
        JobView::Dead => (490, 70),
        JobView::Retrying => (330, 120),
        JobView::Cancelled => (490, 130),
    }
}

impl Life<'_> {
    fn time_in(&self, view: JobView) -> Option<String> {
        let tried = self.attempts.iter().filter(|attempt| !attempt.late);
        let waited_until = self.attempts.first().map(|first| first.started_at).or(self.finished_at).unwrap_or(self.now);
        let due = self.planned.unwrap_or(self.made_at).clamp(self.made_at, waited_until.max(self.made_at));
        let here = view == self.view;
        match view {
            JobView::Scheduled => told(due.since(self.made_at).as_millis(), here),
            JobView::Queued => told(waited_until.since(due).as_millis(), true),
            JobView::Running => {
                let (count, ms) = tried.fold((0, 0), |(n, ms), one| (n + 1, ms + u128::from(one.duration_ms)));
                match (count, here) {
                    (0, true) => Some("now".to_owned()),
                    (0, false) => None,
                    (count, true) => told(ms, true).map(|time| format!("{time} in {count}, and now")),
                    (count, false) => told(ms, true).map(|time| format!("{time} in {count}")),
                }
            }
            JobView::Retrying => self.retrying_ms().and_then(|ms| told(ms, here)),
            JobView::Succeeded | JobView::Dead | JobView::Cancelled => {
                let ended_at = self.finished_at.filter(|_| here)?;
                told(self.now.since(ended_at).as_millis(), true).map(|time| format!("since {time}"))
            }
        }
    }

    /// Between its attempts, and since the last where another is to come.
    fn retrying_ms(&self) -> Option<u128> {
        let ended_at = |attempt: &PastAttempt| UnixMs(attempt.started_at.0 + i64::from(attempt.duration_ms));
        let between = self.attempts.windows(2).map(|pair| pair[1].started_at.since(ended_at(&pair[0])).as_millis());
        let last = self.attempts.last()?;
        let since = if self.view == JobView::Retrying { self.now.since(ended_at(last)).as_millis() } else { 0 };
        Some(between.sum::<u128>() + since)
    }
}

/// Nothing is told of no time, unless it was there.
fn told(ms: u128, was_there: bool) -> Option<String> {
    (ms > 0 || was_there).then(|| length(u64::try_from(ms).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(n: u32, started_at: i64, duration_ms: u32) -> PastAttempt {
        PastAttempt {
            n,
            started_at: UnixMs(started_at),
            duration_ms,
            outcome: "timeout".to_owned(),
            status_code: None,
            error: None,
            response_body: None,
            address: None,
            worker: None,
            late: false,
        }
    }

    #[test]
    fn each_state_has_its_time() {
        let attempts = [attempt(1, 3_000, 1_000), attempt(2, 10_000, 2_000)];
        let (planned, finished_at, now) = (Some(UnixMs(2_000)), Some(UnixMs(12_000)), UnixMs(132_000));
        let made_at = UnixMs(0);
        let life = Life { made_at, finished_at, view: JobView::Dead, attempts: &attempts, planned, now };
        let times: Vec<_> = JobView::ALL.iter().map(|view| life.time_in(*view)).collect();
        let expected = [Some("2 s"), Some("1 s"), Some("3 s in 2"), Some("6 s"), None, Some("since 2 min"), None];
        assert_eq!(times.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        let (planned, now) = (Some(UnixMs(60_000)), UnixMs(5_000));
        let life = Life { made_at, finished_at: None, view: JobView::Scheduled, attempts: &[], planned, now };
        assert_eq!(life.time_in(JobView::Scheduled).as_deref(), Some("5 s"));
        assert_eq!(Diagram::of(&life).here(), "scheduled");
    }
}
