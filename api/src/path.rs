//! Ids in paths. A text that is no id of the noun names nothing, so it is 404 like an unknown id.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use postrider_core::domain::{Id, id::Identified};

use crate::problem::{Code, Problem};

/// The typed id in a path.
#[derive(Debug)]
pub(crate) struct Ref<T>(pub(crate) Id<T>);

/// The text in a path, for ids that publishers choose.
#[derive(Debug)]
pub(crate) struct TextRef(pub(crate) String);

impl<T: Identified, S: Send + Sync> FromRequestParts<S> for Ref<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let TextRef(text) = TextRef::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|error| Problem::new(Code::NotFound, error))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TextRef {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|_| Problem::new(Code::NotFound, "the path is not understood"))
    }
}
