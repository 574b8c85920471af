//! `/v1/tenants`: the administrator's own.

use axum::{Json as Answer, response::Response};
use postrider_core::domain::{
    Id, UnixMs,
    line::judge_line,
    tenant::{Tenant, TenantSlug},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Administer, Caller},
    json::Json,
    page::{Listing, Paging, Params},
    problem::{Faults, Problem},
    state::ApiState,
    wire::{Time, created},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list))
}

/// One customer of the installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct TenantJson {
    #[schema(value_type = String)]
    id: Id<Tenant>,
    slug: String,
    name: String,
    created_at: Time,
}

impl From<Tenant> for TenantJson {
    fn from(tenant: Tenant) -> Self {
        Self { id: tenant.id, slug: tenant.slug.into(), name: tenant.name, created_at: Time(tenant.created_at) }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// 1 to 63 of a-z, 0-9 and `-`; what `Postrider-Tenant` names.
    slug: String,
    name: String,
}

/// Creates a tenant.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, body = TenantJson)))]
async fn create(caller: Caller<Administer>, Json(request): Json<NewTenant>) -> Result<Response, Problem> {
    let mut faults = Faults::default();
    let slug = faults.keep("/slug", request.slug.parse::<TenantSlug>());
    check_name(&mut faults, &request.name);
    let Some(slug) = slug else { return Err(faults.problem()) };
    faults.result()?;
    let tenant = caller.api.store().create_tenant(&slug, &request.name, UnixMs::now()).await?;
    Ok(created(TenantJson::from(tenant)))
}

/// Lists tenants, newest first.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants",
    params(Paging),
    responses((status = 200, body = Listing<TenantJson>)))]
async fn list(caller: Caller<Administer>, params: Params) -> Result<Answer<Listing<TenantJson>>, Problem> {
    let listed = caller.api.store().tenants(&params.page()?).await?;
    Ok(Answer(Listing::of(listed, TenantJson::from)))
}

/// Notes a fault unless `text` is one line for people; `what` names it, as in "a name".
pub(crate) fn check_line(faults: &mut Faults, pointer: &str, what: &str, text: &str) {
    if let Err(refused) = judge_line(text) {
        faults.add(pointer, format_args!("{what} {refused}"));
    }
}

pub(crate) fn check_name(faults: &mut Faults, name: &str) {
    check_line(faults, "/name", "a name", name);
}
