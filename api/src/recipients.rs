//! `/v1/recipients`: people whom a product tells things, one at a time or many.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json as Answer, http::StatusCode, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        line::judge_line,
        preferences::{Channel, Preferences},
        quiet_hours::{ClockTime, Day, QuietHours},
        recipient::{
            Attributes, EmailState, EmailStateRefused, NewEmail, NewRecipient, Profile, Recipient, RecipientKey,
        },
        site::zone::Zone,
    },
    store::PutRecipient,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Publish, ReadPublished},
    json::{Ignored, Json, Object, escape, parse_at},
    own_object::OwnObject,
    page::{Listing, Paging, Params, write_keys_cursor},
    path::{ANOTHER_KEY, Key},
    problem::{Code, Faults, Problem, ProblemBody},
    state::ApiState,
    wire::{Time, kept},
};

/// Recipients of one batch.
const BATCH_RECIPIENTS_MAX: usize = 1_000;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put_batch)).routes(routes!(put, get, delete))
}

/// Somebody. What is left out is not known of them any more, but for what was found out of the same e-mail address. What is shown of
/// somebody can be put back as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what nobody sets is not looked at")]
pub(crate) struct RecipientRequest {
    /// What you call them: 1 to 255 visible characters. In a batch; elsewhere the path has it, and this is the same if it is there.
    key: Option<String>,
    email: Option<String>,
    /// `unverified`, `verified` or `suppressed`. Absent: as it is known of the same address, else `unverified`.
    email_state: Option<String>,
    /// Why nothing is sent to the address; where it is suppressed.
    email_reason: Option<String>,
    /// A language tag of BCP 47, as in `pt-BR`.
    locale: Option<String>,
    /// A name of the IANA database, as in `Europe/Warsaw`.
    time_zone: Option<String>,
    /// By category (1 to 64 of `a-z`, `0-9`, `_`, `.` and `-`; 100 at most) and channel (`inbox`, `push`, `email`),
    /// whether they want it.
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, bool>>>)]
    preferences: Option<OwnObject>,
    #[schema(value_type = Option<QuietHoursJson>)]
    quiet_hours: Option<Object<QuietHoursJson>>,
    /// Texts, numbers and truth values by name, 4 KiB at most.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    attributes: Option<OwnObject>,
    #[serde(default)]
    #[schema(value_type = Option<String>, read_only)]
    id: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    created_at: Ignored,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    updated_at: Ignored,
}

/// When somebody is left alone, as clocks of their time zone show it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuietHours)]
pub(crate) struct QuietHoursJson {
    /// As in `22:00`.
    from: String,
    /// As in `07:00`; where it is earlier than `from`, on the next day.
    to: String,
    /// On which days they begin: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; one at least. Absent: on each.
    days: Option<Vec<String>>,
}

/// Up to 1,000 recipients; each is kept or refused by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipientBatch {
    #[schema(value_type = Vec<RecipientRequest>, max_items = 1_000)]
    recipients: Vec<Box<RawValue>>,
}

/// Somebody as they are kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recipient)]
pub(crate) struct RecipientJson {
    #[schema(value_type = String)]
    id: Id<Recipient>,
    key: String,
    email: Option<String>,
    /// `unverified`, `verified` or `suppressed`; null where there is no address.
    email_state: Option<&'static str>,
    email_reason: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    preferences: BTreeMap<String, BTreeMap<&'static str, bool>>,
    quiet_hours: Option<QuietHoursJson>,
    #[schema(value_type = BTreeMap<String, Value>)]
    attributes: Map<String, Value>,
    created_at: Time,
    updated_at: Time,
}

/// What came of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecipientBatchAnswer {
    /// Recipients who were not known before.
    created: usize,
    /// Recipients who are not as they were, with those who were not known.
    changed: usize,
    /// In the order of the batch.
    results: Vec<RecipientResult>,
}

/// What became of one recipient of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum RecipientResult {
    Kept {
        /// 201 where nobody was known by this key, else 200.
        status: u16,
        key: String,
        #[schema(value_type = String)]
        id: Id<Recipient>,
    },
    Refused {
        status: u16,
        error: ProblemBody,
    },
}

impl From<Recipient> for RecipientJson {
    fn from(recipient: Recipient) -> Self {
        let Profile { locale, time_zone, preferences, quiet_hours, attributes } = recipient.profile;
        let by_channel =
            |channels: &BTreeMap<Channel, bool>| channels.iter().map(|(one, wants)| (one.as_str(), *wants)).collect();
        Self {
            id: recipient.id,
            key: recipient.key.to_string(),
            email: recipient.email.as_ref().map(|email| email.address.as_str().to_owned()),
            email_state: recipient.email.as_ref().map(|email| email.state.as_str()),
            email_reason: recipient.email.as_ref().and_then(|email| email.state.reason()).map(str::to_owned),
            locale: locale.map(String::from),
            time_zone: time_zone.map(String::from),
            preferences: preferences.iter().map(|(one, channels)| (one.to_string(), by_channel(channels))).collect(),
            quiet_hours: quiet_hours.as_ref().map(QuietHoursJson::from),
            attributes: attributes.into_map(),
            created_at: Time(recipient.created_at),
            updated_at: Time(recipient.updated_at),
        }
    }
}

