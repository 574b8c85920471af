//! What a body says of an endpoint's settings, and the rules it has to keep.

use std::ops::RangeInclusive;

use postrider_core::domain::{
    egress::{EgressPolicy, EndpointUrl, HeadersOf, judge_headers},
    endpoint_settings::{
        CONCURRENCY, EndpointSettings, RATE_PER_SECOND, SettingsChange, TIMEOUT_MS, TIMEOUT_MS_DEFAULT,
        judge_description, judge_filters, judge_metadata, judge_number,
    },
    event::{Channel, TypePattern},
    retry::RetrySchedule,
    signature::SigningSecret,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    json::{HeaderList, Object, Patch, escape},
    openapi::changed,
    own_object::OwnObject,
    problem::{Faults, Problem},
    retries::{RetriesGiven, RetryBackoffJson},
    state::ApiSettings,
};

/// What a body may say of an endpoint. [`NewEndpoint`] and [`EndpointPatch`] say which of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Given {
    /// `https://…`.
    #[serde(default)]
    #[schema(value_type = String)]
    url: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 1024)]
    description: Patch<String>,
    /// Types that match exactly or by a trailing `.*`; absent or empty: all.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    event_types: Patch<Vec<String>>,
    /// Absent or empty: all.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    channels: Patch<Vec<String>>,
    /// `whsec_` and base64 of 24 to 64 bytes; absent: one is made.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    secret: Patch<String>,
    /// At most 32 headers of your own.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    headers: Patch<HeaderList>,
    /// Deliveries in one second at most, evenly spaced; above 20, a twentieth of them may start at once.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    rate_per_second: Patch<u32>,
    /// Deliveries in flight at most.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000)]
    concurrency_max: Patch<u32>,
    /// The next event waits for the one before it, retries included.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    ordered: Patch<bool>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 100, maximum = 60_000)]
    timeout_ms: Patch<u32>,
    /// Seconds before each retry.
    #[serde(default)]
    #[schema(value_type = Option<Vec<f64>>, max_items = 49)]
    retry_schedule_seconds: Patch<Vec<f64>>,
    #[serde(default)]
    #[schema(value_type = Option<RetryBackoffJson>)]
    retry_backoff: Patch<Object<RetryBackoffJson>>,
    /// An object of your own, at most 16 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Patch<OwnObject>,
}

/// The body that creates an endpoint.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct NewEndpoint(Given);

/// The body that changes an endpoint.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct EndpointPatch(Given);

impl NewEndpoint {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(self, api: &ApiSettings) -> Result<(EndpointSettings, Option<SigningSecret>), Problem> {
        let Self(mut given) = self;
        let mut faults = Faults::default();
        if !matches!(given.url, Patch::Set(_)) {
            faults.add("/url", "/url is required; write it as https://host/path");
            // So that null is not told of again, in the words of a change.
            given.url = Patch::Absent;
        }
        let secret = match &given.secret {
            Patch::Set(text) => faults.keep("/secret", SigningSecret::parse(text)),
            Patch::Absent | Patch::Null => None,
        };
        let change = given.check(api, &mut faults);
        let Some(url) = change.url.clone() else { return Err(faults.problem()) };
        faults.result()?;
        let mut settings = EndpointSettings::new(url, api.retry_schedule.clone());
        change.apply(&mut settings);
        Ok((settings, secret))
    }
}

impl EndpointPatch {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(self, api: &ApiSettings) -> Result<SettingsChange, Problem> {
        let Self(given) = self;
        let mut faults = Faults::default();
        if given.secret != Patch::Absent {
            faults.add("/secret", "a secret is changed by POST …/rotate-secret, so that the old one can sign on");
        }
        let change = given.check(api, &mut faults);
        faults.result()?;
        Ok(change)
    }
}

impl PartialSchema for NewEndpoint {
    fn schema() -> RefOr<Schema> {
        changed::<Given>(|object| {
            object.description = Some("A new endpoint. What is absent or null has its default.".to_owned());
            object.required.push("url".to_owned());
        })
    }
}

impl PartialSchema for EndpointPatch {
    fn schema() -> RefOr<Schema> {
        changed::<Given>(|object| {
            let words = "A change of an endpoint. What is absent stays; what is null goes back to its default.";
            object.description = Some(words.to_owned());
            object.properties.remove("secret");
        })
    }
}

