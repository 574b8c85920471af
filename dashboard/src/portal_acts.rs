//! What integrators do to their endpoints: pause, resume, another secret, replay of what died.

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect, Response},
    routing::post,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::DeadLetter,
        endpoint::{Endpoint, EndpointState},
    },
    store::Resolved,
};

use crate::{
    Dashboard,
    dead_letter::refused,
    endpoint_acts::{Turn, rotate_secret, turn},
    filters,
    page::{Refusal, show},
    portal_refusal::PortalShown,
    portal_visit::{GuestDeed, PortalFrame},
};

/// Why an endpoint is paused that its integrator has paused; no other pause has this reason.
const PAUSED: &str = "paused through the portal";

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/portal/endpoints/{endpoint}/pause", post(pause))
        .route("/portal/endpoints/{endpoint}/resume", post(resume))
        .route("/portal/endpoints/{endpoint}/rotate-secret", post(rotate))
        .route("/portal/endpoints/{endpoint}/dead-letters/{id}/replay", post(replay))
}

#[derive(Template)]
#[template(path = "portal_secret.html")]
struct SecretPage {
    frame: PortalFrame,
    secret: String,
    back: String,
    old_until: String,
}

async fn pause(GuestDeed { guest, .. }: GuestDeed) -> PortalShown {
    let id = guest.endpoint().await?.id;
    let reason = PAUSED.to_owned();
    turn(&guest.dashboard, &guest.scope(), id, Turn::Pause { reason }).await?;
    Ok(back(id))
}

async fn resume(GuestDeed { guest, .. }: GuestDeed) -> PortalShown {
    let endpoint = guest.endpoint().await?;
    if !may_resume(&endpoint) {
        let words = "Whoever sends you these webhooks has paused it. Ask them to resume it.";
        return Err(Refusal::Conflict(words.to_owned()).into());
    }
    turn(&guest.dashboard, &guest.scope(), endpoint.id, Turn::Resume).await?;
    Ok(back(endpoint.id))
}

/// A pause that an operator or a program has set is theirs to lift.
pub(crate) fn may_resume(endpoint: &Endpoint) -> bool {
    endpoint.state != EndpointState::Paused || endpoint.state_reason.as_deref() == Some(PAUSED)
}

async fn rotate(GuestDeed { guest, fields }: GuestDeed) -> PortalShown {
    let endpoint = guest.endpoint().await?;
    let (secret, old_until) = rotate_secret(&guest.scope(), endpoint.id, &fields).await?;
    let frame = guest.frame("The secret is changed");
    let (secret, back, old_until) = (secret.reveal(), path(endpoint.id), old_until.to_string());
    Ok(show(&SecretPage { frame, secret, back, old_until })?)
}

/// Of a dead letter of this endpoint alone.
async fn replay(Path((_, id)): Path<(String, String)>, GuestDeed { guest, .. }: GuestDeed) -> PortalShown {
    let (endpoint, scope) = (guest.endpoint().await?, guest.scope());
    let missing = || Refusal::NotFound("dead letter");
    let id = id.parse::<Id<DeadLetter>>().map_err(|_| missing())?;
    let letter = scope.dead_letter(id).await?.filter(|letter| letter.endpoint_id == Some(endpoint.id));
    let letter = letter.ok_or_else(missing)?;
    match scope.replay_dead_letter(letter.id, None, UnixMs::now()).await? {
        Resolved::Done(job) => guest.dashboard.dispatcher.offer(std::slice::from_ref(&job)),
        other => return Err(refused(other).into()),
    }
    Ok(back(endpoint.id))
}

pub(crate) fn path(id: Id<Endpoint>) -> String {
    format!("/portal/endpoints/{id}")
}

fn back(id: Id<Endpoint>) -> Response {
    Redirect::to(&path(id)).into_response()
}