impl From<&QuietHours> for QuietHoursJson {
    fn from(hours: &QuietHours) -> Self {
        let days: Vec<String> = hours.days().iter().map(|day| day.as_str().to_owned()).collect();
        Self {
            from: hours.from().to_string(),
            to: hours.to().to_string(),
            days: Some(days).filter(|days| !days.is_empty()),
        }
    }
}

impl RecipientRequest {
    /// Somebody by what the body at `base` says of them; the key is that of the path, where there is one.
    fn check(self, path: Option<RecipientKey>, base: &str) -> Result<NewRecipient, Problem> {
        let mut faults = Faults::below(base);
        let key = check_key(path, self.key, &mut faults);
        let email = check_email(self.email, self.email_state, self.email_reason, &mut faults);
        let locale = self.locale.and_then(|text| faults.keep("/locale", text.parse()));
        let zone_is_said = self.time_zone.is_some();
        let time_zone = self.time_zone.and_then(|text| faults.keep("/time_zone", text.parse::<Zone>()));
        let quiet_hours = self.quiet_hours.and_then(|Object(hours)| check_quiet_hours(hours, &mut faults));
        let without_zone = "quiet hours are read by the recipient's clocks; set time_zone too";
        faults.check("/quiet_hours", quiet_hours.is_none() || zone_is_said, without_zone);
        let preferences = self.preferences.map(|OwnObject(given)| check_preferences(given, &mut faults));
        let attributes =
            self.attributes.and_then(|OwnObject(given)| faults.keep("/attributes", Attributes::new(given)));
        let profile = Profile {
            locale,
            time_zone,
            preferences: preferences.unwrap_or_default(),
            quiet_hours,
            attributes: attributes.unwrap_or_default(),
        };
        match key {
            Some(key) if faults.is_empty() => Ok(NewRecipient { key, email, profile }),
            _ => Err(faults.problem()),
        }
    }
}

fn check_key(path: Option<RecipientKey>, given: Option<String>, faults: &mut Faults) -> Option<RecipientKey> {
    match (path, given) {
        (None, None) => faults.keep("/key", Err("/key is required")),
        (None, Some(given)) => faults.keep("/key", given.parse()),
        (Some(path), given) => {
            let same = given.is_none_or(|given| given == path.as_str());
            faults.check("/key", same, ANOTHER_KEY);
            Some(path)
        }
    }
}

fn check_email(
    address: Option<String>,
    state: Option<String>,
    reason: Option<String>,
    faults: &mut Faults,
) -> Option<NewEmail> {
    let Some(address) = address else {
        faults.check("/email_state", state.is_none(), "there is no email that it is said of");
        faults.check("/email_reason", reason.is_none(), "there is no email that it is said of");
        return None;
    };
    if let Some(fault) = reason.as_deref().and_then(|reason| judge_line(reason).err()) {
        faults.add("/email_reason", format_args!("it {fault}"));
    }
    let state = match (state, reason) {
        (None, None) => None,
        (None, Some(_)) => faults.keep("/email_reason", Err(EmailStateRefused::Reason)),
        (Some(state), reason) => {
            let of = EmailState::of(&state, reason);
            let place = if matches!(of, Err(EmailStateRefused::Unknown(_))) { "/email_state" } else { "/email_reason" };
            faults.keep(place, of)
        }
    };
    Some(NewEmail { address: faults.keep("/email", address.parse())?, state })
}

fn check_quiet_hours(hours: QuietHoursJson, faults: &mut Faults) -> Option<QuietHours> {
    let from = faults.keep("/quiet_hours/from", hours.from.parse::<ClockTime>());
    let to = faults.keep("/quiet_hours/to", hours.to.parse::<ClockTime>());
    let names_some = hours.days.as_ref().is_none_or(|days| !days.is_empty());
    faults.check("/quiet_hours/days", names_some, "it names no day; leave it out for each");
    let days = hours.days.unwrap_or_default();
    let days =
        faults.keep_all("/quiet_hours/days", days, |day| day.parse::<Day>()).into_iter().collect::<BTreeSet<_>>();
    faults.keep("/quiet_hours", QuietHours::new(from?, to?, days))
}

fn check_preferences(given: Map<String, Value>, faults: &mut Faults) -> Preferences {
    let mut by_category = BTreeMap::new();
    for (category, channels) in given {
        let place = format!("/preferences/{}", escape(&category));
        let category = faults.keep(&place, category.parse());
        let Value::Object(channels) = channels else {
            faults.add(&place, "it is an object of channels, each true or false");
            continue;
        };
        let mut by_channel = BTreeMap::new();
        for (channel, wants) in channels {
            let place = format!("{place}/{}", escape(&channel));
            let channel = faults.keep(&place, channel.parse::<Channel>());
            let is_of_people = channel != Some(Channel::Webhook);
            faults.check(&place, is_of_people, "webhook tells endpoints, not people, so nobody has a preference of it");
            let wants = faults.keep(&place, wants.as_bool().ok_or("it is true or false"));
            by_channel.extend(channel.zip(wants));
        }
        by_category.extend(category.map(|category| (category, by_channel)));
    }
    faults.keep("/preferences", Preferences::new(by_category)).unwrap_or_default()
}

