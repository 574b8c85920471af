//! `/v1/sites/{site}/alerts`: what people were told is wrong with a site.

use axum::Json as Answer;
use postrider_core::{domain::Id, store::SiteAlert};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Read},
    page::{Listing, Paging, Params},
    path::TextRef,
    problem::Problem,
    sites::find,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(alerts))
}

/// Something that is, or was, wrong with a site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteAlert)]
pub(crate) struct AlertJson {
    #[schema(value_type = String)]
    id: Id<SiteAlert>,
    /// `late`, `failing`, `idle` or `held`.
    cause: &'static str,
    /// What was seen when it was raised.
    detail: String,
    raised_at: Time,
    /// Null: it still is so.
    recovered_at: Option<Time>,
}

impl From<SiteAlert> for AlertJson {
    fn from(alert: SiteAlert) -> Self {
        Self {
            id: alert.id,
            cause: alert.cause.as_str(),
            detail: alert.detail,
            raised_at: Time(alert.raised_at),
            recovered_at: alert.recovered_at.map(Time),
        }
    }
}

/// Lists what was wrong with a site, newest first.
#[utoipa::path(get, path = "/v1/sites/{site}/alerts", tag = "sites", params(("site" = String, Path), Paging),
    responses((status = 200, body = Listing<AlertJson>)))]
async fn alerts(
    caller: Caller<Read>,
    TextRef(slug): TextRef,
    params: Params,
) -> Result<Answer<Listing<AlertJson>>, Problem> {
    let site = find(&caller, &slug).await?;
    let listed = caller.scope().site_alerts(&site, &params.page()?).await?;
    Ok(Answer(Listing::of(listed, AlertJson::from)))
}
