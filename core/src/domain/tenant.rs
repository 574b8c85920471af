//! Tenants, their tokens and the roles that tokens carry.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Id, UnixMs, id::Identified};

/// One customer of the installation; everything else belongs to exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub id: Id<Tenant>,
    pub slug: TenantSlug,
    pub name: String,
    pub created_at: UnixMs,
}

impl Identified for Tenant {
    const PREFIX: &'static str = "ten";
}

/// A tenant's short name in headers: 1 to 63 of `a-z`, `0-9` and `-`, not first or last a `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantSlug(String);

/// The tenant that every installation has.
pub const DEFAULT_TENANT: &str = "default";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a slug is 1 to 63 characters of a-z, 0-9 and -, and neither begins nor ends with -")]
pub struct SlugError;

impl TenantSlug {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantSlug {
    type Err = SlugError;
    fn from_str(text: &str) -> Result<Self, SlugError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits =
            (1..=63).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('-') && !text.ends_with('-');
        if fits { Ok(Self(text.to_owned())) } else { Err(SlugError) }
    }
}

impl TryFrom<String> for TenantSlug {
    type Error = SlugError;
    fn try_from(text: String) -> Result<Self, SlugError> {
        text.parse()
    }
}

impl From<TenantSlug> for String {
    fn from(slug: TenantSlug) -> Self {
        slug.0
    }
}

impl fmt::Display for TenantSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token may do within its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything of the tenant, its tokens included.
    Admin,
    /// Publishes events and jobs, and reads those.
    Publisher,
    /// Everything but tokens.
    Operator,
    /// Reads everything but tokens.
    Viewer,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Admin, Self::Publisher, Self::Operator, Self::Viewer];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Publisher => "publisher",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// Whether a token of this role may do what asks for `right`.
    #[must_use]
    pub const fn may(self, right: Right) -> bool {
        match right {
            Right::ManageTokens => matches!(self, Self::Admin),
            Right::Operate => matches!(self, Self::Admin | Self::Operator),
            Right::Publish => matches!(self, Self::Admin | Self::Operator | Self::Publisher),
            Right::ReadPublished => true,
            Right::Read => matches!(self, Self::Admin | Self::Operator | Self::Viewer),
        }
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a role: admin, publisher, operator or viewer"))
    }
}

/// What a call asks of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    ManageTokens,
    /// Change endpoints, pause, replay, discard, cancel.
    Operate,
    /// Hand in events and jobs.
    Publish,
    /// See events and jobs.
    ReadPublished,
    /// See everything else of the tenant.
    Read,
}

/// A token without its text, which is shown once and kept as a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: Id<Token>,
    pub tenant_id: Id<Tenant>,
    pub name: String,
    /// `None` for the installation's administrator, who may act for every tenant.
    pub role: Option<Role>,
    pub expires_at: Option<UnixMs>,
    pub created_at: UnixMs,
}

impl Identified for Token {
    const PREFIX: &'static str = "tok";
}
