//! One job, whole: where it is and has been, what was sent and what came back, what is still planned, and what can be done.

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::{DeadLetter, PastAttempt},
        endpoint::Endpoint,
        event::Event,
        http_request::HttpRequest,
        job::{Input, Job, JobKind, JobState, JobView},
        notification::Notification,
        retry::RetrySchedule,
        tag::Tag,
    },
    running::running,
    store::{ChunkArgs, JobDetail},
};

use crate::{
    Dashboard,
    attempts::{self, AttemptLine},
    diagram::{Diagram, Life},
    exchange::{Delivery, Exchange},
    failures::{Similar, similar},
    filters,
    lineage::{self, Kin},
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show},
    visit::{Deed, Visit},
};

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/run-now", post(run_now))
        .route("/jobs/{id}/cancel", post(cancel))
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    id: String,
    state: &'static str,
    pending: bool,
    running: bool,
    kind: &'static str,
    lane: String,
    tags: Vec<Tag>,
    priority: u8,
    tried: String,
    lost_workers: u32,
    unique_key: Option<String>,
    event: Option<String>,
    /// The endpoint is deleted, and its lane with it.
    is_gone: bool,
    endpoint: Option<(String, String)>,
    /// The notification that it plans, or tells some recipients of.
    notification: Option<String>,
    letter: Option<String>,
    made: Moment,
    /// When its next attempt is due, or when it ended.
    then: Moment,
    first_error: Option<String>,
    last_error: Option<String>,
    similar: Option<Similar>,
    diagram: Diagram,
    exchange: Option<Exchange>,
    ahead: Vec<Planned>,
    attempts: Vec<AttemptLine>,
    lineage: Vec<Kin>,
}

/// An attempt that is still to come.
struct Planned {
    n: u32,
    earliest: Moment,
    /// Where it is not known to the moment.
    latest: Option<Moment>,
}

/// What is known of a job beside its row.
struct Known {
    endpoint: Option<Endpoint>,
    event: Option<Event>,
    history: Vec<PastAttempt>,
    /// Where the job is dead.
    letter: Option<DeadLetter>,
    /// Some worker has it now.
    runs: bool,
    similar: Option<Similar>,
}

impl Known {
    async fn of(visit: &Visit, detail: &JobDetail) -> Result<Self, Refusal> {
        let (scope, job) = (visit.scope(), &detail.job);
        let event = match job.event_id {
            Some(id) => scope.event(&id.to_string()).await?.map(|found| found.event),
            None => None,
        };
        let endpoint = match job.endpoint_id {
            Some(id) => scope.endpoint(id).await?,
            None => None,
        };
        let pending = job.state == JobState::Pending;
        let held =
            if pending { running(&visit.dashboard.queue, &[(job.lane_key(), job.id)]).await } else { Vec::new() };
        let history = scope.attempts(job.id).await?;
        let similar = similar(visit, job.fingerprint.as_ref()).await?;
        let letter = scope.dead_letter_of_job(job.id).await?;
        Ok(Self { endpoint, event, history, letter, runs: held.first().copied().unwrap_or(false), similar })
    }

    fn exchange(&self, visit: &Visit, detail: &JobDetail) -> Option<Exchange> {
        match detail.job.kind.input() {
            Input::Payload => {
                let (letter, endpoint) = (self.letter.as_ref(), self.endpoint.as_ref());
                let of_event = self.event.as_ref().and_then(|event| event.payload.as_ref());
                let now = endpoint.map(|endpoint| endpoint.settings.url.as_str().to_owned());
                let delivery = Delivery {
                    url: letter.and_then(|letter| letter.endpoint_url.clone()).or(now)?,
                    message_id: detail.event.clone()?,
                    payload: detail.args.as_ref().or(of_event)?,
                    headers: letter.and_then(|letter| letter.request_headers.clone()),
                    endpoint,
                };
                Some(Exchange::of_delivery(visit, delivery, &self.history))
            }
            Input::Call => Exchange::of_call(visit, detail.args.as_deref()?, &self.history),
            Input::Own => None,
        }
    }

    fn schedule(&self, detail: &JobDetail) -> Option<RetrySchedule> {
        match detail.job.kind {
            JobKind::WebhookDeliver => Some(self.endpoint.as_ref()?.settings.retry_schedule.clone()),
            JobKind::HttpRequest => {
                let request: HttpRequest = serde_json::from_slice(detail.args.as_deref()?).ok()?;
                Some(request.retry_schedule)
            }
            JobKind::WebhookTest
            | JobKind::SiteRegenerate
            | JobKind::SiteAnnounce
            | JobKind::SiteProbe
            | JobKind::NotificationPlan
            | JobKind::NotificationChunk
            | JobKind::NotificationBatch
            | JobKind::NotificationMessage
            | JobKind::NotificationDigest
            | JobKind::Noop => None,
        }
    }
}

async fn job(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let detail = find(&visit, &id).await?;
    let known = Known::of(&visit, &detail).await?;
    let lineage = lineage::of(&visit, detail.job.id, detail.job.replay_of, &id).await?;
    show(&page(&visit, &detail, known, lineage))
}

