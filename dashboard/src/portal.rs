//! The integrators' pages: their endpoints, what was sent to them and what they answered.

use askama::Template;
use axum::{
    Router,
    extract::{Path, Request, State},
    http::header,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::Attempt,
        dead_letter::{DeadLetter, DeadLetterState},
        endpoint::{Endpoint, EndpointState},
        health::Health,
        job::Job,
    },
    store::{DeadLetterFilter, DeliveryLetter, Page},
};

use crate::{
    Dashboard,
    body::Body,
    fields::Fields,
    filters,
    health::{EndpointLine, LogLine},
    moment::Moment,
    page::{Refusal, show},
    pager::Pager,
    portal_acts::may_resume,
    portal_refusal::PortalShown,
    portal_visit::{Guest, PortalFrame, portal_cookie},
};

const ENDPOINTS: usize = 25;
const ROWS: u32 = 25;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/portal/open", get(open))
        .route("/portal", get(portal))
        .route("/portal/endpoints/{endpoint}", get(endpoint))
        .route("/portal/endpoints/{endpoint}/attempts/{id}", get(attempt))
}

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalPage {
    frame: PortalFrame,
    rows: Vec<EndpointLine>,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "portal_endpoint.html")]
struct EndpointPage {
    frame: PortalFrame,
    line: EndpointLine,
    paused: bool,
    disabled: bool,
    /// There are more dead letters than are shown.
    has_more_letters: bool,
    letters: Vec<LetterLine>,
    attempts: Vec<LogLine>,
    pager: Pager,
    /// Which secret a new one would replace.
    secret: String,
    /// Of the test that the page's form sends.
    once_tested: String,
    /// Whether the one who looks may lift the pause.
    may_resume: bool,
}

/// What did not arrive.
struct LetterLine {
    id: String,
    what: String,
    message: String,
    error: String,
    died: Moment,
}

