//! One notification: what became of it on each channel, which jobs tell it, its data, and ending it while its recipients are
//! still being found.

use std::collections::HashMap;

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
        job::{Job, JobState},
        lane::{LaneKey, LaneName},
        notification::Notification,
    },
    store::{DeliveryLetter, NotificationJob, NotificationState, StoredNotification},
};

use crate::{
    Dashboard,
    body::Body,
    filters,
    moment::Moment,
    notifications::{AudienceLine, StateLabel},
    page::{Frame, Refusal, Section, Shown, base, show},
    receipt::ChannelBar,
    visit::{Deed, Visit},
};

/// Jobs that a page shows, those that have not told theirs first.
const JOBS: u32 = 50;
/// Recipients who are named, as far as a page names them.
const NAMED: usize = 20;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/notifications/{id}", get(notification)).route("/notifications/{id}/cancel", post(cancel))
}

#[derive(Template)]
#[template(path = "notification.html")]
struct NotificationPage {
    frame: Frame,
    id: String,
    kind: String,
    version: u32,
    category: String,
    urgency: &'static str,
    actor: Option<String>,
    collapse_key: Option<String>,
    audience: AudienceLine,
    /// The first of those who are named.
    named: Vec<String>,
    state: StateLabel,
    /// What the state means.
    meaning: &'static str,
    can_cancel: bool,
    made: Moment,
    due: Moment,
    planned: Option<Moment>,
    /// That by which endpoints are told.
    event: Option<EventLine>,
    receipt: Vec<ChannelBar>,
    /// The job that finds its recipients.
    plan: JobLine,
    /// Jobs that have not told their recipients, and some that have.
    waiting: Vec<JobLine>,
    told: Vec<JobLine>,
    more_jobs: bool,
    jobs_max: u32,
    data: Body,
}

/// The event of a notification.
struct EventLine {
    kind: String,
    /// `None` before it is due.
    id: Option<String>,
    is_kept: bool,
}

