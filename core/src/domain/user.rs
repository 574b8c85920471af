//! People who use the dashboard, and what they may do there.

use std::{fmt, net::IpAddr, str::FromStr};

use super::{Id, UnixMs, id::Identified, tenant::Tenant};

/// Somebody who signs in to the dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: Id<User>,
    pub name: UserName,
    pub role: UserRole,
    pub reach: Reach,
    /// When the password was set.
    pub password_at: UnixMs,
    pub created_at: UnixMs,
}

impl Identified for User {
    const PREFIX: &'static str = "usr";
}

/// The tenants that somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them, also those that are made later.
    Every,
    /// By id, in their order.
    Some(Vec<Id<Tenant>>),
}

impl Reach {
    #[must_use]
    pub fn includes(&self, tenant: Id<Tenant>) -> bool {
        match self {
            Self::Every => true,
            Self::Some(tenants) => tenants.contains(&tenant),
        }
    }

    /// Whether somebody who sees this may decide about somebody who sees `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Every, _) => true,
            (Self::Some(_), Self::Every) => false,
            (Self::Some(own), Self::Some(other)) => other.iter().all(|tenant| own.contains(tenant)),
        }
    }
}

/// What a user signs in with: 1 to 64 of `a-z`, `0-9` and `.-_@+`. Letters are kept in lower case, so that `Ada` and
/// `ada` are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

/// A text that is no user's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user's name is 1 to 64 characters of a-z, 0-9 and .-_@+, an address for mail for example")]
pub struct UserNameError;

impl UserName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = UserNameError;
    fn from_str(text: &str) -> Result<Self, UserNameError> {
        let name = text.trim().to_ascii_lowercase();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@+".contains(&byte);
        // Of dots alone it would be no part of an address.
        let has_letters = name.bytes().any(|byte| byte != b'.');
        match (1..=64).contains(&name.len()) && name.bytes().all(known) && has_letters {
            true => Ok(Self(name)),
            false => Err(UserNameError),
        }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a user may do with the tenants in reach. Each role may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserRole {
    /// Sees everything but tokens.
    Viewer,
    /// Replays, discards, pauses, changes endpoints.
    Operator,
    /// Users and tokens too.
    Admin,
}

impl UserRole {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether this one may do what asks for `role`.
    #[must_use]
    pub fn may(self, role: Self) -> bool {
        self >= role
    }
}

impl FromStr for UserRole {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not a user's role: viewer, operator or admin"))
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who acts, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub name: UserName,
    pub address: IpAddr,
}

/// Characters of a password. A minimum, no rules of composition (NIST SP 800-63B, section 3.1.1.2); the maximum keeps
/// hashing bounded.
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 12..=256;

/// # Errors
/// When the password is too short or too long; reads on from "the password".
pub fn judge_password(password: &str) -> Result<(), String> {
    let (min, max) = PASSWORD_CHARS.into_inner();
    match password.chars().count() {
        count if count < min => Err(format!("has {count} characters; it needs at least {min}")),
        count if count > max => Err(format!("has {count} characters; it may have {max}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_decides_about_somebody_who_sees_more() {
        let [a, b] = [Id::new(), Id::new()];
        let of = |tenants: &[Id<Tenant>]| Reach::Some(tenants.to_vec());
        assert!(Reach::Every.covers(&Reach::Every) && of(&[a, b]).covers(&of(&[b])));
        assert!(!of(&[a]).covers(&Reach::Every) && !of(&[a]).covers(&of(&[a, b])));
    }

    #[test]
    fn a_name_is_the_same_however_its_letters_are_written() {
        assert_eq!(" Ada@Example.COM ".parse::<UserName>().unwrap().as_str(), "ada@example.com");
        for bad in ["", " ", ".", "..", "a b", "ä", "a\u{0}", &"a".repeat(65)] {
            assert_eq!(bad.parse::<UserName>(), Err(UserNameError), "{bad:?}");
        }
    }

    #[test]
    fn a_role_may_what_those_before_it_may() {
        use UserRole::{Admin, Operator, Viewer};
        let may = |role: UserRole| UserRole::ALL.map(|asked| role.may(asked));
        assert_eq!(
            [may(Viewer), may(Operator), may(Admin)],
            [[true, false, false], [true, true, false], [true, true, true]]
        );
        assert!("root".parse::<UserRole>().is_err());
    }

    #[test]
    fn a_password_has_a_length_and_no_other_rule() {
        assert_eq!(judge_password("correct horse"), Ok(()));
        assert!(judge_password("short").is_err() && judge_password(&"x".repeat(257)).is_err());
    }
}
