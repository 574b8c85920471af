//! One endpoint: how it does, what was tried, by which settings.

use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::Attempt,
        endpoint::{Endpoint, EndpointState},
        job::Job,
        signature::SigningSecret,
        user::UserRole,
    },
    store::{Changed, Operation, Page},
};

use crate::{
    Dashboard,
    endpoint_form::EndpointForm,
    endpoints::EndpointFormPage,
    faults::Fault,
    filters,
    health::{EndpointLine, LogLine},
    moment::{Moment, exactly},
    page::{Frame, Refusal, Section, Shown, base, show, show_with},
    pager::Pager,
    visit::{Deed, Visit},
};

const ROWS: u32 = 50;
/// An event is published before its first attempt fails; what of it went through is not sent again by a recovery.
const FIRST_TRY_MS: i64 = 5 * 60_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/endpoints/{id}", get(endpoint)).route("/endpoints/{id}/edit", get(edit).post(update))
}

#[derive(Template)]
#[template(path = "endpoint.html")]
struct EndpointPage {
    frame: Frame,
    line: EndpointLine,
    paused: bool,
    disabled: bool,
    settings: EndpointForm,
    /// How long it may take to answer, and what is waited before each retry.
    timeout: String,
    retries: String,
    headers: Vec<String>,
    metadata: Option<String>,
    created: Moment,
    updated: Moment,
    /// When it began to fail, and from when on to recover what it missed.
    failing: Option<(Moment, String)>,
    failed_only: bool,
    attempts: Vec<LogLine>,
    pager: Pager,
    /// Which secret a new one would replace.
    secret: String,
    /// Of the test and of the operation that the page's forms begin.
    once_tested: String,
    once_recovered: String,
}

/// What is shown once.
#[derive(Template)]
#[template(path = "endpoint_secret.html")]
pub(crate) struct SecretPage {
    frame: Frame,
    secret: String,
    next: String,
    /// Until when the one before it signs too.
    old_until: Option<String>,
}

impl SecretPage {
    pub(crate) fn of(
        visit: &Visit,
        title: &str,
        secret: &SigningSecret,
        next: String,
        old_until: Option<UnixMs>,
    ) -> Self {
        let frame = Frame::of(visit, Section::Endpoints, title);
        Self { frame, secret: secret.reveal(), next, old_until: old_until.map(|until| until.to_string()) }
    }
}

async fn endpoint(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let (scope, now) = (visit.scope(), visit.now);
    let endpoint = find(&visit, &id).await?;
    let page = Page { before: visit.query.before::<Id<Attempt>>()?, limit: ROWS };
    let failed_only = visit.query.text("attempts") == Some("failed");
    let listed = match failed_only {
        true => scope.endpoint_failed_attempts(endpoint.id, &page).await?,
        false => scope.endpoint_attempts(endpoint.id, &page).await?,
    };
    let health = scope.health(&[endpoint.id]).await?;
    let secret = scope.current_secret(endpoint.id).await?;
    let settings = &endpoint.settings;
    let length = |seconds: &f64| exactly(Duration::from_secs_f64(*seconds).as_millis().try_into().unwrap_or(u64::MAX));
    let retries: Vec<String> = settings.retry_schedule.seconds().iter().map(length).collect();
    let metadata = serde_json::to_string_pretty(&settings.metadata).ok().filter(|_| !settings.metadata.is_empty());
    let page = EndpointPage {
        frame: Frame::of(&visit, Section::Endpoints, visit.url(settings.url.as_str())),
        line: EndpointLine::of(&endpoint, health.get(&endpoint.id), now).seen_by(&visit),
        secret: secret.map(|id| id.to_string()).unwrap_or_default(),
        once_tested: Id::<Job>::new().to_string(),
        once_recovered: Id::<Operation>::new().to_string(),
        paused: endpoint.state == EndpointState::Paused,
        disabled: endpoint.state == EndpointState::Disabled,
        settings: EndpointForm::of(settings),
        timeout: exactly(settings.timeout_ms.into()),
        retries: retries.join(", "),
        failing: endpoint.failing_since.map(|at| (Moment::of(at, now), UnixMs(at.0 - FIRST_TRY_MS).to_string())),
        headers: settings.headers.iter().map(|(name, _)| name.clone()).collect(),
        metadata,
        created: Moment::of(endpoint.created_at, now),
        updated: Moment::of(endpoint.updated_at, now),
        failed_only,
        pager: Pager::searched(&visit.query, &listed, ROWS, now),
        attempts: listed.rows.into_iter().map(|attempt| LogLine::of(attempt, now)).collect(),
    };
    show(&page)
}

async fn edit(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    if !visit.may(UserRole::Operator) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let endpoint = find(&visit, &id).await?;
    show(&form_page(&visit, &endpoint, EndpointForm::of(&endpoint.settings), Vec::new()))
}

async fn update(Path((_, id)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let endpoint = find(&visit, &id).await?;
    let form = EndpointForm::read(&fields);
    let seen = fields.text("seen");
    let is_seen = |now: &Endpoint| seen.is_none_or(|seen| seen == now.updated_at.0.to_string());
    let change_of = |now: &Endpoint| form.change(&EndpointForm::of(&now.settings), &visit.dashboard.settings.egress);
    if let Err(faults) = change_of(&endpoint) {
        if !is_seen(&endpoint) {
            return Err(Refusal::stale("these settings"));
        }
        return show_with(StatusCode::UNPROCESSABLE_ENTITY, &form_page(&visit, &endpoint, form, faults));
    }
    let make = |now: &Endpoint| {
        let mut settings = now.settings.clone();
        change_of(now).ok()?.apply(&mut settings);
        // A form that is sent twice finds that it is done.
        (is_seen(now) || settings == now.settings).then_some(settings)
    };
    let changed = match visit.scope().change_endpoint(endpoint.id, UnixMs::now(), make).await? {
        Changed::Done(endpoint) => endpoint,
        Changed::NotFound => return Err(Refusal::NotFound("endpoint")),
        Changed::Refused => return Err(Refusal::stale("these settings")),
    };
    visit.dashboard.dispatcher.tell(&changed.lane(), &changed.lane_settings()).await;
    Ok(Redirect::to(&endpoint_path(&visit, changed.id)).into_response())
}

fn form_page(visit: &Visit, endpoint: &Endpoint, form: EndpointForm, faults: Vec<Fault>) -> EndpointFormPage {
    let back = endpoint_path(visit, endpoint.id);
    EndpointFormPage {
        frame: Frame::of(visit, Section::Endpoints, "Settings of an endpoint"),
        heading: "Settings of an endpoint",
        action: format!("{back}/edit"),
        back,
        button: "Save",
        once: None,
        seen: Some(endpoint.updated_at.0),
        form,
        faults,
    }
}

pub(crate) async fn find(visit: &Visit, id: &str) -> Result<Endpoint, Refusal> {
    let missing = Refusal::NotFound("endpoint");
    let Ok(id) = id.parse::<Id<Endpoint>>() else { return Err(missing) };
    visit.scope().endpoint(id).await?.ok_or(missing)
}

pub(crate) fn endpoint_path(visit: &Visit, id: Id<Endpoint>) -> String {
    format!("{}/endpoints/{id}", base(&visit.tenant))
}
