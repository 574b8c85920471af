//! Failures, grouped by what is the same in them: the list, one group, and what somebody says of it.

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{Id, UnixMs, dead_letter::DeadLetterState, fingerprint::Fingerprint, line::judge_line, tenant::Tenant},
    store::{Changed, DeadLetterFilter, FailureGroup, FailureVerdict, Judgement, Page},
};

use crate::{
    Dashboard,
    dead_letters::Line,
    filters::{self, in_words},
    lane_label::LaneLabel,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show},
    pager::Pager,
    spark::Spark,
    visit::{Deed, Visit},
};

const ROWS: u32 = 50;
/// What a group shows of each of its lists.
const SHORT_ROWS: u32 = 10;
/// Hours of the small charts.
const HOURS: u16 = 24;
const HOUR_MS: i64 = 3_600_000;
/// A group is quiet that has not been seen for so long.
const QUIET_MS: i64 = 15 * 60_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/failures", get(failures))
        .route("/failures/{fingerprint}", get(failure))
        .route("/failures/{fingerprint}/judge", post(judge))
}

/// A group of failures, as lists show it.
pub(crate) struct FailureLine {
    pub(crate) fingerprint: String,
    pub(crate) kind: &'static str,
    pub(crate) what: String,
    pub(crate) error: String,
    pub(crate) count: u64,
    pub(crate) first: Moment,
    pub(crate) last: Moment,
    pub(crate) is_failing: bool,
    /// What is said of it, the class that its colour hangs on.
    pub(crate) verdict: &'static str,
    pub(crate) verdict_at: Option<Moment>,
    pub(crate) verdict_by: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) spark: Spark,
    pub(crate) endpoints: u64,
}

impl FailureLine {
    /// Groups with their last hours and how many endpoints they are at.
    pub(crate) async fn of(visit: &Visit, groups: Vec<FailureGroup>) -> Result<Vec<Self>, Refusal> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let (scope, now) = (visit.scope(), visit.now);
        let fingerprints: Vec<Fingerprint> = groups.iter().map(|group| group.fingerprint.clone()).collect();
        let mut hours = scope.failures_by_hour(&fingerprints, HOURS, now).await?;
        let reach = scope.failures_reach(&fingerprints, day_before(now)).await?;
        let line = |group: FailureGroup| {
            let counts = hours.remove(&group.fingerprint).unwrap_or_default();
            let endpoints = reach.get(&group.fingerprint).copied().unwrap_or(0);
            Self::one(group, Spark::of(&counts), endpoints, now)
        };
        Ok(groups.into_iter().map(line).collect())
    }

    fn one(group: FailureGroup, spark: Spark, endpoints: u64, now: UnixMs) -> Self {
        let status = group.status_code.map(|status| format!(" {status}")).unwrap_or_default();
        Self {
            verdict: if group.is_regressed() { "regressed" } else { group.verdict.as_str() },
            verdict_at: group.verdict_at.map(|at| Moment::of(at, now)),
            verdict_by: group.verdict_by,
            note: group.note,
            fingerprint: group.fingerprint.to_string(),
            kind: group.kind.as_str(),
            what: format!("{}{status}", in_words(&group.class)),
            error: group.error,
            count: group.count,
            first: Moment::of(group.first_seen_at, now),
            last: Moment::of(group.last_seen_at, now),
            is_failing: now.0 - group.last_seen_at.0 < QUIET_MS,
            spark,
            endpoints,
        }
    }
}

fn day_before(now: UnixMs) -> UnixMs {
    UnixMs(now.0 - i64::from(HOURS) * HOUR_MS)
}

#[derive(Template)]
#[template(path = "failures.html")]
struct FailuresPage {
    frame: Frame,
    all: bool,
    rows: Vec<FailureLine>,
    pager: Pager,
}

async fn failures(visit: Visit) -> Shown {
    visit.query.only(&["state", "before"], &[])?;
    let before = visit.query.before_by(read_place)?;
    let all = visit.query.text("state") == Some("any");
    let scope = visit.scope();
    let mut groups = match all {
        true => scope.failures(before, ROWS + 1).await?,
        false => scope.unresolved_failures(before, ROWS + 1).await?,
    };
    let more = groups.len() > ROWS as usize;
    groups.truncate(ROWS as usize);
    let last = groups.last().filter(|_| more);
    let pager =
        Pager::before(&visit.query, last.map(|group| format!("{}-{}", group.last_seen_at.0, group.fingerprint)));
    let rows = FailureLine::of(&visit, groups).await?;
    show(&FailuresPage { frame: Frame::of(&visit, Section::Failures, "Failures"), all, rows, pager })
}

/// The place of a group in the list: its last time in milliseconds, and its fingerprint.
fn read_place(text: &str) -> Option<(UnixMs, Fingerprint)> {
    let (ms, fingerprint) = text.split_once('-')?;
    Some((UnixMs(ms.parse().ok()?), fingerprint.parse().ok()?))
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    group: FailureLine,
    verdicts: Vec<(&'static str, &'static str, bool)>,
    /// What is said of it, as the form brings it back.
    seen: String,
    endpoints: Vec<EndpointLine>,
    elsewhere: Vec<(String, String, u64)>,
    letters: Vec<Line>,
    retrying: Vec<RetryingLine>,
}

struct EndpointLine {
    id: String,
    /// `None` where it is deleted.
    url: Option<String>,
    count: u64,
}

struct RetryingLine {
    id: String,
    lane: LaneLabel,
    attempt: u32,
    at: Moment,
}

