//! `/v1/sites/{site}/quarantine`: translations that are not published, and why.

use axum::Json as Answer;
use postrider_core::store::{Quarantine, QuarantinePage};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Read},
    page::{Listing, Paging, Params, write_keys_cursor},
    path::TextRef,
    problem::Problem,
    sites::find,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(quarantine))
}

/// A translation that is not published. All others of its page are. What to do next: hand its page in again with what `reason`
/// asks for (`PUT /v1/sites/{site}/pages/{key}`), or remove the translation
/// (`DELETE /v1/sites/{site}/pages/{key}/translations/{locale}`); it leaves the list with either.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteQuarantine)]
pub(crate) struct QuarantineJson {
    key: String,
    /// As it was handed in: it may be none of the site's.
    locale: String,
    /// Which member of the translation is at fault.
    field: String,
    reason: String,
    since: Time,
}

impl From<Quarantine> for QuarantineJson {
    fn from(one: Quarantine) -> Self {
        let Quarantine { key, locale, field, reason, since } = one;
        Self { key, locale, field, reason, since: Time(since) }
    }
}

/// Lists translations that are not published, by key and locale. No two translations of a locale have the same address in one
/// sitemap: the page that was published first keeps it, and the other one is here, once its sitemap was to be made. A page of
/// the list that is shorter than its limit and has a `next_cursor` goes on with it.
#[utoipa::path(get, path = "/v1/sites/{site}/quarantine", tag = "sites", params(("site" = String, Path),
    ("locale" = Option<String>, Query), ("field" = Option<String>, Query, description = "As in `url` or `published_at`."), Paging),
    responses((status = 200, body = Listing<QuarantineJson>)))]
async fn quarantine(
    caller: Caller<Read>,
    TextRef(slug): TextRef,
    mut params: Params,
) -> Result<Answer<Listing<QuarantineJson>>, Problem> {
    let site = find(&caller, &slug).await?;
    let (locale, field) = (params.text("locale"), params.text("field"));
    let (after, limit) = params.keys_page::<2>()?;
    let page = QuarantinePage { locale, field, after, limit };
    let (found, next) = caller.scope().quarantined(&site, &page).await?;
    let next_cursor = next.map(|[key, locale]| write_keys_cursor([&key, &locale]));
    Ok(Answer(Listing { data: found.into_iter().map(QuarantineJson::from).collect(), next_cursor }))
}
