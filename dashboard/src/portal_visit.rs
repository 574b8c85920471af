//! An integrator with a link: what its cookie grants, and the forms of its pages. A portal's cookie opens no page of
//! operators, and an operator's session none of the portal.

use std::time::Duration;

use axum::{
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postrider_core::{
    domain::{
        Id, UnixMs,
        endpoint::Endpoint,
        portal::PortalGrant,
        tenant::Tenant,
        user::{Actor, Reach},
    },
    store::{NoPortal, Scope},
};

use crate::{
    Dashboard,
    assets::STYLE_PATH,
    fields::Fields,
    moment::Moment,
    page::Refusal,
    portal_refusal::{PortalRefusal, PortalSeat},
    session::Session,
    visit::{SMALL_FORM_BYTES_MAX, client_address, form},
};

const COOKIE: &str = "postrider_portal";
/// Browsers take a cookie of such a name only over https (RFC 6265bis §4.1.3.1).
const COOKIE_OVER_TLS: &str = "__Secure-postrider_portal";
/// How long a browser keeps a link that has run out.
const KEPT_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Who acts, for the audit log.
const ACTOR: &str = "portal";

/// Somebody with a link, at a page of the portal.
pub(crate) struct Guest {
    pub(crate) dashboard: Dashboard,
    pub(crate) grant: PortalGrant,
    pub(crate) tenant: Tenant,
    pub(crate) now: UnixMs,
    pub(crate) query: Fields,
    session: Session,
    actor: Actor,
    endpoint: Option<String>,
}

/// A form that a guest sent from a page of the portal.
pub(crate) struct GuestDeed {
    pub(crate) guest: Guest,
    pub(crate) fields: Fields,
}

/// What stands around a page of the portal.
#[derive(Clone)]
pub(crate) struct PortalFrame {
    pub(crate) title: String,
    pub(crate) style: &'static str,
    /// Whose endpoints the link leads to, and until when; `None` where it leads nowhere.
    pub(crate) link: Option<(String, Moment)>,
    /// For the page's forms.
    pub(crate) token: String,
}

impl Guest {
    /// The tenant's rows; what is changed through it is noted as done through the portal.
    pub(crate) fn scope(&self) -> Scope<'_> {
        self.dashboard.store.tenant(self.tenant.id).acting(&self.actor)
    }

    pub(crate) fn frame(&self, title: impl Into<String>) -> PortalFrame {
        PortalFrame {
            title: title.into(),
            style: &STYLE_PATH,
            link: Some((self.tenant.name.clone(), Moment::of(self.grant.expires_at, self.now))),
            token: self.session.form_token(),
        }
    }

    /// The endpoint that the path names, as far as the link reaches it.
    pub(crate) async fn endpoint(&self) -> Result<Endpoint, PortalRefusal> {
        let missing = Refusal::NotFound("endpoint");
        let id = self.endpoint.as_deref().and_then(|id| id.parse::<Id<Endpoint>>().ok());
        let Some(id) = id.filter(|id| self.grant.reaches(*id)) else { return Err(missing.into()) };
        Ok(self.scope().endpoint(id).await?.ok_or(missing)?)
    }
}

impl FromRequestParts<Dashboard> for Guest {
    type Rejection = PortalRefusal;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, PortalRefusal> {
        let now = UnixMs::now();
        let text = cookie_text(&parts.headers, dashboard.settings.tls).ok_or(Refusal::NoPortal(NoPortal::Forged))?;
        // Behind the link stands what makes this browser's forms its own.
        let (link, _) = text.rsplit_once('.').ok_or(Refusal::NoPortal(NoPortal::Forged))?;
        let grant = dashboard.store.portal(link, now).await.map_err(Refusal::from)?;
        let tenants = dashboard.store.tenants_in_reach(&Reach::Some(vec![grant.tenant])).await?;
        let tenant = tenants.into_iter().next().ok_or(Refusal::NoPortal(NoPortal::Forged))?;
        let name = ACTOR.parse().map_err(|error| Refusal::Broken(format!("{ACTOR} is no name: {error}")))?;
        let address = client_address(parts, &dashboard.settings.trusted_proxies);
        let params = RawPathParams::from_request_parts(parts, dashboard).await.ok();
        let endpoint = params.as_ref().and_then(|params| params.iter().find(|(name, _)| *name == "endpoint"));
        let (query, refused) = match Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            Ok(query) => (query, None),
            Err(refusal) => (Fields::default(), Some(refusal)),
        };
        let guest = Self {
            dashboard: dashboard.clone(),
            session: Session::of_key(&text),
            actor: Actor { name, address },
            endpoint: endpoint.map(|(_, id)| id.to_owned()),
            query,
            grant,
            tenant,
            now,
        };
        if let Some(seat) = parts.extensions.get::<PortalSeat>() {
            seat.take(&guest);
        }
        match refused {
            Some(refusal) => Err(refusal.into()),
            None => Ok(guest),
        }
    }
}

impl FromRequest<Dashboard> for GuestDeed {
    type Rejection = PortalRefusal;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, PortalRefusal> {
        let (mut parts, body) = request.into_parts();
        let guest = Guest::from_request_parts(&mut parts, dashboard).await?;
        let fields = form(dashboard, &parts.headers, body, SMALL_FORM_BYTES_MAX).await?;
        match fields.raw("token").is_some_and(|token| guest.session.is_form_token(token)) {
            true => Ok(Self { guest, fields }),
            false => Err(Refusal::Forged.into()),
        }
    }
}

/// The header that gives a link to a browser. What it opens, and until when, the link says; its browser keeps it for a while after
/// that, so that whoever comes back is told that it ran out.
pub(crate) fn portal_cookie(link: &str, grant: &PortalGrant, now: UnixMs, tls: bool) -> Option<HeaderValue> {
    let (name, secure) = if tls { (COOKIE_OVER_TLS, "; Secure") } else { (COOKIE, "") };
    let own = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
    let age_s = (grant.expires_at.since(now) + KEPT_AFTER).as_secs();
    let text = format!("{name}={link}.{own}; Path=/portal; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).ok()
}

fn cookie_text(headers: &HeaderMap, tls: bool) -> Option<String> {
    let wanted = if tls { COOKIE_OVER_TLS } else { COOKIE };
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, text)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_keeps_a_link_that_has_run_out() {
        let now = UnixMs(1_000);
        let grant = PortalGrant { tenant: Id::new(), epoch: 0, expires_at: now, endpoints: Vec::new() };
        let cookie = portal_cookie("link", &grant, now, false).unwrap();
        assert!(cookie.to_str().unwrap().contains("; Max-Age=2592000; "), "{cookie:?}");
    }
}
