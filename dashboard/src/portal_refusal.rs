//! What integrators see where there is no page: what happened and what to do next, in the portal's own layout.

use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::{
    extract::Request,
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use postrider_core::store::StoreError;

use crate::{
    assets::STYLE_PATH,
    filters,
    portal_visit::{Guest, PortalFrame},
    refusal::{Refusal, Words},
};

/// Why there is no page; leads nowhere but to the portal.
pub(crate) struct PortalRefusal(Refusal);

pub(crate) type PortalShown = Result<Response, PortalRefusal>;

impl From<Refusal> for PortalRefusal {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<StoreError> for PortalRefusal {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PortalRefusal {
    fn into_response(self) -> Response {
        self.0.leading_to(None)
    }
}

/// Where the frame of a request's guest is kept while it is answered.
#[derive(Clone, Default)]
pub(crate) struct PortalSeat(Arc<OnceLock<PortalFrame>>);

impl PortalSeat {
    pub(crate) fn take(&self, guest: &Guest) {
        self.0.get_or_init(|| guest.frame(""));
    }
}

#[derive(Template)]
#[template(path = "portal_refusal.html")]
struct RefusalPage {
    frame: PortalFrame,
    detail: String,
    /// The endpoint that something was to be done to.
    endpoint: Option<String>,
}

/// Shows the refusals of the portal within its layout: as far as the link leads anywhere, with a way back.
pub(crate) async fn within_layout(mut request: Request, next: Next) -> Response {
    let seat = PortalSeat::default();
    request.extensions_mut().insert(seat.clone());
    let was_sent = request.method() == Method::POST;
    let endpoint = request.uri().path().split('/').nth(3).map(|id| format!("/portal/endpoints/{id}"));
    let mut response = next.run(request).await;
    let Some(words) = response.extensions_mut().remove::<Words>() else { return response };
    let nobody = || PortalFrame { title: String::new(), style: &STYLE_PATH, link: None, token: String::new() };
    let frame = seat.0.get().cloned().unwrap_or_else(nobody);
    let is_there = was_sent && frame.link.is_some() && words.status != StatusCode::NOT_FOUND;
    let page = RefusalPage {
        endpoint: endpoint.filter(|_| is_there),
        detail: words.detail.clone(),
        frame: PortalFrame { title: words.title.to_owned(), ..frame },
    };
    words.respond(page.render())
}