fn page(visit: &Visit, detail: &JobDetail, known: Known, lineage: Vec<Kin>) -> JobPage {
    let (now, job) = (visit.now, &detail.job);
    let view = JobView::of(job, known.runs, now);
    let waits = job.attempt == 0 && job.state == JobState::Pending;
    let event = known.event.as_ref().filter(|_| job.replay_of.is_none());
    let planned = event.map(|event| event.deliver_at).or(waits.then_some(job.run_at));
    let (made_at, finished_at) = (job.created_at, job.finished_at);
    let life = Life { made_at, finished_at, view, attempts: &known.history, planned, now };
    JobPage {
        frame: Frame::of(visit, Section::Jobs, format!("Job {}", job.id)),
        diagram: Diagram::of(&life),
        exchange: known.exchange(visit, detail),
        ahead: known.schedule(detail).map(|schedule| ahead(job, &schedule, known.runs, now)).unwrap_or_default(),
        id: job.id.to_string(),
        state: view.as_str(),
        pending: job.state == JobState::Pending,
        running: known.runs,
        kind: job.kind.as_str(),
        lane: job.lane.to_string(),
        tags: job.tags.clone(),
        priority: job.priority.get(),
        tried: format!("{} of {}", job.attempt, job.max_attempts),
        lost_workers: job.lost_workers,
        unique_key: job.unique_key.clone(),
        event: detail.event.clone(),
        is_gone: job.endpoint_id.is_some() && known.endpoint.is_none(),
        endpoint: job.endpoint_id.map(|id| {
            let url = known.endpoint.as_ref().map(|endpoint| visit.url(endpoint.settings.url.as_str()));
            (id.to_string(), url.unwrap_or_else(|| "deleted".to_owned()))
        }),
        notification: notification_of(detail).map(|id| id.to_string()),
        letter: known.letter.map(|letter| letter.id.to_string()),
        made: Moment::of(job.created_at, now),
        then: Moment::of(job.finished_at.unwrap_or(job.run_at), now),
        first_error: known.history.iter().find_map(|attempt| attempt.error.clone()),
        last_error: job.last_error.clone(),
        similar: known.similar,
        attempts: attempts::lines(visit, known.history),
        lineage,
    }
}

fn notification_of(detail: &JobDetail) -> Option<Id<Notification>> {
    let args = detail.args.as_deref()?;
    match detail.job.kind {
        JobKind::NotificationPlan => std::str::from_utf8(args).ok()?.parse().ok(),
        JobKind::NotificationChunk => {
            let args: ChunkArgs = serde_json::from_slice(args).ok()?;
            Some(Id::from_uuid(args.notification))
        }
        _ => None,
    }
}

/// The attempts that are still to come, should each before them fail at once.
fn ahead(job: &Job, schedule: &RetrySchedule, runs: bool, now: UnixMs) -> Vec<Planned> {
    if job.state != JobState::Pending {
        return Vec::new();
    }
    let next = job.run_at.max(now);
    let (mut earliest, mut latest) = (next, next);
    let mut planned = Vec::new();
    if !runs {
        planned.push(Planned { n: job.attempt + 1, earliest: Moment::of(job.run_at, now), latest: None });
    }
    for n in job.attempt + 2..=job.max_attempts {
        let Some((least, most)) = schedule.bounds(n) else { break };
        (earliest, latest) = (earliest + least, latest + most);
        planned.push(Planned { n, earliest: Moment::of(earliest, now), latest: Some(Moment::of(latest, now)) });
    }
    planned
}

async fn find(visit: &Visit, id: &str) -> Result<JobDetail, Refusal> {
    let missing = Refusal::NotFound("job");
    let Ok(id) = id.parse::<Id<Job>>() else { return Err(missing) };
    visit.scope().job(id).await?.ok_or(missing)
}

async fn run_now(Path((_, id)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    let detail = find(&visit, &id).await?;
    let Some(due) = visit.scope().run_job_now(detail.job.id, visit.now).await? else {
        return Err(ended(&visit, &id).await);
    };
    visit.dashboard.dispatcher.run_now(&due).await;
    Ok(back(&visit, detail.job.id))
}

async fn cancel(Path((_, id)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    let job = find(&visit, &id).await?.job;
    if !visit.scope().cancel_job(job.id, visit.now).await? {
        return Err(ended(&visit, &id).await);
    }
    visit.dashboard.dispatcher.cancel(&job.lane_key(), job.id).await;
    Ok(back(&visit, job.id))
}

fn back(visit: &Visit, id: Id<Job>) -> axum::response::Response {
    Redirect::to(&format!("{}/jobs/{id}", base(&visit.tenant))).into_response()
}

/// Why a job that is not pending cannot be changed.
async fn ended(visit: &Visit, id: &str) -> Refusal {
    match find(visit, id).await {
        Ok(detail) => Refusal::Conflict(format!("The job has ended meanwhile: it is {}.", detail.job.state)),
        Err(refusal) => refusal,
    }
}
