//! `/v1/notifications`: what people are told, and what became of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json as Answer, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        collapse::CollapseKey,
        event::Event,
        job::Job,
        lane::{LaneKey, LaneName},
        notification::{
            Audience, Fate, FateCounts, NAMED_RECIPIENTS_MAX, NAMED_TOPICS_MAX, NamedTopic, Notification, Suppression,
        },
        notification_type::{Channels, TypeKey, Urgency},
        preferences::{Category, Channel},
        recipient::RecipientKey,
        topic::TopicKey,
    },
    store::{
        Item, ItemResult, NewNotification, NotificationContents, OnChannel, OneReceipt, StoredNotification,
        event_payload,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    accept::{IdempotencyKey, Submission},
    auth::{Caller, Needs, Publish, ReadPublished},
    json::{Nothing, OptionalJson, RawJson},
    page::{Listing, Paging, Params},
    path::{RecipientAt, Ref},
    problem::{Code, Faults, Problem},
    publish::schedule,
    recipients,
    state::ApiState,
    trace::Traced,
    wire::{Time, raw},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(publish, list))
        .routes(routes!(get))
        .routes(routes!(get_for_recipient))
        .routes(routes!(cancel))
}

/// Something that people are to be told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewNotification)]
pub(crate) struct NotificationRequest {
    /// Key of its notification type.
    r#type: String,
    /// Keys of recipients, 1,000 at most. Whoever is not known is made known by it. Where endpoints alone are told, nobody need be
    /// named, here or by topics.
    #[serde(default)]
    recipients: Vec<String>,
    /// Keys of topics, 10 at most: all who subscribe to any of them when it is due, each once.
    #[serde(default)]
    topics: Vec<String>,
    /// What the type's templates are filled with: an object.
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
    /// Key of whoever did what it tells of: they are not told.
    actor: Option<String>,
    /// On which channels to tell them, of those that the type has: `inbox`, `push`, `email`, `webhook`. Absent: on all.
    channels: Option<Vec<String>>,
    /// What people's preferences are by; absent: the type's.
    category: Option<String>,
    /// `high`, `normal` or `low`; absent: the type's.
    urgency: Option<String>,
    /// 1 to 64 visible characters. Of notifications with the same key, of whatever types, only the one that was handed in last stands before
    /// a person: it takes the place of those that they have not read, and of those that wait to be sent to them.
    collapse_key: Option<String>,
    /// When to tell them; absent: now.
    #[schema(value_type = Option<Time>)]
    deliver_at: Option<String>,
    /// As the header `Idempotency-Key`: the same key and body tells nobody twice.
    idempotency_key: Option<String>,
}

/// A notification that is stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedNotification)]
pub(crate) struct NotificationAccepted {
    #[schema(value_type = String)]
    id: Id<Notification>,
    r#type: String,
    created_at: Time,
    deliver_at: Time,
}

/// What people are told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub(crate) struct NotificationJson {
    #[schema(value_type = String)]
    id: Id<Notification>,
    r#type: String,
    category: String,
    urgency: &'static str,
    #[schema(value_type = Option<String>)]
    actor: Option<String>,
    recipients: Vec<String>,
    topics: Vec<String>,
    collapse_key: Option<String>,
    created_at: Time,
    deliver_at: Time,
    /// When all of its recipients were known.
    planned_at: Option<Time>,
    /// The event that endpoints get, as `/v1/events/{id}` shows it while it is kept; null before it is due, and where the channel
    /// `webhook` is none of its.
    #[schema(value_type = Option<String>)]
    event_id: Option<Id<Event>>,
    #[serde(flatten)]
    whole: Option<Whole>,
}

/// What is shown of a single notification only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Whole {
    /// `scheduled`, `planning` (its recipients are being found), `delivering`, `done`; `failed` where the job that plans it died,
    /// and `cancelled` where that was cancelled.
    state: &'static str,
    /// What became of it, by channel: for how many recipients, or on `webhook` for how many endpoints.
    #[schema(value_type = BTreeMap<String, ChannelReceipt>)]
    receipt: BTreeMap<&'static str, ChannelReceipt>,
    #[schema(value_type = serde_json::Value)]
    data: Option<Box<RawValue>>,
}

