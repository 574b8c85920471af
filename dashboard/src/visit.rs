//! Who asks for a page, of which tenant, and by which right.

use std::net::{IpAddr, SocketAddr};

use axum::{
    body::{Body as RequestBody, to_bytes},
    extract::{ConnectInfo, FromRequest, FromRequestParts, OriginalUri, RawPathParams, Request},
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;
use postrider_core::{
    domain::{
        UnixMs,
        redaction::without_query_values,
        tenant::Tenant,
        user::{Actor, User, UserName, UserRole},
    },
    store::{Scope, StoreError},
};

use crate::{
    Dashboard, again,
    body::Body,
    fields::Fields,
    page::Refusal,
    refusal::Seat,
    session::{Session, is_from_here},
};

/// A form's body at most: with a payload, written as a form writes it; with what else somebody sends who is signed in; a
/// name and a password of anybody.
const PAYLOAD_FORM_BYTES_MAX: usize = 4 * 1024 * 1024;
const FORM_BYTES_MAX: usize = 64 * 1024;
pub(crate) const SMALL_FORM_BYTES_MAX: usize = 16 * 1024;

/// Somebody who is signed in, at a tenant's page.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) dashboard: Dashboard,
    pub(crate) session: Session,
    /// A proxy says who it is, so that there is no session of our own.
    pub(crate) proxied: bool,
    pub(crate) user: User,
    pub(crate) actor: Actor,
    pub(crate) tenant: Tenant,
    /// Those that the user may see.
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) now: UnixMs,
    /// What stands behind the path.
    pub(crate) query: Fields,
    /// It is shown in the place of what a form would have done, whose session was over.
    pub(crate) after_form: bool,
    /// What the path names among the tenant's things: an id or a name.
    pub(crate) subject: Option<String>,
}

impl Visit {
    /// The tenant's rows; what is changed through it is noted as the user's doing.
    pub(crate) fn scope(&self) -> Scope<'_> {
        self.dashboard.store.tenant(self.tenant.id).acting(&self.actor)
    }

    pub(crate) fn may(&self, role: UserRole) -> bool {
        self.user.role.may(role)
    }

    /// A payload as whoever looks may see it.
    pub(crate) fn body(&self, bytes: &[u8]) -> Body {
        match self.sees_all() {
            true => Body::of(String::from_utf8_lossy(bytes).into_owned(), bytes.len()),
            false => Body::of(self.dashboard.settings.redaction.apply(bytes).into_owned(), bytes.len()),
        }
    }

    /// What a receiver answered. It may repeat any of a payload, so nobody sees it who does not see all of payloads.
    pub(crate) fn answer(&self, text: &str) -> Body {
        match self.sees_all() {
            true => Body::of_text(text.to_owned()),
            false => Body::of("(hidden: an answer may repeat what is hidden of payloads)".to_owned(), text.len()),
        }
    }

    /// An address as whoever looks may see it: what its query says lets whoever knows it in, as often as not.
    pub(crate) fn url(&self, url: &str) -> String {
        match self.may(UserRole::Operator) {
            true => url.to_owned(),
            false => without_query_values(url),
        }
    }

    /// Whether who asked is still signed in, and still sees this tenant. Looking does not prolong the session.
    pub(crate) async fn goes_on(&self) -> Result<bool, StoreError> {
        let store = &self.dashboard.store;
        let user = match self.proxied {
            true => store.user(&self.user.name).await?,
            false => store.session_user(&self.session.hash(), UnixMs::now()).await?,
        };
        Ok(user.is_some_and(|user| user.reach.includes(self.tenant.id)))
    }

    /// Whether nothing of payloads is hidden from whoever looks.
    pub(crate) fn sees_all(&self) -> bool {
        self.may(UserRole::Operator) || self.dashboard.settings.redaction.is_empty()
    }
}