#[derive(Template)]
#[template(path = "portal_attempt.html")]
struct AttemptPage {
    frame: PortalFrame,
    back: String,
    url: String,
    line: LogLine,
    message: String,
    /// `None` once retention has removed it.
    payload: Option<Body>,
    answer: Option<Body>,
    /// The dead letter of the delivery, and whether it waits for somebody.
    letter: Option<(String, &'static str, bool)>,
    disabled: bool,
}

/// Takes the link into a cookie, so that it does not stay in the address.
async fn open(State(dashboard): State<Dashboard>, request: Request) -> PortalShown {
    let fields = Fields::parse(request.uri().query().unwrap_or_default().as_bytes())?;
    let (link, now) = (fields.text("link").unwrap_or_default(), UnixMs::now());
    let grant = dashboard.store.portal(link, now).await.map_err(Refusal::from)?;
    let mut response = Redirect::to("/portal").into_response();
    let cookie = portal_cookie(link, &grant, now, dashboard.settings.tls);
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

/// Newest first.
async fn portal(guest: Guest) -> PortalShown {
    let known = guest.dashboard.store.directory().endpoints(guest.tenant.id).await?;
    let before = guest.query.before::<Id<Endpoint>>()?;
    let mut endpoints: Vec<&Endpoint> = known.all().filter(|endpoint| guest.grant.reaches(endpoint.id)).collect();
    endpoints.retain(|endpoint| before.is_none_or(|before| endpoint.id < before));
    endpoints.reverse();
    let more = endpoints.len() > ENDPOINTS;
    endpoints.truncate(ENDPOINTS);
    let ids: Vec<_> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    let health = guest.scope().health(&ids).await?;
    let last = ids.last().filter(|_| more);
    let page = PortalPage {
        frame: guest.frame("Endpoints"),
        pager: Pager::before(&guest.query, last.map(ToString::to_string)),
        rows: endpoints.iter().map(|endpoint| line(endpoint, health.get(&endpoint.id), guest.now)).collect(),
    };
    Ok(show(&page)?)
}

/// Which of their people has paused an endpoint is no integrator's business.
fn line(endpoint: &Endpoint, health: Option<&Health>, now: UnixMs) -> EndpointLine {
    let line = EndpointLine::of(endpoint, health, now);
    EndpointLine { reason: line.reason.filter(|_| may_resume(endpoint)), ..line }
}

async fn endpoint(guest: Guest) -> PortalShown {
    let (endpoint, scope) = (guest.endpoint().await?, guest.scope());
    let before = guest.query.before::<Id<Attempt>>()?;
    let listed = scope.endpoint_attempts(endpoint.id, &Page { before, limit: ROWS }).await?;
    let health = scope.health(&[endpoint.id]).await?;
    let filter = DeadLetterFilter {
        endpoint: Some(endpoint.id),
        state: Some(DeadLetterState::Open),
        ..DeadLetterFilter::default()
    };
    let letters = scope.dead_letters(&filter, &Page { before: None, limit: ROWS }).await?;
    let letter = |letter: DeadLetter| LetterLine {
        id: letter.id.to_string(),
        what: letter.event_type.unwrap_or_default(),
        message: letter.message_id.unwrap_or_default(),
        error: letter.last_error.unwrap_or_else(|| "it never ran".to_owned()),
        died: Moment::of(letter.created_at, guest.now),
    };
    let page = EndpointPage {
        frame: guest.frame(endpoint.settings.url.as_str()),
        line: line(&endpoint, health.get(&endpoint.id), guest.now),
        secret: scope.current_secret(endpoint.id).await?.map(|id| id.to_string()).unwrap_or_default(),
        once_tested: Id::<Job>::new().to_string(),
        may_resume: may_resume(&endpoint),
        paused: endpoint.state == EndpointState::Paused,
        disabled: endpoint.state == EndpointState::Disabled,
        has_more_letters: letters.next.is_some(),
        letters: letters.rows.into_iter().map(letter).collect(),
        pager: Pager::of(&guest.query, &listed),
        attempts: listed.rows.into_iter().map(|attempt| LogLine::of(attempt, guest.now)).collect(),
    };
    Ok(show(&page)?)
}

async fn attempt(guest: Guest, Path((_, id)): Path<(String, String)>) -> PortalShown {
    let (endpoint, scope) = (guest.endpoint().await?, guest.scope());
    let missing = || Refusal::NotFound("attempt");
    let id = id.parse::<Id<Attempt>>().map_err(|_| missing())?;
    let mut logged = scope.endpoint_attempt(endpoint.id, id).await?.ok_or_else(missing)?;
    let job = scope.job(logged.job_id).await?;
    let message = job.as_ref().and_then(|detail| detail.event.clone()).unwrap_or_default();
    let event = job.as_ref().and_then(|detail| detail.job.event_id);
    let payload = match (job.and_then(|detail| detail.args), event) {
        (Some(args), _) => Some(args),
        (None, Some(event)) => scope.event(&event.to_string()).await?.and_then(|found| found.event.payload),
        (None, None) => None,
    };
    let letters = scope.letters_of([logged.job_id].into_iter()).await?;
    let letter =
        |letter: &DeliveryLetter| (letter.id.to_string(), letter.state.as_str(), letter.state == DeadLetterState::Open);
    let body = |bytes: &[u8]| Body::of(String::from_utf8_lossy(bytes).into_owned(), bytes.len());
    let answer = logged.attempt.response_body.take();
    let page = AttemptPage {
        frame: guest.frame("An attempt"),
        back: format!("/portal/endpoints/{}", endpoint.id),
        url: endpoint.settings.url.as_str().to_owned(),
        line: LogLine::of(logged, guest.now),
        message,
        payload: payload.as_deref().map(body),
        answer: answer.map(Body::of_text),
        letter: letters.first().map(letter),
        disabled: endpoint.state == EndpointState::Disabled,
    };
    Ok(show(&page)?)
}