async fn failure(visit: Visit, Path((_, fingerprint)): Path<(String, String)>) -> Shown {
    let (scope, now) = (visit.scope(), visit.now);
    let (fingerprint, group) = find(&visit, fingerprint).await?;
    let filter = DeadLetterFilter {
        fingerprint: Some(fingerprint.to_string()),
        state: Some(DeadLetterState::Open),
        ..DeadLetterFilter::default()
    };
    let letters = scope.dead_letters(&filter, &Page { before: None, limit: SHORT_ROWS }).await?.rows;
    let retrying = scope.retrying_after(&fingerprint, SHORT_ROWS).await?;
    let known = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let endpoints = endpoints(&visit, &fingerprint).await?;
    let elsewhere = elsewhere(&visit, &fingerprint).await?;
    let seen = said_at(&group);
    let mut lines = FailureLine::of(&visit, vec![group]).await?;
    let group = lines.pop().ok_or(Refusal::NotFound("failure"))?;
    let verdicts = [("open", "Open"), ("acknowledged", "Acknowledged: somebody works on it"), ("resolved", "Resolved")];
    show(&FailurePage {
        frame: Frame::of(&visit, Section::Failures, "Failure"),
        verdicts: verdicts.map(|(name, words)| (name, words, name == group.verdict)).into(),
        seen,
        group,
        endpoints,
        elsewhere,
        letters: letters.into_iter().map(|letter| Line::of(&visit, letter)).collect(),
        retrying: retrying
            .into_iter()
            .map(|job| RetryingLine {
                id: job.id.to_string(),
                lane: LaneLabel::of(&job.lane, &known),
                attempt: job.attempt,
                at: Moment::of(job.run_at, now),
            })
            .collect(),
    })
}

async fn find(visit: &Visit, fingerprint: String) -> Result<(Fingerprint, FailureGroup), Refusal> {
    let missing = || Refusal::NotFound("failure");
    let fingerprint: Fingerprint = fingerprint.parse().map_err(|_| missing())?;
    let group = visit.scope().failure(&fingerprint).await?.ok_or_else(missing)?;
    Ok((fingerprint, group))
}

async fn endpoints(visit: &Visit, fingerprint: &Fingerprint) -> Result<Vec<EndpointLine>, Refusal> {
    let failing = visit.scope().failing_endpoints(fingerprint, day_before(visit.now), SHORT_ROWS).await?;
    let known = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let url = |id| known.get(id).map(|live| visit.url(live.endpoint.settings.url.as_str()));
    Ok(failing.into_iter().map(|(id, count)| EndpointLine { id: id.to_string(), url: url(id), count }).collect())
}

/// The same failure at other tenants that the user may see: name, page and count.
async fn elsewhere(visit: &Visit, fingerprint: &Fingerprint) -> Result<Vec<(String, String, u64)>, Refusal> {
    let others: Vec<&Tenant> = visit.tenants.iter().filter(|tenant| tenant.id != visit.tenant.id).collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Id<Tenant>> = others.iter().map(|tenant| tenant.id).collect();
    let counts = visit.dashboard.store.failure_at(fingerprint, &ids).await?;
    let line = |tenant: &Tenant| {
        let count = counts.get(&tenant.id)?;
        Some((tenant.name.clone(), format!("{}/failures/{fingerprint}", base(tenant)), *count))
    };
    Ok(others.into_iter().filter_map(line).take(SHORT_ROWS as usize).collect())
}

async fn judge(Path((_, fingerprint)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let (fingerprint, _) = find(&visit, fingerprint).await?;
    let verdict: FailureVerdict = fields
        .text("verdict")
        .unwrap_or_default()
        .parse()
        .map_err(|error| Refusal::Bad(format!("{error}. Go back and choose one.")))?;
    let note = fields.text("note");
    if let Some(note) = note {
        judge_line(note).map_err(|error| Refusal::Bad(format!("The note {error}. Go back and mend it.")))?;
    }
    let said = Judgement { verdict, note, now: visit.now };
    let seen = fields.text("seen");
    let is_seen = |group: &FailureGroup| seen.is_none_or(|seen| seen == said_at(group));
    match visit.scope().judge_failure(&fingerprint, &said, is_seen).await? {
        Changed::Done(()) => {
            Ok(Redirect::to(&format!("{}/failures/{fingerprint}", base(&visit.tenant))).into_response())
        }
        Changed::NotFound => Err(Refusal::NotFound("failure")),
        Changed::Refused => Err(Refusal::stale("what is said of this failure")),
    }
}

/// When somebody last said something of a failure, by which a form knows whether it shows that.
fn said_at(group: &FailureGroup) -> String {
    group.verdict_at.map_or_else(|| "never".to_owned(), |at| at.0.to_string())
}

/// What else failed in the same way as one job.
pub(crate) struct Similar {
    pub(crate) fingerprint: String,
    /// Failed attempts, this one's among them.
    pub(crate) count: u64,
    pub(crate) first: Moment,
    pub(crate) last: Moment,
}

pub(crate) async fn similar(visit: &Visit, fingerprint: Option<&Fingerprint>) -> Result<Option<Similar>, Refusal> {
    let Some(fingerprint) = fingerprint else { return Ok(None) };
    Ok(visit.scope().failure(fingerprint).await?.map(|group| Similar {
        fingerprint: fingerprint.to_string(),
        count: group.count,
        first: Moment::of(group.first_seen_at, visit.now),
        last: Moment::of(group.last_seen_at, visit.now),
    }))
}
