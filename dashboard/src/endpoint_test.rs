//! A test of an endpoint, sent once however often its form is, and the page that shows what came of it: the operators' and
//! the integrators'.

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
        attempt::AttemptClass,
        dead_letter::PastAttempt,
        endpoint::Endpoint,
        job::{Job, JobKind, JobState},
    },
    endpoint_test::{TestError, Testing, attempt_of_test},
    store::Scope,
};

use crate::{
    Dashboard,
    body::Body,
    endpoint::{endpoint_path, find},
    fields::Fields,
    filters,
    moment::length,
    once::{gate, id_of_form},
    page::{Frame, Refusal, Section, Shown, show},
    portal_acts::path,
    portal_refusal::PortalShown,
    portal_visit::{Guest, GuestDeed, PortalFrame},
    visit::{Deed, Visit},
};

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/endpoints/{id}/test", post(test)).route("/endpoints/{id}/tests/{job}", get(tested))
}

pub(crate) fn portal_router() -> Router<Dashboard> {
    Router::new()
        .route("/portal/endpoints/{endpoint}/test", post(portal_test))
        .route("/portal/endpoints/{endpoint}/tests/{job}", get(portal_tested))
}

/// A test, and what it came to.
struct TestShown {
    job: String,
    message: String,
    /// It is to be tried yet, or was just tried.
    is_under_way: bool,
    /// `None`: nothing was tried.
    result: Option<ResultShown>,
    /// Of the test that the page's form sends.
    once: String,
}

struct ResultShown {
    failed: bool,
    outcome: String,
    status: Option<u16>,
    duration: String,
    address: Option<String>,
    error: Option<String>,
    answer: Option<Body>,
}

impl TestShown {
    fn heading(&self) -> &'static str {
        match &self.result {
            Some(result) if result.failed => "The test failed",
            Some(_) => "The test went through",
            None if self.is_under_way => "The test is under way",
            None => "The test was taken back",
        }
    }
}

#[derive(Template)]
#[template(path = "endpoint_test.html")]
struct TestPage {
    frame: Frame,
    url: String,
    back: String,
    test: TestShown,
}

#[derive(Template)]
#[template(path = "portal_test.html")]
struct PortalTestPage {
    frame: PortalFrame,
    url: String,
    back: String,
    test: TestShown,
}

async fn test(Path((_, id)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let endpoint = find(&visit, &id).await?;
    let job = run(&visit.dashboard, &visit.scope(), &endpoint, &fields).await?;
    Ok(Redirect::to(&format!("{}/tests/{job}", endpoint_path(&visit, endpoint.id))).into_response())
}

async fn tested(visit: Visit, Path((_, id, job)): Path<(String, String, String)>) -> Shown {
    let endpoint = find(&visit, &id).await?;
    show(&TestPage {
        frame: Frame::of(&visit, Section::Endpoints, "Test of an endpoint"),
        url: visit.url(endpoint.settings.url.as_str()),
        back: endpoint_path(&visit, endpoint.id),
        test: shown(&visit.scope(), &endpoint, &job, |answer| visit.answer(&answer)).await?,
    })
}

async fn portal_test(GuestDeed { guest, fields }: GuestDeed) -> PortalShown {
    let endpoint = guest.endpoint().await?;
    let job = run(&guest.dashboard, &guest.scope(), &endpoint, &fields).await?;
    Ok(Redirect::to(&format!("{}/tests/{job}", path(endpoint.id))).into_response())
}

async fn portal_tested(guest: Guest, Path((_, job)): Path<(String, String)>) -> PortalShown {
    let endpoint = guest.endpoint().await?;
    let page = PortalTestPage {
        frame: guest.frame("Test of an endpoint"),
        url: endpoint.settings.url.as_str().to_owned(),
        back: path(endpoint.id),
        test: shown(&guest.scope(), &endpoint, &job, Body::of_text).await?,
    };
    Ok(show(&page)?)
}

/// Sends one event to the endpoint, unless this form has sent it already, and waits for what comes of it.
async fn run(
    dashboard: &Dashboard,
    scope: &Scope<'_>,
    endpoint: &Endpoint,
    fields: &Fields,
) -> Result<Id<Job>, Refusal> {
    let job = id_of_form::<Job>(fields, UnixMs::now())?;
    let testing = Testing { scope, queue: &dashboard.queue, dispatcher: &dashboard.dispatcher };
    match testing.run_once(endpoint, job, gate(job, "")).await {
        // The page of the test says so.
        Ok(()) | Err(TestError::NoAttempt) => Ok(job),
        Err(TestError::Store(error)) => Err(error.into()),
        Err(TestError::NotActive(state)) => {
            Err(Refusal::Conflict(format!("The endpoint is {state}. Resume it to test it.")))
        }
    }
}

/// A test of this endpoint, as somebody sees it who may see so much of its receiver's answer.
async fn shown(
    scope: &Scope<'_>,
    endpoint: &Endpoint,
    job: &str,
    answer: impl Fn(String) -> Body,
) -> Result<TestShown, Refusal> {
    let missing = || Refusal::NotFound("test");
    let id = job.parse::<Id<Job>>().map_err(|_| missing())?;
    let detail = scope.job(id).await?.ok_or_else(missing)?;
    if detail.job.kind != JobKind::WebhookTest || detail.job.endpoint_id != Some(endpoint.id) {
        return Err(missing());
    }
    let result = |attempt: PastAttempt| ResultShown {
        failed: attempt.outcome != AttemptClass::Succeeded.as_str(),
        outcome: attempt.outcome,
        status: attempt.status_code,
        duration: length(attempt.duration_ms.into()),
        address: attempt.address,
        error: attempt.error,
        answer: attempt.response_body.map(answer),
    };
    Ok(TestShown {
        job: id.to_string(),
        message: detail.event.unwrap_or_default(),
        is_under_way: detail.job.state == JobState::Pending,
        result: attempt_of_test(scope, id).await?.map(result),
        once: Id::<Job>::new().to_string(),
    })
}
