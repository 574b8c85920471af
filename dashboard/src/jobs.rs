//! The list of jobs, by filter. A page looks at a bounded number of them, and says how far it looked.

use askama::Template;
use axum::{
    Router,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::DeadLetter,
        job::{Job, JobKind, JobView},
        lane::LaneName,
        tag::Tag,
    },
    running::{Seen, jobs_seen},
    store::{JobFilter, Page},
};

use crate::{
    Dashboard,
    fields::Fields,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show},
    visit::Visit,
};

const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/jobs", get(jobs))
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    form: Form,
    rows: Vec<Line>,
    older: Option<String>,
    /// Where the list was cut off before it was full: how far was looked.
    looked_to: Option<Moment>,
}

/// What the filter's fields hold.
struct Form {
    states: Vec<(&'static str, bool)>,
    kinds: Vec<(&'static str, bool)>,
    texts: Vec<Field>,
    is_set: bool,
}

/// A field for a text: name, label, what it holds and an example.
struct Field {
    name: &'static str,
    label: &'static str,
    value: String,
    example: &'static str,
}

const TEXTS: [(&str, &str, &str); 7] = [
    ("id", "Job or event", "job_… or the event's id"),
    ("lane", "Lane", "host:example.com"),
    ("tag", "Tag", ""),
    ("q", "Text in the error", ""),
    ("payload", "Text in the payload", ""),
    ("since", "Made since (UTC)", "2026-01-31T12:00"),
    ("until", "Made before (UTC)", "2026-02-01T00:00"),
];

struct Line {
    id: String,
    state: &'static str,
    kind: &'static str,
    event: Option<String>,
    lane: String,
    tags: Vec<Tag>,
    attempts: String,
    made: Moment,
    /// When it is due, or when it ended.
    then: Moment,
    error: Option<String>,
}

async fn jobs(visit: Visit) -> Shown {
    let fields = &visit.query;
    let mut filter = filter(fields)?;
    if let Some(id) = fields.text("id") {
        let base = base(&visit.tenant);
        if let Ok(job) = id.parse::<Id<Job>>() {
            return Ok(Redirect::to(&format!("{base}/jobs/{job}")).into_response());
        }
        if let Ok(letter) = id.parse::<Id<DeadLetter>>() {
            return Ok(Redirect::to(&format!("{base}/dead-letters/{letter}")).into_response());
        }
        let event = visit.scope().event(id).await?;
        filter.event = Some(event.map(|found| found.event.id).ok_or(Refusal::NotFound("job or event with this id"))?);
    }
    if filter.payload.is_some() && !visit.sees_all() {
        let why = "Fields of payloads are hidden from you, so you cannot search in them. Ask an operator.";
        return Err(Refusal::Bad(why.to_owned()));
    }
    let before = fields.parsed::<Id<Job>>("before", "id of a job")?;
    let (page, scope) = (Page { before, limit: ROWS }, visit.scope());
    let listed = jobs_seen(&scope, &visit.dashboard.queue, &filter, page).await?;
    let looked_to = listed.next.filter(|_| listed.rows.len() < ROWS as usize);
    let page = JobsPage {
        frame: Frame::of(&visit, Section::Jobs, "Jobs"),
        form: form(fields, &filter),
        older: listed.next.map(|next| fields.query_with("before", &next.to_string())),
        rows: listed.rows.into_iter().map(|seen| line(seen, visit.now)).collect(),
        looked_to: looked_to.map(|last| Moment::of(last.made_at(), visit.now)),
    };
    show(&page)
}

fn line((detail, runs): Seen, now: UnixMs) -> Line {
    let job = detail.job;
    Line {
        id: job.id.to_string(),
        state: JobView::of(&job, runs, now).as_str(),
        kind: job.kind.as_str(),
        event: detail.event,
        lane: job.lane.to_string(),
        attempts: format!("{} of {}", job.attempt, job.max_attempts),
        made: Moment::of(job.created_at, now),
        then: Moment::of(job.finished_at.unwrap_or(job.run_at), now),
        error: job.last_error,
        tags: job.tags,
    }
}

fn filter(fields: &Fields) -> Result<JobFilter, Refusal> {
    Ok(JobFilter {
        state: fields.parsed::<JobView>("state", "state of a job")?,
        kind: fields.parsed::<JobKind>("kind", "kind of a job")?,
        lane: fields.parsed::<LaneName>("lane", "name of a lane")?,
        tag: fields.parsed::<Tag>("tag", "tag")?,
        event: None,
        text: fields.text("q").map(str::to_owned),
        payload: fields.text("payload").map(str::to_owned),
        since: fields.time("since")?,
        until: fields.time("until")?,
    })
}

fn form(fields: &Fields, filter: &JobFilter) -> Form {
    let text = |name| fields.text(name).unwrap_or_default().to_owned();
    let field = |(name, label, example)| Field { name, label, value: text(name), example };
    Form {
        states: JobView::ALL.iter().map(|state| (state.as_str(), filter.state == Some(*state))).collect(),
        kinds: JobKind::ALL.iter().map(|kind| (kind.as_str(), filter.kind == Some(*kind))).collect(),
        texts: TEXTS.map(field).into(),
        is_set: !fields.query_without(&["before"]).is_empty(),
    }
}