/// A job of a notification.
pub(crate) struct JobLine {
    id: String,
    /// Whom, and by which channel.
    tells: String,
    recipients: u64,
    /// `None` where it is not kept any more.
    state: Option<&'static str>,
    told: Option<Moment>,
    /// Id and state of its dead letter.
    letter: Option<(String, &'static str)>,
}

impl JobLine {
    fn of(job: &NotificationJob, letter: Option<(String, &'static str)>, now: UnixMs) -> Self {
        Self {
            id: job.id.to_string(),
            tells: tells(job),
            recipients: job.recipients,
            state: job.state.map(JobState::as_str),
            told: job.told_at.map(|at| Moment::of(at, now)),
            letter,
        }
    }
}

fn tells(job: &NotificationJob) -> String {
    let whom = match job.chunk {
        Some(0) => "those who are named".to_owned(),
        Some(n) => format!("subscribers, chunk {n}"),
        None => "somebody by themselves".to_owned(),
    };
    job.channel.map_or_else(|| whom.clone(), |channel| format!("{whom}, by {}", channel.as_str()))
}

const fn meaning(state: NotificationState) -> &'static str {
    match state {
        NotificationState::Scheduled => "It is told when it is due, to whoever subscribes by then.",
        NotificationState::Planning => "Its recipients are being found; those who were found are told meanwhile.",
        NotificationState::Delivering => "All of its recipients are known, and some are not told yet.",
        NotificationState::Done => "There is nobody left to tell.",
        NotificationState::Failed => {
            "The job that finds its recipients is dead, so some may be missing below. Replay its dead letter, and it goes on where it was."
        }
        NotificationState::Cancelled => {
            "Somebody ended it before all of its recipients were found. Those below were found by then."
        }
    }
}

pub(crate) async fn find(visit: &Visit, id: &str) -> Result<StoredNotification, Refusal> {
    let id: Id<Notification> = id.parse().map_err(|_| Refusal::NotFound("notification"))?;
    visit.scope().notification(id).await?.ok_or(Refusal::NotFound("notification"))
}

pub(crate) fn path_of(visit: &Visit, id: Id<Notification>) -> String {
    format!("{}/notifications/{id}", base(&visit.tenant))
}

async fn event_line(visit: &Visit, of: &StoredNotification) -> Result<Option<EventLine>, Refusal> {
    let Some(kind) = &of.of.event_type else { return Ok(None) };
    let id = of.event.map(|id| id.to_string());
    let is_kept = match &id {
        Some(id) => visit.scope().event(id).await?.is_some(),
        None => false,
    };
    Ok(Some(EventLine { kind: kind.to_string(), id, is_kept }))
}

async fn notification(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let of = find(&visit, &id).await?;
    let (scope, now) = (visit.scope(), visit.now);
    let receipt = scope.receipt(&of).await?;
    let state = receipt.state(&of, now);
    let mut jobs = scope.notification_jobs(&of, JOBS + 1).await?;
    let more_jobs = jobs.len() > JOBS as usize;
    jobs.truncate(JOBS as usize);
    let letters = scope.letters_of(jobs.iter().map(|job| job.id).chain([of.plan_job])).await?;
    let letters: HashMap<Id<Job>, DeliveryLetter> = letters.into_iter().map(|letter| (letter.job_id, letter)).collect();
    let letter = |job| letters.get(&job).map(|letter| (letter.id.to_string(), letter.state.as_str()));
    let plan = scope.job(of.plan_job).await?.map(|found| found.job);
    let (told, waiting): (Vec<JobLine>, Vec<JobLine>) =
        jobs.into_iter().map(|job| JobLine::of(&job, letter(job.id), now)).partition(|line| line.told.is_some());
    let is_planned_later = matches!(state, NotificationState::Scheduled | NotificationState::Planning);
    show(&NotificationPage {
        frame: Frame::of(&visit, Section::Notifications, format!("Notification {}", of.id)),
        id: of.id.to_string(),
        kind: of.of.key.to_string(),
        version: of.of.version,
        category: of.of.category.to_string(),
        urgency: of.of.urgency.as_str(),
        actor: of.audience.actor.as_ref().map(ToString::to_string),
        collapse_key: of.of.collapse_key.as_ref().map(ToString::to_string),
        audience: AudienceLine::of(&of),
        named: of.audience.recipients.iter().take(NAMED).map(ToString::to_string).collect(),
        state: state.into(),
        meaning: meaning(state),
        can_cancel: is_planned_later && plan.as_ref().is_some_and(|job| job.state == JobState::Pending),
        made: Moment::of(of.created_at, now),
        due: Moment::of(of.deliver_at, now),
        planned: of.planned_at.map(|at| Moment::of(at, now)),
        event: event_line(&visit, &of).await?,
        receipt: ChannelBar::all(&receipt),
        plan: JobLine {
            id: of.plan_job.to_string(),
            tells: String::new(),
            recipients: 0,
            state: plan.map(|job| job.state.as_str()),
            told: None,
            letter: letter(of.plan_job),
        },
        waiting,
        told,
        jobs_max: JOBS,
        more_jobs,
        data: visit.body(&of.of.data),
    })
}

async fn cancel(Path((_, id)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    let of = find(&visit, &id).await?;
    if of.planned_at.is_some() || !visit.scope().cancel_job(of.plan_job, visit.now).await? {
        return Err(Refusal::Conflict(
            "All of its recipients were found meanwhile, or somebody else ended it. Jobs that still tell some of them are \
            cancelled one by one, on their own pages."
                .to_owned(),
        ));
    }
    let lane = LaneKey { tenant: visit.tenant.id, name: LaneName::of_notifications(of.of.urgency) };
    visit.dashboard.dispatcher.cancel(&lane, of.plan_job).await;
    Ok(Redirect::to(&path_of(&visit, of.id)).into_response())
}