/// What became of a notification on one channel: planned = delivered + suppressed + dead + pending.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelReceipt {
    planned: u64,
    delivered: u64,
    pending: u64,
    /// They stand in the dead-letter table; replay them there.
    dead: u64,
    /// By reason: `preference`, `actor`, `removed`, `cancelled`, `no_address`, `address_suppressed`, `bounced`, `no_subscription`,
    /// `seen`, `throttled`, `collapsed`.
    #[schema(value_type = BTreeMap<String, u64>)]
    suppressed: BTreeMap<Suppression, u64>,
}

/// What became of a notification for one recipient.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecipientReceipt {
    recipient: String,
    channels: Vec<ChannelFate>,
    /// What happened, in order.
    timeline: Vec<Moment>,
}

/// What became of it on one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelFate {
    channel: &'static str,
    /// `pending`, `delivered`, `suppressed` or `dead`.
    fate: &'static str,
    /// Why it was suppressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Suppression>,
    /// The job that reaches them, and maybe others.
    #[schema(value_type = String)]
    job_id: Id<Job>,
    /// Why they were not reached when it was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moment {
    at: Time,
    /// `accepted`, `delivered`, `suppressed`, `failed` (and it is tried again), `dead`, `seen`, `read`, `archived`, or `replaced`: by a
    /// newer one with the same collapse key it left their inbox.
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    /// The newer one with the same collapse key, where it was replaced or collapsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    replaced_by: Option<Id<Notification>>,
}

impl From<FateCounts> for ChannelReceipt {
    fn from(counts: FateCounts) -> Self {
        let planned = counts.planned();
        let FateCounts { pending, delivered, dead, suppressed } = counts;
        Self { planned, delivered, pending, dead, suppressed }
    }
}

/// Tells people something. Answers once it is durable; they are told from then on.
#[utoipa::path(post, path = "/v1/notifications", tag = "notifications", request_body = NotificationRequest,
    params(IdempotencyKey, Traced),
    responses((status = 202, body = NotificationAccepted)))]
async fn publish(
    caller: Caller<Publish>,
    key: IdempotencyKey,
    traced: Traced,
    body: RawJson,
) -> Result<Response, Problem> {
    let now = UnixMs::now();
    let request: NotificationRequest = body.parse()?;
    let key = key.or_in_body(request.idempotency_key.as_deref())?;
    let gate = key.gate(&caller.api, "POST /v1/notifications", body.bytes(), now);
    let new = check(&caller, request, now).await?;
    let accepted = NotificationAccepted {
        id: new.id,
        r#type: new.of.key.to_string(),
        created_at: Time(now),
        deliver_at: Time(new.deliver_at),
    };
    let answer = serde_json::to_string(&accepted).map_err(|error| Problem::new(Code::Internal, error))?;
    let item = Item::notification(new, traced.context());
    let answer = Arc::new(move |_: &[ItemResult]| Some(answer.clone()));
    Submission { gate, items: vec![item], answer, now, step: Some(traced.0) }.submit(&caller).await
}

/// Lists notifications, newest first.
#[utoipa::path(get, path = "/v1/notifications", tag = "notifications", params(Paging),
    responses((status = 200, body = Listing<NotificationJson>)))]
async fn list(caller: Caller<ReadPublished>, params: Params) -> Result<Answer<Listing<NotificationJson>>, Problem> {
    let listed = caller.scope().notifications(&params.page()?).await?;
    Ok(Answer(Listing::of(listed, |of| show(of, None))))
}

pub(crate) fn missing() -> Problem {
    Problem::not_found("notification")
}

/// Shows a notification with its receipt: what became of it for how many recipients.
#[utoipa::path(get, path = "/v1/notifications/{id}", tag = "notifications", params(("id" = String, Path)),
    responses((status = 200, body = NotificationJson)))]
async fn get(caller: Caller<ReadPublished>, Ref(id): Ref<Notification>) -> Result<Answer<NotificationJson>, Problem> {
    let of = caller.scope().notification(id).await?.ok_or_else(missing)?;
    whole(&caller, of).await.map(Answer)
}

