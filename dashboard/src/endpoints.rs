//! The list of endpoints, how each does, and a form that makes one.

use askama::Template;
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        endpoint::{Endpoint, EndpointSettings, EndpointState},
        limits::ENDPOINTS_PER_TENANT_MAX,
        signature::SigningSecret,
        user::UserRole,
    },
    store::{EndpointFilter, Listed, Page, StoreError},
};

use crate::{
    Dashboard,
    endpoint::{SecretPage, endpoint_path},
    endpoint_form::EndpointForm,
    faults::{Fault, Faults, Named},
    filter_form::{FieldsOf, FilterForm},
    health::EndpointLine,
    moment::Moment,
    once::{id_of_form, made_already},
    page::{Frame, Refusal, Section, Shown, base, show, show_with},
    pager::Pager,
    visit::{Deed, Visit},
};

/// Each has its health, by up to a hundred attempts.
const ROWS: u32 = 25;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/endpoints", get(endpoints).post(create))
        .route("/endpoints/new", get(new))
        .route("/endpoints/end-portal-links", post(end_links))
}

const STATE: Named = ("state", "State");
const TEXT: Named = ("q", "Address or description");

#[derive(Template)]
#[template(path = "endpoints.html")]
struct EndpointsPage {
    frame: Frame,
    form: FilterForm,
    rows: Vec<EndpointLine>,
    pager: Pager,
    /// When all links to the portal were ended last.
    links_ended: Option<Moment>,
}

#[derive(Template)]
#[template(path = "endpoint_form.html")]
pub(crate) struct EndpointFormPage {
    pub(crate) frame: Frame,
    pub(crate) heading: &'static str,
    /// Where the form goes, and back.
    pub(crate) action: String,
    pub(crate) back: String,
    pub(crate) button: &'static str,
    /// What is made gets this id, so that a form that is sent twice makes one endpoint.
    pub(crate) once: Option<String>,
    /// The settings that the form shows, by when they were set.
    pub(crate) seen: Option<i64>,
    pub(crate) form: EndpointForm,
    pub(crate) faults: Vec<Fault>,
}

impl EndpointFormPage {
    fn fault_at(&self, field: &str) -> Option<&str> {
        self.faults.iter().find(|fault| fault.field == field).map(|fault| fault.words.as_str())
    }
}

async fn endpoints(visit: Visit) -> Shown {
    let fields = &visit.query;
    let mut faults = Faults::default();
    faults.read(fields.only(&[STATE.0, TEXT.0, "before"], &[]).map(Some));
    let filter = EndpointFilter {
        state: faults.read(fields.parsed::<EndpointState>(STATE, "state of an endpoint")),
        text: fields.text(TEXT.0).map(str::to_owned),
    };
    let page = Page { before: fields.before::<Id<Endpoint>>()?, limit: ROWS };
    let (listed, status) = match faults.is_empty() {
        true => (visit.scope().endpoints_found(&filter, &page).await?, StatusCode::OK),
        false => (Listed { rows: Vec::new(), next: None }, StatusCode::UNPROCESSABLE_ENTITY),
    };
    let ids: Vec<_> = listed.rows.iter().map(|endpoint| endpoint.id).collect();
    let health = visit.scope().health(&ids).await?;
    let line = |endpoint: &Endpoint| EndpointLine::of(endpoint, health.get(&endpoint.id), visit.now).seen_by(&visit);
    let ended = Some(visit.scope().portal_epoch().await?).filter(|epoch| *epoch > 0);
    let of = FieldsOf { fields, faults: &faults };
    let states = EndpointState::ALL.iter().map(|state| state.as_str());
    let page = EndpointsPage {
        links_ended: ended.map(|ms| Moment::of(UnixMs(ms), visit.now)),
        frame: Frame::of(&visit, Section::Endpoints, "Endpoints"),
        form: of.form(vec![of.choice(STATE, ("", "any"), states), of.text(TEXT, "")], visit.now),
        pager: Pager::of(fields, &listed),
        rows: listed.rows.iter().map(line).collect(),
    };
    show_with(status, &page)
}

/// Ends all links to the portal that were given to integrators.
async fn end_links(Deed { visit, .. }: Deed) -> Shown {
    visit.scope().revoke_portal_links(UnixMs::now()).await?;
    Ok(Redirect::to(&format!("{}/endpoints", base(&visit.tenant))).into_response())
}

async fn new(visit: Visit) -> Shown {
    if !visit.may(UserRole::Operator) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let form = EndpointForm::fresh(&visit.dashboard.settings.retry_schedule);
    show(&form_page(&visit, Id::<Endpoint>::new().to_string(), form, Vec::new()))
}

fn form_page(visit: &Visit, once: String, form: EndpointForm, faults: Vec<Fault>) -> EndpointFormPage {
    let (frame, once) = (Frame::of(visit, Section::Endpoints, "A new endpoint"), Some(once));
    let path = format!("{}/endpoints", frame.base());
    let (action, back) = (path.clone(), path);
    EndpointFormPage {
        frame,
        heading: "A new endpoint",
        action,
        back,
        button: "Make this endpoint",
        once,
        seen: None,
        form,
        faults,
    }
}

async fn create(Deed { visit, fields }: Deed) -> Shown {
    let settings = &visit.dashboard.settings;
    let form = EndpointForm::read(&fields);
    let fresh = EndpointForm::fresh(&settings.retry_schedule);
    let change = match form.change(&fresh, &settings.egress) {
        Ok(change) => change,
        Err(faults) => {
            let once = fields.text("once").unwrap_or_default().to_owned();
            return show_with(StatusCode::UNPROCESSABLE_ENTITY, &form_page(&visit, once, form, faults));
        }
    };
    let id = id_of_form(&fields, visit.now)?;
    let known = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    if known.len() >= ENDPOINTS_PER_TENANT_MAX {
        let most = format!("A tenant has at most {ENDPOINTS_PER_TENANT_MAX} endpoints. Delete one first.");
        return Err(Refusal::Conflict(most));
    }
    let url = change.url.clone().ok_or_else(|| Refusal::Bad("An endpoint has an address.".to_owned()))?;
    let mut made = EndpointSettings::new(url, settings.retry_schedule.clone());
    change.apply(&mut made);
    let secret = SigningSecret::from_random(rand::random());
    let endpoint = match visit.scope().create_endpoint_as(id, &made, &secret, UnixMs::now()).await {
        Err(StoreError::Exists(_)) => return Err(made_already("endpoint", "give it another secret on its page")),
        made => made?,
    };
    let next = endpoint_path(&visit, endpoint.id);
    show_with(StatusCode::CREATED, &SecretPage::of(&visit, "The endpoint is made", &secret, next, None))
}