pub(crate) fn missing() -> Problem {
    Problem::not_found("recipient")
}

/// Puts somebody in place of who was known by this key.
#[utoipa::path(put, path = "/v1/recipients/{key}", tag = "recipients", params(("key" = String, Path)),
    request_body = RecipientRequest,
    responses((status = 200, body = RecipientJson), (status = 201, body = RecipientJson)))]
async fn put(
    caller: Caller<Publish>,
    Key(key): Key<RecipientKey>,
    Json(request): Json<RecipientRequest>,
) -> Result<Response, Problem> {
    let new = request.check(Some(key.clone()), "")?;
    let mut put = caller.scope().put_recipients(&[new], UnixMs::now()).await?;
    // Who was removed in the same moment was put before.
    let PutRecipient { recipient, created: is_new, .. } = put.remove(&key).ok_or_else(missing)?;
    let answer = RecipientJson::from(recipient);
    Ok(kept(answer, is_new))
}

/// Shows somebody.
#[utoipa::path(get, path = "/v1/recipients/{key}", tag = "recipients", params(("key" = String, Path)),
    responses((status = 200, body = RecipientJson)))]
async fn get(caller: Caller<ReadPublished>, Key(key): Key<RecipientKey>) -> Result<Answer<RecipientJson>, Problem> {
    let recipient = caller.scope().recipient(&key).await?.ok_or_else(missing)?;
    Ok(Answer(recipient.into()))
}

/// Removes somebody, who leaves all topics.
#[utoipa::path(delete, path = "/v1/recipients/{key}", tag = "recipients", params(("key" = String, Path)),
    responses((status = 204)))]
async fn delete(caller: Caller<Publish>, Key(key): Key<RecipientKey>) -> Result<StatusCode, Problem> {
    match caller.scope().delete_recipient(&key).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing()),
    }
}

/// Lists recipients by key.
#[utoipa::path(get, path = "/v1/recipients", tag = "recipients",
    params(("q" = Option<String>, Query, description = "What their keys begin with, or a whole e-mail address."), Paging),
    responses((status = 200, body = Listing<RecipientJson>)))]
async fn list(caller: Caller<ReadPublished>, mut params: Params) -> Result<Answer<Listing<RecipientJson>>, Problem> {
    let q = params.text("q");
    let (found, next) = caller.scope().recipients(&q.unwrap_or_default(), &params.key_page()?).await?;
    let next_cursor = next.map(|key| write_keys_cursor([key.as_str()]));
    Ok(Answer(Listing { data: found.into_iter().map(RecipientJson::from).collect(), next_cursor }))
}

/// Puts up to 1,000 recipients in place of who was known by their keys, each kept or refused by itself. Of the same key the last
/// one counts.
#[utoipa::path(post, path = "/v1/recipients/batch", tag = "recipients", request_body = RecipientBatch,
    responses((status = 200, body = RecipientBatchAnswer)))]
async fn put_batch(
    caller: Caller<Publish>,
    Json(request): Json<RecipientBatch>,
) -> Result<Answer<RecipientBatchAnswer>, Problem> {
    let count = request.recipients.len();
    if count > BATCH_RECIPIENTS_MAX {
        let detail = format!("a batch has at most {BATCH_RECIPIENTS_MAX} recipients, not {count}");
        return Err(Problem::at(Code::BatchTooLarge, "/recipients", detail));
    }
    let (mut new, mut slots) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (place, raw) in request.recipients.iter().enumerate() {
        let base = format!("/recipients/{place}");
        let checked = parse_at::<RecipientRequest>(raw.get(), &base).and_then(|request| request.check(None, &base));
        slots.push(checked.map(|one| {
            let key = one.key.clone();
            new.push(one);
            key
        }));
    }
    let put = caller.scope().put_recipients(&new, UnixMs::now()).await?;
    let result = |slot: Result<RecipientKey, Problem>| {
        let problem = match slot.map(|key| put.get(&key)) {
            Ok(Some(PutRecipient { recipient, created, .. })) => {
                let (status, key) = (if *created { 201 } else { 200 }, recipient.key.to_string());
                return RecipientResult::Kept { status, key, id: recipient.id };
            }
            Ok(None) => missing(),
            Err(problem) => problem,
        };
        RecipientResult::Refused { status: problem.code.status().as_u16(), error: problem.body(None) }
    };
    Ok(Answer(RecipientBatchAnswer {
        created: put.values().filter(|put| put.created).count(),
        changed: put.values().filter(|put| put.changed).count(),
        results: slots.into_iter().map(result).collect(),
    }))
}