async fn whole<N: Needs>(caller: &Caller<N>, of: StoredNotification) -> Result<NotificationJson, Problem> {
    let receipt = caller.scope().receipt(&of).await?;
    let whole = Whole {
        state: receipt.state(&of, UnixMs::now()).as_str(),
        receipt: receipt.channels.into_iter().map(|(channel, counts)| (channel.as_str(), counts.into())).collect(),
        data: raw(of.of.data.clone()),
    };
    Ok(show(of, Some(whole)))
}

/// Tells nobody any more who is not told yet. 409 once all of its recipients are found: then its jobs are cancelled one by one.
#[utoipa::path(post, path = "/v1/notifications/{id}/cancel", tag = "notifications", params(("id" = String, Path)),
    responses((status = 200, body = NotificationJson)))]
async fn cancel(
    caller: Caller<Publish>,
    Ref(id): Ref<Notification>,
    _: OptionalJson<Nothing>,
) -> Result<Answer<NotificationJson>, Problem> {
    let of = caller.scope().notification(id).await?.ok_or_else(missing)?;
    if of.planned_at.is_some() || !caller.scope().cancel_job(of.plan_job, UnixMs::now()).await? {
        return Err(Problem::new(Code::JobFinished, "its recipients are told already, or it was cancelled before"));
    }
    let lane = LaneKey { tenant: caller.tenant, name: LaneName::of_notifications(of.of.urgency) };
    caller.api.dispatcher().cancel(&lane, of.plan_job).await;
    whole(&caller, of).await.map(Answer)
}

/// Shows what became of a notification for one recipient, and why.
#[utoipa::path(get, path = "/v1/notifications/{id}/recipients/{recipient}", tag = "notifications",
    params(("id" = String, Path), ("recipient" = String, Path)),
    responses((status = 200, body = RecipientReceipt)))]
async fn get_for_recipient(
    caller: Caller<ReadPublished>,
    RecipientAt(id, key): RecipientAt<Id<Notification>>,
) -> Result<Answer<RecipientReceipt>, Problem> {
    let scope = caller.scope();
    let of = scope.notification(id).await?.ok_or_else(missing)?;
    let recipient = scope.recipient(&key).await?.ok_or_else(recipients::missing)?;
    let nothing = || Problem::new(Code::NotFound, "the notification was not for this recipient");
    let one = scope.receipt_of(&of, recipient.id).await?.ok_or_else(nothing)?;
    let item = scope.inbox_item(recipient.id, of.id).await?;
    let mut timeline = vec![Moment { at: Time(of.created_at), what: "accepted", channel: None, replaced_by: None }];
    timeline.extend(told(&one));
    for (at, what) in
        item.iter().flat_map(|item| [(item.seen_at, "seen"), (item.read_at, "read"), (item.archived_at, "archived")])
    {
        timeline.extend(at.map(|at| in_inbox(at, what)));
    }
    if let Some(replaced) = one.replaced.get(&Channel::Inbox) {
        timeline.extend(replaced.seen_at.map(|at| in_inbox(at, "seen")));
        let left = |at| Moment { replaced_by: Some(replaced.by), ..in_inbox(at, "replaced") };
        timeline.extend(replaced.at.map(left));
    }
    timeline.sort_by_key(|moment| moment.at.0);
    let channels = one.channels.into_iter().map(ChannelFate::from).collect();
    Ok(Answer(RecipientReceipt { recipient: key.to_string(), channels, timeline }))
}

/// What was tried.
fn told(one: &OneReceipt) -> impl Iterator<Item = Moment> {
    one.channels.iter().filter_map(|on| {
        let what = match in_a_word(on.fate) {
            "pending" => "failed",
            word => word,
        };
        let newer = || one.replaced.get(&on.channel).map(|replaced| replaced.by);
        let replaced_by = (on.fate == Fate::Suppressed(Suppression::Collapsed)).then(newer).flatten();
        on.at.map(|at| Moment { at: Time(at), what, channel: Some(on.channel.as_str()), replaced_by })
    })
}

