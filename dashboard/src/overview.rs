//! The state of one tenant in one look. Trouble is the first thing seen.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::{UnixMs, endpoint::EndpointState},
    store::{DeadLetterFilter, Page, Tally},
};

use crate::{
    Dashboard,
    chart::Chart,
    failures::FailureLine,
    moment::{Moment, length},
    page::{Frame, Refusal, Section, Shown, show},
    visit::Visit,
};

/// Bars of the chart.
const BARS: u16 = 60;
/// What a page shows of each list.
const ROWS: usize = 8;
/// Groups among which the largest are shown.
const ROWS_OF_FAILURES: u32 = 50;
/// Lanes that are asked for, of all tenants.
const LANES_MAX: usize = 250;
/// A job that has waited for so long while it was due is trouble.
const WAIT_MAX_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// The ranges of the chart: name, and minutes of one bar.
const RANGES: [(&str, u32); 4] = [("1h", 1), ("6h", 6), ("24h", 24), ("7d", 168)];

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/", get(overview))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    troubles: Vec<Trouble>,
    ranges: Vec<(&'static str, bool)>,
    figures: Tally,
    success: String,
    /// Name of the part, how long so many attempts took, and how long they had waited.
    parts: [(&'static str, String, String); 3],
    chart: Chart,
    queue: Option<QueueNow>,
    failures: Vec<FailureLine>,
}

/// What is wrong now, and where to go for it.
struct Trouble {
    text: String,
    path: String,
}

struct QueueNow {
    waiting: u64,
    in_flight: u64,
    oldest: Option<String>,
    late: bool,
    lanes: Vec<LaneLine>,
    workers: Vec<WorkerLine>,
}

struct LaneLine {
    name: String,
    waiting: u64,
    in_flight: u64,
    oldest: Option<String>,
    state: &'static str,
}

struct WorkerLine {
    id: String,
    in_flight: u64,
    seen: Moment,
}

async fn overview(visit: Visit) -> Shown {
    let (scope, now) = (visit.scope(), visit.now);
    let asked = visit.query.text("range").unwrap_or(RANGES[0].0);
    let (range, minutes) = RANGES.into_iter().find(|(name, _)| *name == asked).unwrap_or(RANGES[0]);
    let tallies = scope.tallies(minutes, BARS, now).await?;
    let figures = tallies.iter().fold(Tally::default(), |sum, (_, tally)| sum.plus(tally));
    let queue = queue_now(&visit).await;
    let failures = scope.unresolved_failures(None, ROWS_OF_FAILURES).await?;
    let mut recent: Vec<_> = failures.into_iter().filter(|group| now.0 - group.last_seen_at.0 < HOUR_MS).collect();
    recent.sort_by_key(|group| std::cmp::Reverse(group.count));
    recent.truncate(ROWS);
    let part = |name, part| {
        let words = |ms: Option<u32>| ms.map_or_else(|| "–".to_owned(), |ms| length(ms.into()));
        (name, words(figures.duration_within_ms(part)), words(figures.wait_within_ms(part)))
    };
    let page = OverviewPage {
        frame: Frame::of(&visit, Section::Overview, "Overview"),
        troubles: troubles(&visit, queue.as_ref()).await?,
        ranges: RANGES.map(|(name, _)| (name, name == range)).into(),
        success: figures.success_rate().map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
        parts: [part("p50", 0.5), part("p95", 0.95), part("p99", 0.99)],
        chart: Chart::of(tallies),
        figures,
        queue,
        failures: FailureLine::of(&visit, recent).await?,
    };
    show(&page)
}

/// `None` while the queue does not answer.
async fn queue_now(visit: &Visit) -> Option<QueueNow> {
    let view = match visit.dashboard.queue.view(LANES_MAX).await {
        Ok(view) => view,
        Err(error) => {
            tracing::warn!(%error, "the overview is shown without the queue");
            return None;
        }
    };
    let now = visit.now;
    let mut lanes: Vec<_> = view.lanes.into_iter().filter(|lane| lane.key.tenant == visit.tenant.id).collect();
    lanes.sort_by_key(|lane| lane.oldest.unwrap_or(UnixMs(i64::MAX)));
    let age = |oldest: Option<UnixMs>| oldest.map(|at| length(u64::try_from(now.0 - at.0).unwrap_or(0)));
    let oldest = lanes.iter().filter(|lane| !lane.paused).find_map(|lane| lane.oldest);
    Some(QueueNow {
        waiting: lanes.iter().map(|lane| lane.ready + lane.delayed).sum(),
        in_flight: lanes.iter().map(|lane| lane.in_flight).sum(),
        oldest: age(oldest),
        late: oldest.is_some_and(|at| now.0 - at.0 > WAIT_MAX_MS),
        lanes: lanes
            .iter()
            .take(ROWS)
            .map(|lane| LaneLine {
                name: lane.key.name.to_string(),
                waiting: lane.ready + lane.delayed,
                in_flight: lane.in_flight,
                oldest: age(lane.oldest),
                state: if lane.paused { "paused" } else { "open" },
            })
            .collect(),
        workers: view
            .workers
            .into_iter()
            .map(|worker| WorkerLine {
                id: worker.id.to_string(),
                in_flight: worker.in_flight,
                seen: Moment::of(worker.last_seen, now),
            })
            .collect(),
    })
}

async fn troubles(visit: &Visit, queue: Option<&QueueNow>) -> Result<Vec<Trouble>, Refusal> {
    let base = crate::page::base(&visit.tenant);
    let mut troubles = Vec::new();
    let mut add = |text: String, path: String| troubles.push(Trouble { text, path });
    match queue {
        None => add(
            "The queue does not answer. What was accepted is safe in the database and goes on when it is back."
                .to_owned(),
            "/readyz".to_owned(),
        ),
        Some(queue) => {
            if queue.workers.is_empty() {
                add("No worker is running: nothing is delivered.".to_owned(), "/readyz".to_owned());
            }
            if let Some(oldest) = queue.oldest.as_ref().filter(|_| queue.late) {
                add(format!("The oldest job that could run has waited for {oldest}."), base.clone());
            }
        }
    }
    let endpoints = visit.scope().endpoints(&Page { before: None, limit: 250 }).await?.rows;
    for (state, words) in [(EndpointState::Failing, "is failing"), (EndpointState::Disabled, "is disabled")] {
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.state == state).take(ROWS) {
            let age = length(visit.now.since(endpoint.state_since).as_millis().try_into().unwrap_or(u64::MAX));
            let path = format!("{base}/endpoints/{}", endpoint.id);
            add(format!("{} {words}, for {age} now.", endpoint.settings.url.as_str()), path);
        }
    }
    let newest = DeadLetterFilter { since: Some(UnixMs(visit.now.0 - HOUR_MS)), ..DeadLetterFilter::default() };
    let dead = visit.scope().count_open_dead_letters(&newest).await?.all;
    if dead > 0 {
        let jobs = if dead == 1 { "job has" } else { "jobs have" };
        add(format!("{dead} {jobs} died within the last hour and wait for you."), format!("{base}/dead-letters"));
    }
    Ok(troubles)
}
