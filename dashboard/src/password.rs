//! Passwords as Argon2id hashes, with the parameters that OWASP's Password Storage Cheat Sheet names first (19 MiB, two
//! passes, one lane). Owns how many are computed at the same time.

use std::sync::Arc;

use argon2::{
    Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _,
    password_hash::{Salt, SaltString},
};
use tokio::{sync::Semaphore, task::JoinError};

/// Hashes that are computed at the same time; each takes 19 MiB and most of a core for a moment.
const AT_ONCE_MAX: usize = 2;

/// A password could not be hashed, which no password can cause.
#[derive(Debug)]
pub struct HashError(String);

impl std::fmt::Display for HashError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the password cannot be hashed: {}", self.0)
    }
}

impl std::error::Error for HashError {}

/// The hash of a password, in the string format of PHC.
///
/// # Errors
/// When the machine does not give the memory.
pub fn password_hash(password: &str) -> Result<String, HashError> {
    let random: [u8; Salt::RECOMMENDED_LENGTH] = rand::random();
    let salt = SaltString::encode_b64(&random).map_err(|error| HashError(error.to_string()))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|error| HashError(error.to_string()))
}

fn is_right(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

/// Computes hashes away from the threads that serve.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    /// What a name that nobody has is compared with, so that it takes as long as one that somebody has.
    nobody: Arc<str>,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, HashError> {
        let nobody = password_hash(&format!("{:032x}", rand::random::<u128>()))?;
        Ok(Self { places: Arc::new(Semaphore::new(AT_ONCE_MAX)), nobody: nobody.into() })
    }

    pub(crate) async fn hash(&self, password: String) -> Result<String, HashError> {
        self.aside(move || password_hash(&password)).await.map_err(|error| HashError(error.to_string()))?
    }

    /// Whether a password is the one of a hash; never where there is none.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> bool {
        let (known, hash) = (hash.is_some(), hash.unwrap_or_else(|| self.nobody.to_string()));
        let right = self.aside(move || is_right(&password, &hash)).await;
        known && right.unwrap_or(false)
    }

    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        // Nobody closes it, and without a place the work would only be less bounded.
        let _place = self.places.acquire().await;
        tokio::task::spawn_blocking(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_somebody_is_right() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await);
        for (password, hash) in [("correct hors", Some(hash)), ("x", Some("no hash".to_owned())), ("x", None)] {
            assert!(!passwords.verify(password.to_owned(), hash).await);
        }
    }
}