const fn in_inbox(at: UnixMs, what: &'static str) -> Moment {
    Moment { at: Time(at), what, channel: Some(Channel::Inbox.as_str()), replaced_by: None }
}

const fn in_a_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Pending => "pending",
        Fate::Delivered => "delivered",
        Fate::Dead => "dead",
        Fate::Suppressed(_) => "suppressed",
    }
}

impl From<OnChannel> for ChannelFate {
    fn from(of: OnChannel) -> Self {
        let reason = match of.fate {
            Fate::Suppressed(why) => Some(why),
            Fate::Pending | Fate::Delivered | Fate::Dead => None,
        };
        Self { channel: of.channel.as_str(), fate: in_a_word(of.fate), reason, job_id: of.job, error: of.error }
    }
}

async fn check(
    caller: &Caller<Publish>,
    request: NotificationRequest,
    now: UnixMs,
) -> Result<NewNotification, Problem> {
    let mut faults = Faults::default();
    let bytes = request.data.get().len();
    let max = caller.api.settings().payload_bytes_max;
    if bytes > max {
        let detail = format!("the data has {bytes} bytes; it may have {max}");
        return Err(Problem::at(Code::PayloadTooLarge, "/data", detail));
    }
    let kind = faults.keep("/type", request.r#type.parse::<TypeKey>());
    let kind = match kind {
        Some(key) => {
            let found = caller.scope().notification_type(&key).await?;
            faults.keep("/type", found.ok_or_else(|| format!("there is no notification type {key:?}; put it first")))
        }
        None => None,
    };
    let recipients = recipients_of(request.recipients, &mut faults);
    let topics = topics_of(caller, request.topics, &mut faults).await?;
    let actor = request.actor.and_then(|key| faults.keep("/actor", key.parse::<RecipientKey>()));
    let urgency = request.urgency.and_then(|text| faults.keep("/urgency", text.parse::<Urgency>()));
    let deliver_at = request.deliver_at.and_then(|text| faults.keep("/deliver_at", schedule(&text, now)));
    let collapse_key = request.collapse_key.and_then(|text| faults.keep("/collapse_key", text.parse::<CollapseKey>()));
    let is_faulty = !faults.is_empty();
    let Some(kind) = kind else { return Err(faults.problem()) };
    let category = request.category.and_then(|text| faults.keep("/category", text.parse::<Category>()));
    let mut channels = channels_of(caller, &kind.definition.channels, request.channels, &mut faults);
    let is_for_endpoints = channels == [Channel::Webhook];
    let is_for_somebody = is_faulty || is_for_endpoints || !recipients.is_empty() || !topics.is_empty();
    faults.check("/recipients", is_for_somebody, "a notification is for somebody; name recipients, topics or both");
    let to_endpoints = kind.definition.channels.webhook.filter(|_| channels.contains(&Channel::Webhook));
    channels.retain(|channel| *channel != Channel::Webhook);
    let data = faults.keep("/data", serde_json::from_str(request.data.get()).map_err(|_| "the data is an object"));
    if let Some(data) = data {
        let version = caller.api.notified().version(kind.id, kind.version).await?;
        faults.keep("/data", version.judge(data, &channels));
    }
    faults.result()?;
    let of = NotificationContents {
        kind: kind.id,
        key: kind.key,
        version: kind.version,
        category: category.unwrap_or(kind.definition.category),
        urgency: urgency.unwrap_or(kind.definition.urgency),
        channels,
        event_type: to_endpoints.map(|to| to.event_type),
        collapse_key,
        data: Box::<str>::from(request.data).into_string().into_bytes(),
    };
    let new = NewNotification {
        id: Id::new(),
        of,
        audience: Audience { recipients, topics, actor },
        deliver_at: deliver_at.unwrap_or(now),
        plan_job: Id::new(),
    };
    judge_event(&new, now, max)?;
    Ok(new)
}

/// Whether the event of a notification, where it has one, is no larger than events may be: what it names is in it beside its data.
fn judge_event(new: &NewNotification, now: UnixMs, max: usize) -> Result<(), Problem> {
    if new.of.event_type.is_none() {
        return Ok(());
    }
    let bytes = event_payload(new.id, &new.of, &new.audience, now).len();
    if bytes <= max {
        return Ok(());
    }
    let detail = format!(
        "the event that the channel webhook makes of it has {bytes} bytes, and may have {max}: hand in less data, name fewer \
        recipients, or leave webhook out of channels"
    );
    Err(Problem::at(Code::InvalidBody, "/data", detail))
}

/// The channels to tell people on, of those that the type has.
fn channels_of(
    caller: &Caller<Publish>,
    of_type: &Channels,
    given: Option<Vec<String>>,
    faults: &mut Faults,
) -> Vec<Channel> {
    let has = of_type.all();
    let channels = match given {
        None => has,
        Some(given) => {
            faults.check("/channels", !given.is_empty(), "name a channel, or leave it out for all that the type has");
            let names: Vec<&str> = has.iter().map(|channel| channel.as_str()).collect();
            let mut channels = faults.keep_all("/channels", given, |text| {
                let channel = text.parse::<Channel>()?;
                let has = has.contains(&channel).then_some(channel);
                has.ok_or_else(|| format!("the type has no channel {text:?}; it has {}", names.join(", ")))
            });
            channels.sort_unstable();
            channels.dedup();
            channels
        }
    };
    let can_mail = caller.api.settings().sends_mail || !channels.contains(&Channel::Email);
    let detail = "the channel email needs a mail server here, and none is set: set smtp_url and smtp_from (POSTRIDER_SMTP_URL, \
        POSTRIDER_SMTP_FROM) and start again, or name other channels";
    faults.check("/channels", can_mail, detail);
    channels
}

fn recipients_of(given: Vec<String>, faults: &mut Faults) -> Vec<RecipientKey> {
    let detail = format!(
        "{} are named; a notification names {NAMED_RECIPIENTS_MAX} recipients at most, and more by a topic",
        given.len()
    );
    faults.check("/recipients", given.len() <= NAMED_RECIPIENTS_MAX, detail);
    let mut keys = faults.keep_all("/recipients", given, |key| key.parse::<RecipientKey>());
    keys.sort_unstable();
    keys.dedup();
    keys
}

async fn topics_of(
    caller: &Caller<Publish>,
    given: Vec<String>,
    faults: &mut Faults,
) -> Result<Vec<NamedTopic>, Problem> {
    let detail = format!("{} are named; a notification names {NAMED_TOPICS_MAX} topics at most", given.len());
    faults.check("/topics", given.len() <= NAMED_TOPICS_MAX, detail);
    let mut topics: Vec<NamedTopic> = Vec::new();
    for (place, text) in given.into_iter().take(NAMED_TOPICS_MAX).enumerate() {
        let at = format!("/topics/{place}");
        let Some(key) = faults.keep(&at, text.parse::<TopicKey>()) else { continue };
        let found = caller.scope().topic(&key).await?;
        let Some(topic) = faults.keep(&at, found.ok_or_else(|| format!("there is no topic {:?}", key.as_str()))) else {
            continue;
        };
        if topics.iter().all(|known| known.id != topic.id) {
            topics.push(NamedTopic { id: topic.id, key: topic.key });
        }
    }
    Ok(topics)
}

fn show(of: StoredNotification, whole: Option<Whole>) -> NotificationJson {
    NotificationJson {
        id: of.id,
        r#type: of.of.key.to_string(),
        category: of.of.category.to_string(),
        urgency: of.of.urgency.as_str(),
        actor: of.audience.actor.map(|key| key.to_string()),
        recipients: of.audience.recipients.iter().map(ToString::to_string).collect(),
        topics: of.audience.topics.iter().map(|topic| topic.key.to_string()).collect(),
        collapse_key: of.of.collapse_key.map(|key| key.to_string()),
        created_at: Time(of.created_at),
        deliver_at: Time(of.deliver_at),
        planned_at: of.planned_at.map(Time),
        event_id: of.event,
        whole,
    }
}
