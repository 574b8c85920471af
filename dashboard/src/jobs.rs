//! The list of jobs, by filter. A page looks at a bounded number of them, and says how far it looked.

use askama::Template;
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::DeadLetter,
        fingerprint::Fingerprint,
        job::{Job, JobKind, JobView},
        lane::LaneName,
        tag::Tag,
        user::UserRole,
    },
    running::{Seen, jobs_seen},
    store::{JobFilter, Listed, Page, TenantEndpoints},
};

use crate::{
    Dashboard,
    faults::{Fault, Faults, Named},
    fields::{FILTER, Fields},
    filter_form::{FieldsOf, FilterForm},
    lane_label::LaneLabel,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show_with},
    pager::Pager,
    visit::Visit,
};

const ROWS: u32 = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/jobs", get(jobs))
}

const STATE: Named = ("state", "State");
const KIND: Named = ("kind", "Kind");
const ID: Named = ("id", "Job or event");
const LANE: Named = ("lane", "Lane");
const TAG: Named = ("tag", "Tag");
const Q: Named = ("q", "Text in the error");
const FINGERPRINT: Named = ("fingerprint", "Failure group");
const PAYLOAD: Named = ("payload", "Text in the payload");
const SINCE: Named = ("since", "Made since (UTC)");
const UNTIL: Named = ("until", "Made before (UTC)");
const KNOWN: [&str; 11] =
    [STATE.0, KIND.0, ID.0, LANE.0, TAG.0, Q.0, FINGERPRINT.0, PAYLOAD.0, SINCE.0, UNTIL.0, "before"];

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    form: FilterForm,
    rows: Vec<Line>,
    pager: Pager,
}

struct Line {
    id: String,
    state: &'static str,
    kind: &'static str,
    event: Option<String>,
    lane: LaneLabel,
    tags: Vec<Tag>,
    attempts: String,
    made: Moment,
    /// When it is due, or when it ended.
    then: Moment,
    ended: bool,
    error: Option<String>,
}

async fn jobs(visit: Visit) -> Shown {
    let fields = &visit.query;
    let (mut faults, mut status) = (Faults::default(), StatusCode::OK);
    faults.read(fields.only(&KNOWN, &[]).map(Some));
    let mut filter = filter(fields, &mut faults);
    if let Some(id) = fields.text(ID.0).filter(|_| faults.at(FILTER.0).is_none()) {
        if let Some(path) = page_of(&visit, id) {
            return Ok(Redirect::to(&path).into_response());
        }
        filter.event = visit.scope().event(id).await?.map(|found| found.event.id);
        if filter.event.is_none() {
            faults.add(Fault::of(ID, format!("there is no job or event {id:?}")));
            status = StatusCode::NOT_FOUND;
        }
    } else if !faults.is_empty() {
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    if filter.payload.is_some() && !visit.sees_all() {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let (before, scope) = (fields.before::<Id<Job>>()?, visit.scope());
    let page = Page { before, limit: ROWS };
    let listed = match faults.is_empty() {
        true => jobs_seen(&scope, &visit.dashboard.queue, &filter, page).await?,
        false => Listed { rows: Vec::new(), next: None },
    };
    let endpoints = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let page = JobsPage {
        frame: Frame::of(&visit, Section::Jobs, "Jobs"),
        form: form(&visit, &faults),
        pager: Pager::searched(fields, &listed, ROWS, visit.now),
        rows: listed.rows.into_iter().map(|seen| line(seen, &endpoints, visit.now)).collect(),
    };
    show_with(status, &page)
}

/// The page of the one thing that an id names.
fn page_of(visit: &Visit, id: &str) -> Option<String> {
    let base = base(&visit.tenant);
    let job = id.parse::<Id<Job>>().map(|job| format!("{base}/jobs/{job}")).ok();
    job.or_else(|| id.parse::<Id<DeadLetter>>().map(|letter| format!("{base}/dead-letters/{letter}")).ok())
}

fn line((detail, runs): Seen, endpoints: &TenantEndpoints, now: UnixMs) -> Line {
    let job = detail.job;
    Line {
        id: job.id.to_string(),
        state: JobView::of(&job, runs, now).as_str(),
        kind: job.kind.as_str(),
        event: detail.event,
        lane: LaneLabel::of(&job.lane, endpoints),
        attempts: format!("{} of {}", job.attempt, job.max_attempts),
        made: Moment::of(job.created_at, now),
        then: Moment::of(job.finished_at.unwrap_or(job.run_at), now),
        ended: job.finished_at.is_some(),
        error: job.last_error,
        tags: job.tags,
    }
}

fn filter(fields: &Fields, faults: &mut Faults) -> JobFilter {
    let (since, until) = fields.range(SINCE, UNTIL, faults);
    JobFilter {
        state: faults.read(fields.parsed::<JobView>(STATE, "state of a job")),
        kind: faults.read(fields.parsed::<JobKind>(KIND, "kind of a job")),
        lane: faults.read(fields.parsed::<LaneName>(LANE, "name of a lane")),
        tag: faults.read(fields.parsed::<Tag>(TAG, "tag: one word of a-z, 0-9, _ . : / @ + and -")),
        event: None,
        fingerprint: faults.read(fields.parsed::<Fingerprint>(FINGERPRINT, "fingerprint of a failure group")),
        text: fields.text(Q.0).map(str::to_owned),
        payload: fields.raw(PAYLOAD.0).filter(|text| !text.is_empty()).map(str::to_owned),
        since,
        until,
    }
}

fn form(visit: &Visit, faults: &Faults) -> FilterForm {
    let of = FieldsOf { fields: &visit.query, faults };
    let mut fields = vec![
        of.choice(STATE, ("", "any"), JobView::ALL.iter().map(|state| state.as_str())),
        of.choice(KIND, ("", "any"), JobKind::ALL.iter().map(|kind| kind.as_str())),
        of.text(ID, "job_… or the event's id"),
        of.text(LANE, "host:example.com"),
        of.text(TAG, ""),
        of.text(Q, ""),
        of.text(FINGERPRINT, "its fingerprint"),
    ];
    // What may be hidden from whoever looks is not to be found out by searching either.
    if visit.sees_all() {
        fields.push(of.text(PAYLOAD, ""));
    }
    fields.extend([of.text(SINCE, "2026-01-31 12:00"), of.text(UNTIL, "2026-02-01")]);
    of.form(fields, visit.now)
}
