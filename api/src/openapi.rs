//! All routes together, and the document that is made from them.

use axum::{
    Router,
    body::Bytes,
    http::header,
    response::Html,
    routing::{any, get},
};
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, Object, RefOr, ResponseBuilder, Schema,
        path::{Operation, PathItem},
        schema::ComponentsBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    browser_inbox, context, dead_letters, endpoints, events, failures, inbox, jobs, lanes, notification_types,
    notifications, operations, push, recipients, sites, state::ApiState, suppressions, tenants, tokens, topics,
    unsubscribe,
};

const DOCS: &str = include_str!("docs.html");
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(title = "Postrider", description = "Background jobs and webhook delivery that loses nothing."),
    components(schemas(crate::problem::ProblemBody, crate::problem::Fault))
)]
struct Document;

/// The schema of all that a body may say, changed to what one call takes of it.
pub(crate) fn changed<Given: utoipa::PartialSchema>(change: impl FnOnce(&mut Object)) -> RefOr<Schema> {
    let mut schema = Given::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        change(object);
    }
    schema
}

/// The API: `/v1`, `/openapi.json` and `/docs`.
///
/// To be merged with other routers and put into [`crate::surrounded`].
pub fn router(state: ApiState) -> Router {
    let (routes, document) = documented().split_for_parts();
    let routes = routes.merge(unsubscribe::router());
    let document = Bytes::from(document.to_json().unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    routes
        .route("/openapi.json", get(move || async move { (json, document) }))
        .route("/docs", get(async || Html(DOCS)))
        .route("/v1", any(context::not_found))
        .route("/v1/", any(context::not_found))
        .route("/v1/{*rest}", any(context::not_found))
        .with_state(state)
}

fn documented() -> OpenApiRouter<ApiState> {
    let mut router = OpenApiRouter::with_openapi(Document::openapi())
        .merge(tenants::router())
        .merge(tokens::router())
        .merge(endpoints::router())
        .merge(events::router())
        .merge(jobs::router())
        .merge(lanes::router())
        .merge(dead_letters::router())
        .merge(operations::router())
        .merge(failures::router())
        .merge(sites::router())
        .merge(inbox::router())
        .merge(browser_inbox::router())
        .merge(notifications::router())
        .merge(push::router())
        .merge(recipients::router())
        .merge(topics::router())
        .merge(suppressions::router())
        .merge(notification_types::router());
    let document = router.get_openapi_mut();
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = document.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
    document.components = Some(ComponentsBuilder::from(components).security_scheme(BEARER, scheme).build());
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    for item in document.paths.paths.values_mut() {
        for operation in operations_of(item) {
            finish(operation);
        }
    }
    router
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// What holds for every call: an id of its own, and that it may answer with a problem.
fn finish(operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first()).map(|tag| tag.replace(' ', "_"));
    let name = operation.operation_id.take().unwrap_or_default();
    operation.operation_id = Some(format!("{}_{name}", tag.unwrap_or_default()));
    let content = ContentBuilder::new().schema(Some(utoipa::openapi::Ref::from_schema_name("Problem"))).build();
    let problem =
        ResponseBuilder::new().description("A problem (RFC 9457)").content("application/problem+json", content);
    operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.build()));
}
