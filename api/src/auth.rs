//! Who calls, for which tenant, and what they may do. Handlers get a [`Caller`], which cannot be had without a check.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use moka::future::Cache;
use postrider_core::{
    domain::{
        Id, UnixMs,
        rate::RateMark,
        tenant::{Right, Role, Tenant, TenantSlug, Token},
        token_text::token_hash,
    },
    store::{Scope, StoreError},
};
use ring::hmac;

use crate::{
    header::only,
    problem::{Code, Problem},
    state::ApiState,
};

/// How long a token is believed without a look at SQL, so that a revoked one is out within two seconds.
const BELIEVED: Duration = Duration::from_secs(1);
/// Tokens, known and unknown, that are remembered.
const KNOWN_MAX: u64 = 10_000;
/// How long a token that is not used keeps its bucket, which is full long before.
const RATE_IDLE: Duration = Duration::from_secs(60);
const TOKEN_BYTES_MAX: usize = 512;
const TENANT_HEADER: &str = "Postrider-Tenant";
const AUTHORIZATION: &str = "Authorization";

type Hash = [u8; 32];

/// Knows tokens for a second, and how fast each calls.
pub(crate) struct Gatekeeper {
    /// Compared in constant time, by a tag under a key that only this process knows.
    administrator: Option<(hmac::Key, hmac::Tag)>,
    known: Cache<Hash, Option<Arc<Token>>>,
    rates: Cache<Hash, Arc<Mutex<RateMark>>>,
    rate_per_second: u32,
    started: Instant,
}

/// Who holds a token.
enum Holder {
    Administrator,
    Member { tenant: Id<Tenant>, role: Role },
}

impl Gatekeeper {
    pub(crate) fn new(admin_token: Option<&str>, rate_per_second: u32) -> Self {
        let tagged = |text: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
            let tag = hmac::sign(&key, text.as_bytes());
            (key, tag)
        };
        Self {
            administrator: admin_token.filter(|text| !text.is_empty()).map(tagged),
            known: Cache::builder().max_capacity(KNOWN_MAX).time_to_live(BELIEVED).build(),
            rates: Cache::builder().max_capacity(KNOWN_MAX).time_to_idle(RATE_IDLE).build(),
            rate_per_second,
            started: Instant::now(),
        }
    }

    async fn holder(&self, api: &ApiState, text: &str) -> Result<Holder, Problem> {
        let hash = token_hash(text);
        let configured = self.administrator.as_ref();
        if configured.is_some_and(|(key, tag)| hmac::verify(key, text.as_bytes(), tag.as_ref()).is_ok()) {
            self.spend(hash).await?;
            return Ok(Holder::Administrator);
        }
        let load = async { Ok::<_, StoreError>(api.store().token_by_hash(&hash).await?.map(Arc::new)) };
        let known = self.known.try_get_with(hash, load).await.map_err(|error| Problem::from(error.as_ref()))?;
        let token = known.ok_or_else(|| Problem::new(Code::TokenInvalid, "this token is unknown or was revoked"))?;
        if token.expires_at.is_some_and(|end| end <= UnixMs::now()) {
            return Err(Problem::new(Code::TokenExpired, "this token has expired; ask for a new one"));
        }
        self.spend(hash).await?;
        let tenant = token.tenant_id;
        Ok(token.role.map_or(Holder::Administrator, |role| Holder::Member { tenant, role }))
    }

    async fn spend(&self, hash: Hash) -> Result<(), Problem> {
        if self.rate_per_second == 0 {
            return Ok(());
        }
        let mark = self.rates.get_with(hash, async { Arc::default() }).await;
        let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
        let now_us = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        // A whole second's calls may come at once: callers work in bursts.
        let next_us = mark.next_us(self.rate_per_second, self.rate_per_second);
        if next_us > now_us {
            return Err(Problem::too_many_requests(Duration::from_micros((next_us - now_us).unsigned_abs())));
        }
        *mark = mark.spend(self.rate_per_second, now_us);
        Ok(())
    }
}

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper").finish_non_exhaustive()
    }
}

