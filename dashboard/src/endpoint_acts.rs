//! What operators do to an endpoint: pause, resume, another secret, recovery, deletion.

use std::time::Duration;

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
        endpoint::{Endpoint, EndpointState},
        lane::{LaneKey, LaneName, LaneSettings},
        signature::SigningSecret,
        user::UserRole,
    },
    store::{EndpointChange, OperationKind, Replay, Rotated, Rotation, Scope},
};

use crate::{
    Dashboard,
    endpoint::{SecretPage, endpoint_path, find},
    faults::{Fault, Named},
    fields::Fields,
    once::{begin, id_of_form},
    page::{Frame, Refusal, Section, Shown, base, show},
    portal_acts::may_resume,
    secret_once::{replaced_already, replaced_by},
    visit::{Deed, Visit},
};

/// Hours for which an old secret may sign on, as the API has them in seconds.
const GRACE_HOURS_MAX: u64 = 30 * 24;
const GRACE_FIELD: Named = ("grace_hours", "Hours for which the old one signs too");
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/endpoints/{id}/pause", post(pause))
        .route("/endpoints/{id}/resume", post(resume))
        .route("/endpoints/{id}/rotate-secret", post(rotate))
        .route("/endpoints/{id}/recover", post(recover))
        .route("/endpoints/{id}/delete", get(confirm_delete).post(delete))
}

#[derive(Template)]
#[template(path = "endpoint_delete.html")]
struct DeletePage {
    frame: Frame,
    url: String,
    back: String,
}

async fn pause(Path((_, id)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    let (reason, id) = (format!("paused by {}", visit.user.name), find(&visit, &id).await?.id);
    let scope = visit.scope();
    let endpoint = turn(&visit.dashboard, &scope, id, Turn::Pause { reason: reason.clone() }).await?;
    // An integrator's own pause becomes one that only operators lift.
    if may_resume(&endpoint) {
        turn(&visit.dashboard, &scope, id, Turn::PauseForGood { reason }).await?;
    }
    Ok(Redirect::to(&endpoint_path(&visit, endpoint.id)).into_response())
}

async fn resume(Path((_, id)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    let endpoint = turn(&visit.dashboard, &visit.scope(), find(&visit, &id).await?.id, Turn::Resume).await?;
    Ok(Redirect::to(&endpoint_path(&visit, endpoint.id)).into_response())
}

/// Whether deliveries wait.
pub(crate) enum Turn {
    Pause {
        reason: String,
    },
    /// One that is paused already.
    PauseForGood {
        reason: String,
    },
    Resume,
}

/// Pauses or resumes an endpoint, and tells the queue.
pub(crate) async fn turn(
    dashboard: &Dashboard,
    scope: &Scope<'_>,
    id: Id<Endpoint>,
    turn: Turn,
) -> Result<Endpoint, Refusal> {
    use EndpointState::{Active, Disabled, Failing, Paused};
    let now = UnixMs::now();
    let (from, change): (&[EndpointState], _) = match turn {
        Turn::Pause { reason } => (&[Active, Failing], EndpointChange { state: Paused, reason: Some(reason), now }),
        Turn::PauseForGood { reason } => (&[Paused], EndpointChange { state: Paused, reason: Some(reason), now }),
        Turn::Resume => (&[Paused, Failing, Disabled], EndpointChange { state: Active, reason: None, now }),
    };
    let endpoint = scope.change_endpoint_state(id, from, &change).await?.ok_or(Refusal::NotFound("endpoint"))?;
    dashboard.dispatcher.tell(&endpoint.lane(), &endpoint.lane_settings()).await;
    match (change.state, endpoint.state) {
        (Paused, Disabled) => Err(disabled("It gets nothing as it is: it is disabled, so there is nothing to pause.")),
        _ => Ok(endpoint),
    }
}

fn disabled(words: &str) -> Refusal {
    Refusal::Conflict(format!("{words} Resume the endpoint once its receiver works."))
}

async fn rotate(Path((_, id)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let endpoint = find(&visit, &id).await?;
    let (secret, old_until) = rotate_secret(&visit.scope(), endpoint.id, &fields).await?;
    let next = endpoint_path(&visit, endpoint.id);
    show(&SecretPage::of(&visit, "The secret is changed", &secret, next, Some(old_until)))
}

/// Another secret, and until when the one before it signs too: for as many hours as the form says.
pub(crate) async fn rotate_secret(
    scope: &Scope<'_>,
    id: Id<Endpoint>,
    fields: &Fields,
) -> Result<(SigningSecret, UnixMs), Refusal> {
    let text = fields.text(GRACE_FIELD.0).unwrap_or("24");
    let hours = text.parse::<u32>().ok().filter(|hours| u64::from(*hours) <= GRACE_HOURS_MAX);
    let hours = hours
        .ok_or_else(|| Fault::of(GRACE_FIELD, format!("{text:?} is no number of hours from 0 to {GRACE_HOURS_MAX}")))?;
    let replaces = Some(replaced_by(fields, |text| text.parse().ok())?);
    let now = UnixMs::now();
    let rotation =
        Rotation { secret: SigningSecret::from_random(rand::random()), old_until: now + HOUR * hours, replaces };
    match scope.rotate(id, &rotation, now).await? {
        Rotated::Done => Ok((rotation.secret, rotation.old_until)),
        Rotated::NotFound => Err(Refusal::NotFound("endpoint")),
        Rotated::Already => Err(replaced_already("secret")),
    }
}

async fn recover(Path((_, id)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let endpoint = find(&visit, &id).await?;
    if endpoint.state == EndpointState::Disabled {
        return Err(disabled("Its endpoint is disabled, so what is recovered would die at once."));
    }
    let now = UnixMs::now();
    let since = fields
        .time(("since", "Published since"))?
        .ok_or_else(|| Refusal::Bad("Since when? Go back and write it like 2026-01-31T12:00, in UTC.".to_owned()))?;
    let until = fields.time(("until", "Published until"))?.map_or(now, |until| until.min(now));
    if since > until {
        return Err(Refusal::Bad(format!("{since} is after {until}. Go back and mend the times.")));
    }
    let kind = OperationKind::RecoverEndpoint { endpoint: endpoint.id, since, until };
    let total = Some(visit.scope().count_events(since, until).await?);
    begin(&visit, id_of_form(&fields, now)?, &Replay { kind, total, rate_per_second: None }, now).await
}

async fn confirm_delete(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    if !visit.may(UserRole::Operator) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let endpoint = find(&visit, &id).await?;
    let url = endpoint.settings.url.as_str().to_owned();
    let frame = Frame::of(&visit, Section::Endpoints, "Delete an endpoint");
    show(&DeletePage { frame, url, back: endpoint_path(&visit, endpoint.id) })
}

async fn delete(Path((_, id)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    let id = find(&visit, &id).await.map_err(Refusal::removed_already)?.id;
    if !visit.scope().delete_endpoint(id, UnixMs::now()).await? {
        return Err(Refusal::Removed("endpoint"));
    }
    // What is still queued for it runs out as cancelled, which a paused lane would hold up.
    let lane = LaneKey { tenant: visit.tenant.id, name: LaneName::of_endpoint(id) };
    visit.dashboard.dispatcher.tell(&lane, &LaneSettings::default()).await;
    Ok(Redirect::to(&format!("{}/endpoints", base(&visit.tenant))).into_response())
}
