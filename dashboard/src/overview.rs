//! The state of one tenant in one look. Trouble is the first thing seen.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::{
        UnixMs,
        endpoint::{Endpoint, EndpointState},
    },
    store::{DeadLetterFilter, EndpointFilter, Page, Tally},
};

use crate::{
    Dashboard,
    chart::Chart,
    failures::FailureLine,
    filters::{self, grouped},
    moment::length,
    page::{Frame, Refusal, Section, Shown, show},
    queue_now::QueueNow,
    visit::Visit,
};

/// Bars of the chart.
const BARS: u16 = 60;
/// What a page shows of each list.
pub(crate) const ROWS: usize = 8;
/// Groups among which the largest are shown.
const ROWS_OF_FAILURES: u32 = 50;
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
    /// When the range begins that the figures are of.
    since: UnixMs,
    success: String,
    /// Name of the part, how long so many attempts took, and how long they had waited.
    parts: [(&'static str, String, String); 3],
    chart: Chart,
    queue: Option<QueueNow>,
    failures: Vec<FailureLine>,
}

/// What is wrong now, and where to go for it.
struct Trouble {
    /// What leads to its page.
    text: String,
    /// What stands behind that.
    more: String,
    path: String,
}

async fn overview(visit: Visit) -> Shown {
    let (scope, now) = (visit.scope(), visit.now);
    let asked = visit.query.text("range").unwrap_or(RANGES[0].0);
    let (range, minutes) = RANGES.into_iter().find(|(name, _)| *name == asked).unwrap_or(RANGES[0]);
    let tallies = scope.tallies(minutes, BARS, now).await?;
    let since = tallies.first().map_or(now, |(from, _)| *from);
    let figures = tallies.iter().fold(Tally::default(), |sum, (_, tally)| sum.plus(tally));
    let queue = QueueNow::of(&visit).await?;
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
        since,
        figures,
        queue,
        failures: FailureLine::of(&visit, recent).await?,
    };
    show(&page)
}

async fn troubles(visit: &Visit, queue: Option<&QueueNow>) -> Result<Vec<Trouble>, Refusal> {
    let base = crate::page::base(&visit.tenant);
    let mut troubles = Vec::new();
    let mut add = |text: String, path: String| troubles.push(Trouble { text, more: String::new(), path });
    match queue {
        None => add(
            "The queue does not answer. What was accepted is safe in the database and goes on when it is back."
                .to_owned(),
            "/readyz".to_owned(),
        ),
        Some(queue) => {
            if queue.workers_count == 0 {
                add("No worker is running: nothing is delivered.".to_owned(), format!("{base}/workers"));
            }
            if let Some(oldest) = queue.oldest.as_ref().filter(|_| queue.late) {
                add(format!("The oldest job that could run has waited for {oldest}."), format!("{base}/lanes"));
            }
            if queue.held > 0 {
                let jobs = if queue.held == 1 { "job waits" } else { "jobs wait" };
                add(format!("{} {jobs} in lanes that are paused.", grouped(queue.held)), format!("{base}/lanes"));
            }
        }
    }
    for state in [EndpointState::Failing, EndpointState::Disabled] {
        troubles.extend(endpoints_in(visit, state).await?);
    }
    let since = UnixMs(visit.now.0 - HOUR_MS);
    let newest = DeadLetterFilter { since: Some(since), ..DeadLetterFilter::default() };
    let dead = visit.scope().count_open_dead_letters(&newest).await?.all;
    if dead > 0 {
        let jobs = if dead == 1 { "job has" } else { "jobs have" };
        let text = format!("{} {jobs} died within the last hour and wait for you.", grouped(dead));
        troubles.push(Trouble { text, more: String::new(), path: format!("{base}/dead-letters?since={since}") });
    }
    Ok(troubles)
}

/// The newest endpoints in a state that is trouble, and how many more there are.
async fn endpoints_in(visit: &Visit, state: EndpointState) -> Result<Vec<Trouble>, Refusal> {
    let (scope, base) = (visit.scope(), crate::page::base(&visit.tenant));
    let filter = EndpointFilter { state: Some(state), text: None };
    let limit = u32::try_from(ROWS).unwrap_or(u32::MAX);
    let listed = scope.endpoints_found(&filter, &Page { before: None, limit }).await?;
    let trouble = |endpoint: &Endpoint| {
        let age = length(visit.now.since(endpoint.state_since).as_millis().try_into().unwrap_or(u64::MAX));
        let (text, more) = (visit.url(endpoint.settings.url.as_str()), format!(" is {state}, for {age} now."));
        Trouble { text, more, path: format!("{base}/endpoints/{}", endpoint.id) }
    };
    let mut troubles: Vec<Trouble> = listed.rows.iter().map(trouble).collect();
    if listed.next.is_some() {
        let more = scope.count_endpoints(state).await?.saturating_sub(limit.into());
        let are = if more == 1 { "endpoint is" } else { "endpoints are" };
        let text = format!("And {} more {are} {state}.", grouped(more));
        troubles.push(Trouble { text, more: String::new(), path: format!("{base}/endpoints?state={state}") });
    }
    Ok(troubles)
}