/// What a call asks of its caller; `None` asks for the administrator.
pub(crate) trait Needs: Send + Sync + 'static {
    const RIGHT: Option<Right>;
}

macro_rules! needs {
    ($($name:ident => $right:expr),+ $(,)?) => {
        $(
            #[derive(Debug)]
            pub(crate) struct $name;
            impl Needs for $name {
                const RIGHT: Option<Right> = $right;
            }
        )+
    };
}

needs! {
    Administer => None,
    ManageTokens => Some(Right::ManageTokens),
    Operate => Some(Right::Operate),
    Publish => Some(Right::Publish),
    ReadPublished => Some(Right::ReadPublished),
    Read => Some(Right::Read),
}

/// Somebody who may do what `N` needs, within one tenant.
#[derive(Debug)]
pub(crate) struct Caller<N> {
    pub(crate) api: ApiState,
    pub(crate) tenant: Id<Tenant>,
    needs: PhantomData<N>,
}

impl<N> Caller<N> {
    /// The tenant's rows.
    pub(crate) fn scope(&self) -> Scope<'_> {
        self.api.store().tenant(self.tenant)
    }
}

impl<N: Needs> FromRequestParts<ApiState> for Caller<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let holder = api.gatekeeper().holder(api, bearer(&parts.headers)?).await?;
        let may = match (&holder, N::RIGHT) {
            (Holder::Administrator, _) => true,
            (Holder::Member { role, .. }, Some(right)) => role.may(right),
            (Holder::Member { .. }, None) => false,
        };
        if !may {
            let detail = match holder {
                Holder::Member { role, .. } if N::RIGHT.is_some() => {
                    format!("a token of the role {} may not do this", role.as_str())
                }
                _ => "only the installation's administrator may do this".to_owned(),
            };
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let tenant = tenant(api, &holder, &parts.headers).await?;
        Ok(Self { api: api.clone(), tenant, needs: PhantomData })
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing =
        || Problem::new(Code::TokenMissing, "send the token in the header Authorization as Bearer and the token");
    let twice = |_| Problem::new(Code::TokenInvalid, "there are two headers Authorization; send one");
    let header = only(headers, AUTHORIZATION).map_err(twice)?.ok_or_else(missing)?;
    let header = header.to_str().map_err(|_| missing())?;
    let (scheme, text) = header.split_once(' ').ok_or_else(missing)?;
    let text = text.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || text.is_empty() {
        return Err(missing());
    }
    if text.len() > TOKEN_BYTES_MAX {
        return Err(Problem::new(Code::TokenInvalid, "this is too long to be a token"));
    }
    Ok(text)
}

/// The tenant to act for: the token's own, or for the administrator the one that is named.
async fn tenant(api: &ApiState, holder: &Holder, headers: &HeaderMap) -> Result<Id<Tenant>, Problem> {
    let named = only(headers, TENANT_HEADER)?.map(|slug| slug.to_str().unwrap_or_default());
    let found = match named {
        None => None,
        Some(slug) => match slug.parse::<TenantSlug>() {
            Ok(slug) => api.store().tenant_by_slug(&slug).await?.map(|tenant| tenant.id),
            Err(_) => None,
        },
    };
    match (holder, named) {
        (Holder::Member { tenant, .. }, None) => Ok(*tenant),
        (Holder::Member { tenant, .. }, Some(_)) if found == Some(*tenant) => Ok(*tenant),
        (Holder::Member { .. }, Some(_)) => {
            Err(Problem::new(Code::Forbidden, "this token is of another tenant than Postrider-Tenant names"))
        }
        (Holder::Administrator, None) => Ok(api.settings().administrator_tenant),
        (Holder::Administrator, Some(slug)) => found.ok_or_else(|| {
            let slug: String = slug.chars().take(64).collect();
            Problem::new(Code::UnknownTenant, format_args!("there is no tenant {slug:?}; GET /v1/tenants lists them"))
        }),
    }
}