impl FromRequestParts<Dashboard> for Visit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Refusal> {
        let now = UnixMs::now();
        let SignedIn { session, user, proxied } = signed_in(parts, dashboard, now).await?;
        let (slug, subject, unreadable) = named(parts, dashboard).await?;
        let tenants = dashboard.store.tenants_in_reach(&user.reach).await?;
        let found = tenants.iter().find(|tenant| tenant.slug.as_str() == slug).cloned();
        let is_found = found.is_some();
        // Whoever asks for another tenant is told so within the first of their own.
        let tenant = found.or_else(|| tenants.first().cloned()).ok_or(Refusal::NotFound("tenant"))?;
        let address = client_address(parts, &dashboard.settings.trusted_proxies);
        let (query, refused) = match Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            Ok(query) => (query, None),
            Err(refusal) => (Fields::default(), Some(refusal)),
        };
        let (query, after_form) = again::split(query);
        let visit = Self {
            dashboard: dashboard.clone(),
            actor: Actor { name: user.name.clone(), address },
            session,
            proxied,
            user,
            tenant,
            tenants,
            now,
            query,
            after_form,
            subject: if is_found { subject } else { Some(slug) },
        };
        if let Some(seat) = parts.extensions.get::<Seat>() {
            seat.take(&visit);
        }
        match refused.or(unreadable) {
            Some(refusal) => Err(refusal),
            None if is_found => Ok(visit),
            None => Err(Refusal::NotFound("tenant")),
        }
    }
}

/// A form that an operator sent from a page of this session.
pub(crate) struct Deed {
    pub(crate) visit: Visit,
    pub(crate) fields: Fields,
}

impl Deed {
    /// Refuses where the user's role may not do this.
    pub(crate) fn needs(&self, role: UserRole) -> Result<(), Refusal> {
        if self.visit.may(role) { Ok(()) } else { Err(Refusal::Role(role)) }
    }
}

impl FromRequest<Dashboard> for Deed {
    type Rejection = Refusal;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Refusal> {
        deed(request, dashboard, FORM_BYTES_MAX).await
    }
}

/// A [`Deed`] whose form may bring a payload.
pub(crate) struct PayloadDeed(pub(crate) Deed);

impl FromRequest<Dashboard> for PayloadDeed {
    type Rejection = Refusal;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Refusal> {
        deed(request, dashboard, PAYLOAD_FORM_BYTES_MAX).await.map(Self)
    }
}

async fn deed(request: Request, dashboard: &Dashboard, bytes_max: usize) -> Result<Deed, Refusal> {
    let (mut parts, body) = request.into_parts();
    let visit = Visit::from_request_parts(&mut parts, dashboard).await?;
    if !visit.may(UserRole::Operator) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let fields = form(dashboard, &parts.headers, body, bytes_max).await?;
    match fields.raw("token").is_some_and(|token| visit.session.is_form_token(token)) {
        true => Ok(Deed { visit, fields }),
        false => Err(Refusal::Forged),
    }
}

/// The fields of a form that a page of this host sent.
pub(crate) async fn form(
    dashboard: &Dashboard,
    headers: &HeaderMap,
    body: RequestBody,
    bytes_max: usize,
) -> Result<Fields, Refusal> {
    if !is_from_here(headers, dashboard.settings.public_origin.as_deref()) {
        return Err(Refusal::Forged);
    }
    let bytes = to_bytes(body, bytes_max).await;
    let bytes = bytes.map_err(|_| {
        Refusal::Bad(format!("The form is cut off, or has more than {bytes_max} bytes. Go back and shorten it."))
    })?;
    Fields::parse(&bytes)
}

/// Who asks, and how that is known.
pub(crate) struct SignedIn {
    session: Session,
    pub(crate) user: User,
    proxied: bool,
}

/// Who a request's session belongs to.
pub(crate) async fn signed_in(parts: &Parts, dashboard: &Dashboard, now: UnixMs) -> Result<SignedIn, Refusal> {
    // A nested route's own address lacks what it is nested in.
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let next = || Refusal::SignIn { next: again::after_sign_in(parts, path) };
    if let Some(proxied) = signed_in_at_proxy(parts, dashboard).await? {
        return Ok(proxied);
    }
    let session = Session::of(&parts.headers, dashboard.settings.tls).ok_or_else(next)?;
    let user = dashboard.store.session(&session.hash(), now).await?.ok_or_else(next)?;
    Ok(SignedIn { session, user, proxied: false })
}

