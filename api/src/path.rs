//! Ids and keys in paths. A text that is no id of the noun names nothing, so it is 404 like an unknown id.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use postrider_core::domain::{Id, email::EmailAddress, id::Identified, recipient::RecipientKey};

use crate::problem::{Code, Problem};

/// What is said of a body whose key is not the path's.
pub(crate) const ANOTHER_KEY: &str = "it is another key than the path's; leave it out";

/// The typed id in a path.
#[derive(Debug)]
pub(crate) struct Ref<T>(pub(crate) Id<T>);

/// The text in a path, for ids that publishers choose.
#[derive(Debug)]
pub(crate) struct TextRef(pub(crate) String);

/// The key in a path, which its owner has chosen; a text that can be none is refused by what it should be.
#[derive(Debug)]
pub(crate) struct Key<T>(pub(crate) T);

/// An e-mail address in a path.
#[derive(Debug)]
pub(crate) struct Address(pub(crate) EmailAddress);

/// The key of somebody at a place that another key names.
#[derive(Debug)]
pub(crate) struct RecipientAt<T>(pub(crate) T, pub(crate) RecipientKey);

/// What somebody has, by its id.
#[derive(Debug)]
pub(crate) struct OfRecipient<T>(pub(crate) RecipientKey, pub(crate) Id<T>);

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for Key<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let TextRef(text) = TextRef::from_request_parts(parts, state).await?;
        parsed("key", &text).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let TextRef(text) = TextRef::from_request_parts(parts, state).await?;
        parsed("address", &text).map(Self)
    }
}

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for RecipientAt<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((key, recipient)) = path.map_err(|_| not_understood())?;
        Ok(Self(parsed("key", &key)?, parsed("recipient", &recipient)?))
    }
}

impl<T: Identified, S: Send + Sync> FromRequestParts<S> for OfRecipient<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((key, id)) = path.map_err(|_| not_understood())?;
        let id = id.parse().map_err(|error| Problem::new(Code::NotFound, error))?;
        Ok(Self(parsed("key", &key)?, id))
    }
}

fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::of_parameter(Code::BadParameter, name, error))
}

fn not_understood() -> Problem {
    Problem::new(Code::NotFound, "the path is not understood")
}

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
        path.map(|Path(text)| Self(text)).map_err(|_| not_understood())
    }
}
