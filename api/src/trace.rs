//! The trace that a request's work belongs to: what its headers say of it, and this side's step of it.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use postrider_core::{domain::trace::TraceContext, trace::Step};
use utoipa::{
    IntoParams,
    openapi::{
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
    },
};

use crate::state::ApiState;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// The step of handing in, which begins when the request's headers are read.
#[derive(Debug)]
pub(crate) struct Traced(pub(crate) Step);

impl Traced {
    /// What the work is carried under.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.0.context().cloned()
    }
}

/// Headers that cannot be read are no fault of a request's (§3.2): it is as if they had not come.
impl FromRequestParts<ApiState> for Traced {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Infallible> {
        Ok(Self(api.tracer().hand_in(given(&parts.headers))))
    }
}

fn given(headers: &HeaderMap) -> Option<TraceContext> {
    let values = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>();
    headers.contains_key(PARENT).then(|| TraceContext::of_headers(&values(PARENT), &values(STATE))).flatten()
}

impl IntoParams for Traced {
    fn into_params(_place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let header = |name, words| {
            let text = ObjectBuilder::new().schema_type(Type::String).build();
            let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
            header.description(Some(words)).schema(Some(text)).build()
        };
        vec![
            header(PARENT, "W3C Trace Context: the span that this is a child of. It is passed on to the receivers."),
            header(STATE, "W3C Trace Context: passed on to the receivers, 512 bytes of it at most."),
        ]
    }
}
