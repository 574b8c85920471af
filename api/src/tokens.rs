//! `/v1/tokens`: a tenant's tokens. Their texts are shown once.

use axum::{Json as Answer, http::StatusCode, response::Response};
use postrider_core::domain::{
    Id, UnixMs,
    tenant::{Role, Token},
    token_text::TokenText,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, ManageTokens},
    json::Json,
    page::{Listing, Paging, Params},
    path::Ref,
    problem::{Faults, Problem},
    state::ApiState,
    tenants::check_name,
    wire::{Time, created},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// A token without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenJson {
    #[schema(value_type = String)]
    id: Id<Token>,
    name: String,
    /// `admin`, `publisher`, `operator` or `viewer`.
    role: Option<&'static str>,
    expires_at: Option<Time>,
    created_at: Time,
    /// The text to be sent as `Authorization: Bearer …`; in the answer that creates it only.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<Token> for TokenJson {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role.map(Role::as_str),
            expires_at: token.expires_at.map(Time),
            created_at: Time(token.created_at),
            token: None,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    name: String,
    /// `admin`, `publisher`, `operator` or `viewer`.
    role: String,
    /// Absent: never.
    #[schema(value_type = Option<Time>)]
    expires_at: Option<String>,
}

/// Creates a token. Its text is in this answer only.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = TokenJson)))]
async fn create(caller: Caller<ManageTokens>, Json(request): Json<NewToken>) -> Result<Response, Problem> {
    let now = UnixMs::now();
    let mut faults = Faults::default();
    check_name(&mut faults, &request.name);
    let role = faults.keep("/role", request.role.parse::<Role>());
    let expires_at = request.expires_at.as_deref().and_then(|text| faults.keep("/expires_at", UnixMs::parse(text)));
    faults.check("/expires_at", expires_at.is_none_or(|end| end > now), "a token expires after now");
    faults.result()?;
    let text = TokenText::from_random(rand::random());
    let token =
        Token { id: Id::new(), tenant_id: caller.tenant, name: request.name, role, expires_at, created_at: now };
    caller.scope().create_token(&token, &text.hash()).await?;
    Ok(created(TokenJson { token: Some(text.reveal().to_owned()), ..token.into() }))
}

/// Lists tokens without their texts, newest first.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens",
    params(Paging),
    responses((status = 200, body = Listing<TokenJson>)))]
async fn list(caller: Caller<ManageTokens>, params: Params) -> Result<Answer<Listing<TokenJson>>, Problem> {
    let listed = caller.scope().tokens(&params.page()?).await?;
    Ok(Answer(Listing::of(listed, TokenJson::from)))
}

/// Revokes a token. It is refused everywhere within two seconds.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204)))]
async fn revoke(caller: Caller<ManageTokens>, Ref(id): Ref<Token>) -> Result<StatusCode, Problem> {
    match caller.scope().revoke_token(id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("token")),
    }
}