/// Whom a trusted proxy names. Forms are bound to the name, since there is no session of our own.
pub(crate) async fn signed_in_at_proxy(parts: &Parts, dashboard: &Dashboard) -> Result<Option<SignedIn>, Refusal> {
    let Some(header) = &dashboard.settings.proxy_user_header else { return Ok(None) };
    if !dashboard.settings.trusted_proxies.iter().any(|network| network.contains(&connected(parts))) {
        return Ok(None);
    }
    let mut names = parts.headers.get_all(header.as_str()).iter();
    let (Some(name), None) = (names.next(), names.next()) else { return Ok(None) };
    let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
    let known = match name.parse::<UserName>() {
        Ok(name) => dashboard.store.user(&name).await?,
        Err(_) => None,
    };
    let user = known.ok_or(Refusal::UnknownToUs { name })?;
    let session = Session::of_key(&dashboard.store.proxied_user_key(&user.name));
    Ok(Some(SignedIn { session, user, proxied: true }))
}

/// The tenant's slug in the path, what else the path names, and why it names nothing.
async fn named(parts: &mut Parts, dashboard: &Dashboard) -> Result<(String, Option<String>, Option<Refusal>), Refusal> {
    let Ok(params) = RawPathParams::from_request_parts(parts, dashboard).await else {
        // It is no UTF-8. Whoever asks is told so within the tenant's pages.
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let slug = uri.path().split('/').nth(2).unwrap_or_default().to_owned();
        return Ok((slug, None, Some(Refusal::NotFound("page"))));
    };
    let slug = params.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value.to_owned());
    let other = params.iter().find(|(name, _)| *name != "tenant").map(|(_, value)| value.to_owned());
    Ok((slug.ok_or(Refusal::NotFound("page"))?, other, None))
}

fn connected(parts: &Parts) -> IpAddr {
    let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    connected.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip().to_canonical())
}

/// Where a request comes from: who is connected, or, where that is a trusted proxy, the last address that
/// `X-Forwarded-For` has which is none.
pub(crate) fn client_address(parts: &Parts, trusted: &[IpNet]) -> IpAddr {
    let connected = connected(parts);
    let is_proxy = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_proxy(&connected) {
        return connected;
    }
    let lines = parts.headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let named: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
    let mut last = connected;
    for name in named.iter().rev() {
        let Some(address) = address_in(name.trim()) else { break };
        last = address.to_canonical();
        if !is_proxy(&last) {
            break;
        }
    }
    last
}

/// An address as proxies write it: alone, in brackets, or with the port that it came from.
fn address_in(text: &str) -> Option<IpAddr> {
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let alone = in_brackets.unwrap_or(text).parse().ok();
    alone.or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed_where_a_request_comes_from() {
        let of = |peer: &str, forwarded: Option<&str>, trusted: &[&str]| {
            let mut request = Request::new(());
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
            if let Some(forwarded) = forwarded {
                request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
            }
            let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
            client_address(&request.into_parts().0, &trusted).to_string()
        };
        let proxies = ["10.0.0.0/8"];
        assert_eq!(of("192.0.2.9", Some("198.51.100.1"), &proxies), "192.0.2.9");
        assert_eq!(of("10.0.0.1", Some("203.0.113.7, 198.51.100.1, 10.0.0.2"), &proxies), "198.51.100.1");
        assert_eq!(of("10.0.0.1", Some("nonsense"), &proxies), "10.0.0.1");
        assert_eq!(of("10.0.0.1", Some("198.51.100.1:5555, 10.0.0.2:80"), &proxies), "198.51.100.1");
        for written in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(of("10.0.0.1", Some(written), &proxies), "2001:db8::1");
        }
        assert_eq!(of("::ffff:10.0.0.1", None, &[]), "10.0.0.1");
    }
}
