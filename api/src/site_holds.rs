//! `/v1/sites/{site}/confirm`: sitemaps that wait for a person, and what a person says of them.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use postrider_core::{
    domain::UnixMs,
    store::{ConfirmedSite, Hold},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate},
    json::{Object, OptionalJson},
    path::TextRef,
    problem::{Code, Problem},
    sites::find,
    state::ApiState,
    wire::{Time, accepted},
};

/// Sitemaps that a refusal names.
const NAMED_MAX: usize = 3;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(confirm))
}

/// Sitemaps that wait for a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Held)]
pub(crate) struct HeldJson {
    locale: String,
    target: String,
    /// Addresses that are public.
    urls_before: u32,
    /// Addresses that would be.
    urls_after: u32,
    since: Time,
    /// Somebody has confirmed it: it is about to be published.
    confirmed: bool,
}

/// What a confirmation is of.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirm {
    /// All that is held, as `GET /v1/sites/{site}` showed it, in any order. Where something else is held by now, or with another
    /// number, nothing is confirmed: 409, `held_changed`. Absent: what is held when the call comes, whatever that is.
    #[schema(value_type = Option<Vec<SeenHold>>)]
    held: Option<Vec<Object<SeenHold>>>,
}

/// A sitemap that is held, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenHold {
    locale: String,
    target: String,
    urls_after: u32,
}

/// What was held and is not any more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Confirmed {
    confirmed: usize,
}

impl From<Hold> for HeldJson {
    fn from(hold: Hold) -> Self {
        Self {
            locale: hold.mark.0.to_string(),
            target: hold.mark.1.to_string(),
            urls_before: hold.urls_before,
            urls_after: hold.urls_after,
            since: Time(hold.since),
            confirmed: hold.confirmed,
        }
    }
}

impl SeenHold {
    fn of(hold: &Hold) -> Self {
        Self { locale: hold.mark.0.to_string(), target: hold.mark.1.to_string(), urls_after: hold.urls_after }
    }

    fn sitemap(&self) -> (&str, &str) {
        (&self.locale, &self.target)
    }
}

/// Says that what is held of a site is right, with so many addresses as `urls_after` says: it is made again and published. What
/// has lost more than a fifth of those by then is held again.
#[utoipa::path(post, path = "/v1/sites/{site}/confirm", tag = "sites", params(("site" = String, Path)),
    request_body = Confirm, responses((status = 202, body = Confirmed)))]
async fn confirm(
    caller: Caller<Operate>,
    TextRef(slug): TextRef,
    OptionalJson(confirm): OptionalJson<Confirm>,
) -> Result<Response, Problem> {
    let site = find(&caller, &slug).await?;
    let seen = confirm.held.map(|held| held.into_iter().map(|Object(one)| one).collect::<BTreeSet<_>>());
    let is_seen = |holds: &[Hold]| seen.as_ref().is_none_or(|seen| *seen == holds.iter().map(SeenHold::of).collect());
    match caller.scope().confirm_site(&site, UnixMs::now(), is_seen).await? {
        ConfirmedSite::Done(confirmed, job) => {
            caller.api.dispatcher().offer(job.as_slice());
            Ok(accepted(Confirmed { confirmed }))
        }
        ConfirmedSite::Changed(holds) => {
            let now = holds.iter().map(SeenHold::of).collect();
            Err(Problem::at(Code::HeldChanged, "/held", changed(&seen.unwrap_or_default(), &now)))
        }
    }
}

/// What is not as it was seen, by its first sitemaps.
fn changed(seen: &BTreeSet<SeenHold>, now: &BTreeSet<SeenHold>) -> String {
    let [was_held, are_held] = [seen, now].map(by_sitemap);
    let differs = |one: &SeenHold| {
        let SeenHold { locale, target, urls_after } = one;
        match are_held.get(&one.sitemap()) {
            Some(now) => format!("{locale} {target} was held with {urls_after} addresses, and is with {now}"),
            None => format!("{locale} {target} was held with {urls_after} addresses, and is held no more"),
        }
    };
    let is_new = |one: &&SeenHold| !was_held.contains_key(&one.sitemap());
    let held = |one: &SeenHold| format!("{} {} is held with {} addresses", one.locale, one.target, one.urls_after);
    let all = seen.difference(now).map(differs).chain(now.iter().filter(is_new).map(held));
    let (shown, all) = (all.clone().take(NAMED_MAX).collect::<Vec<_>>().join("; "), all.count());
    let (sitemaps, are) = if all == 1 { ("sitemap", "is") } else { ("sitemaps", "are") };
    let more = if all > NAMED_MAX { format!("; and {} more", all - NAMED_MAX) } else { String::new() };
    format!(
        "nothing was confirmed, since {all} {sitemaps} {are} not as the call says; look at what is held now, and confirm that: \
         {shown}{more}"
    )
}

fn by_sitemap(held: &BTreeSet<SeenHold>) -> BTreeMap<(&str, &str), u32> {
    held.iter().map(|one| (one.sitemap(), one.urls_after)).collect()
}