impl ToSchema for NewEndpoint {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Given::schemas(schemas);
    }
}

impl ToSchema for EndpointPatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Given::schemas(schemas);
    }
}

impl Given {
    fn check(self, api: &ApiSettings, faults: &mut Faults) -> SettingsChange {
        SettingsChange {
            url: check_url(self.url, &api.egress, faults),
            description: check_description(self.description, faults),
            event_types: check_list("/event_types", self.event_types, faults, |text| text.parse::<TypePattern>()),
            channels: check_list("/channels", self.channels, faults, |text| text.parse::<Channel>()),
            headers: check_headers(self.headers, faults),
            rate_per_second: check_number("/rate_per_second", self.rate_per_second, &RATE_PER_SECOND, faults),
            concurrency_max: check_number("/concurrency_max", self.concurrency_max, &CONCURRENCY, faults),
            ordered: or_default(self.ordered),
            timeout_ms: check_number("/timeout_ms", self.timeout_ms, &TIMEOUT_MS, faults)
                .map(|timeout_ms| timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT)),
            retry_schedule: check_retries(self.retry_schedule_seconds, self.retry_backoff, api, faults),
            metadata: check_metadata(self.metadata, faults),
        }
    }
}

fn or_default<T: Default>(patch: Patch<T>) -> Option<T> {
    match patch {
        Patch::Absent => None,
        Patch::Null => Some(T::default()),
        Patch::Set(value) => Some(value),
    }
}

fn check_url(patch: Patch<String>, egress: &EgressPolicy, faults: &mut Faults) -> Option<EndpointUrl> {
    match patch {
        Patch::Absent => None,
        Patch::Null => {
            faults.add("/url", "/url is required; leave it out to keep the one that it has");
            None
        }
        Patch::Set(text) => faults.keep("/url", EndpointUrl::parse(&text, egress)),
    }
}

fn check_description(patch: Patch<String>, faults: &mut Faults) -> Option<String> {
    let text = or_default(patch)?;
    faults.keep("/description", judge_description(&text));
    Some(text)
}

fn check_list<T, E: std::fmt::Display>(
    pointer: &str,
    patch: Patch<Vec<String>>,
    faults: &mut Faults,
    parse: impl Fn(String) -> Result<T, E>,
) -> Option<Vec<T>> {
    let list = or_default(patch)?;
    faults.keep(pointer, judge_filters(list.len()));
    Some(faults.keep_all(pointer, list, parse))
}

fn check_headers(patch: Patch<HeaderList>, faults: &mut Faults) -> Option<Vec<(String, String)>> {
    let HeaderList(list) = or_default(patch)?;
    keep_headers("/headers", &list, HeadersOf::Endpoint, faults);
    Some(list)
}

/// Notes the first header that is refused, at its own place where it has one.
pub(crate) fn keep_headers(pointer: &str, list: &[(String, String)], of: HeadersOf, faults: &mut Faults) {
    if let Err(refused) = judge_headers(list, of) {
        let place = refused.name().map(|name| format!("/{}", escape(name))).unwrap_or_default();
        faults.add(&format!("{pointer}{place}"), refused);
    }
}

fn check_number(
    pointer: &str,
    patch: Patch<u32>,
    bounds: &RangeInclusive<u32>,
    faults: &mut Faults,
) -> Option<Option<u32>> {
    match patch {
        Patch::Absent => None,
        Patch::Null => Some(None),
        Patch::Set(number) => {
            faults.keep(pointer, judge_number(number, bounds));
            Some(Some(number))
        }
    }
}

/// Null beside a value clears nothing: it is how one of the two takes the other's place.
fn check_retries(
    seconds: Patch<Vec<f64>>,
    backoff: Patch<Object<RetryBackoffJson>>,
    api: &ApiSettings,
    faults: &mut Faults,
) -> Option<RetrySchedule> {
    if matches!((&seconds, &backoff), (Patch::Absent, Patch::Absent)) {
        return None;
    }
    let given = RetriesGiven { seconds: seconds.set(), backoff: backoff.set().map(|Object(backoff)| backoff) };
    given.keep(&api.retry_schedule, faults)
}

fn check_metadata(patch: Patch<OwnObject>, faults: &mut Faults) -> Option<Map<String, Value>> {
    let OwnObject(metadata) = or_default(patch)?;
    faults.keep("/metadata", judge_metadata(&metadata));
    Some(metadata)
}
