//! What became of a notification for one recipient: what happened when, on each channel whether they were told, and where they
//! were not, why, and what to do about it.

use askama::Template;
use axum::{Router, extract::Path, http::StatusCode, routing::get};
use postrider_core::{
    domain::{
        UnixMs,
        job::JobState,
        notification::{Fate, Suppression},
        preferences::Channel,
        recipient::RecipientKey,
    },
    store::{InboxState, OneReceipt, StoredNotification},
};

use crate::{
    Dashboard, filters,
    moment::Moment,
    notification::find,
    page::{Frame, Refusal, Section, Shown, show_with},
    receipt::reason,
    visit::Visit,
};

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/notifications/{id}/recipient", get(recipient))
}

#[derive(Template)]
#[template(path = "notification_recipient.html")]
struct OnePage {
    frame: Frame,
    id: String,
    kind: String,
    key: String,
    /// They are there now, and have a page.
    is_known: bool,
    /// Why nothing is known of them and this notification.
    missing: Option<String>,
    /// The job that tells them, and what it is now, where it is kept.
    job: Option<(String, Option<&'static str>)>,
    channels: Vec<ChannelFate>,
    timeline: Vec<Step>,
}

/// What became of it on one channel.
struct ChannelFate {
    channel: &'static str,
    class: &'static str,
    fate: &'static str,
    /// Why, and what to do, where they were not told.
    why: String,
    todo: &'static str,
    letter: Option<String>,
}

/// One thing that happened.
struct Step {
    at: UnixMs,
    moment: Moment,
    what: String,
    job: Option<String>,
}

/// Of the job that tells them.
struct Teller {
    state: Option<JobState>,
    letter: Option<String>,
}

async fn recipient(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let of = find(&visit, &id).await?;
    let text = visit.query.text("key").unwrap_or_default().to_owned();
    let (mut known, mut missing) = (None, None);
    match text.parse::<RecipientKey>() {
        Ok(key) => known = visit.scope().recipient(&key).await?,
        Err(error) => missing = Some(format!("This is no key: {error}.")),
    }
    let one = match &known {
        Some(recipient) => visit.scope().receipt_of(&of, recipient.id).await?,
        None => None,
    };
    let (mut channels, mut timeline, mut job) = (Vec::new(), Vec::new(), None);
    match (&known, &one) {
        (Some(recipient), Some(one)) => {
            let teller = Teller::of(&visit, one).await?;
            let item = visit.scope().inbox_item(recipient.id, of.id).await?;
            channels = one.channels.iter().map(|(channel, fate)| ChannelFate::of(*channel, *fate, &teller)).collect();
            timeline = happened(&of, one, item, visit.now);
            job = Some((one.job.to_string(), teller.state.map(JobState::as_str)));
        }
        (Some(_), None) => missing = Some(not_for(&of)),
        (None, _) if missing.is_none() => {
            missing = Some(
                "There is nobody with this key. If there was when it was told, they were removed since, and with them what is \
                known of them."
                    .to_owned(),
            );
        }
        (None, _) => {}
    }
    let status = if missing.is_some() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let page = OnePage {
        frame: Frame::of(&visit, Section::Notifications, format!("Notification {} for {text}", of.id)),
        id: of.id.to_string(),
        kind: of.of.key.to_string(),
        key: text,
        is_known: known.is_some(),
        missing,
        job,
        channels,
        timeline,
    };
    show_with(status, &page)
}

/// Why somebody who is known is not among those whom it is for.
fn not_for(of: &StoredNotification) -> String {
    let by = match (of.audience.recipients.is_empty(), of.audience.topics.is_empty()) {
        (false, false) => "they are not named, and subscribed to none of its topics when they were looked for",
        (false, true) => "they are not named, and it is for no topic",
        (true, _) => "they subscribed to none of its topics when they were looked for",
    };
    match of.planned_at {
        Some(_) => format!(
            "It was not for them: {by}. Whoever subscribed since is not told of it; to tell them, publish it for them by name."
        ),
        None => "They are not among those who were found so far. Its recipients are still being found, or will be when it is due."
            .to_owned(),
    }
}

impl Teller {
    async fn of(visit: &Visit, one: &OneReceipt) -> Result<Self, Refusal> {
        let state = visit.scope().job(one.job).await?.map(|found| found.job.state);
        let letter = visit.scope().dead_letter_of_job(one.job).await?.map(|letter| letter.id.to_string());
        Ok(Self { state, letter })
    }
}

impl ChannelFate {
    fn of(channel: Channel, fate: Fate, teller: &Teller) -> Self {
        let channel = channel.as_str();
        let plain =
            |class, fate, why: &str, todo| Self { channel, class, fate, why: why.to_owned(), todo, letter: None };
        let suppressed = |why: Suppression| {
            let (why, todo) = reason(why);
            Self { channel, class: "cancelled", fate: "suppressed", why, todo, letter: None }
        };
        match (fate, teller.state) {
            (Fate::Delivered, _) => plain("succeeded", "delivered", "", ""),
            (Fate::Suppressed(why), _) => suppressed(why),
            (Fate::Pending, Some(JobState::Dead)) => Self {
                letter: teller.letter.clone(),
                ..plain(
                    "dead",
                    "dead",
                    "the job that would have told them is a dead letter",
                    "Look at why it died, and replay it: that tells them, and all others of the same job.",
                )
            },
            (Fate::Pending, Some(JobState::Cancelled)) => suppressed(Suppression::Cancelled),
            (Fate::Pending, _) => plain(
                "pending",
                "pending",
                "the job that tells them has not run to its end yet",
                "Wait; if it takes long, the page of the job has what holds it up.",
            ),
        }
    }
}

fn happened(of: &StoredNotification, one: &OneReceipt, item: Option<InboxState>, now: UnixMs) -> Vec<Step> {
    let step = |at: UnixMs, what: &str, job: Option<String>| Step {
        at,
        moment: Moment::of(at, now),
        what: what.to_owned(),
        job,
    };
    let mut steps = vec![step(of.created_at, "handed in", None)];
    if of.deliver_at > of.created_at {
        steps.push(step(of.deliver_at, "due", None));
    }
    steps.extend(of.planned_at.map(|at| step(at, "all of its recipients were found, them among these", None)));
    let job = one.job.to_string();
    for (channel, fate) in &one.channels {
        let what = match fate {
            Fate::Delivered => format!("{}: delivered", channel.as_str()),
            Fate::Suppressed(why) => format!("{}: not told, since {}", channel.as_str(), reason(*why).0),
            Fate::Pending => continue,
        };
        steps.extend(one.done_at.map(|at| step(at, &what, Some(job.clone()))));
    }
    let marks = item.into_iter().flat_map(|item| {
        [
            (item.seen_at, "they saw it in their inbox"),
            (item.read_at, "they read it"),
            (item.archived_at, "they archived it"),
        ]
    });
    steps.extend(marks.filter_map(|(at, what)| at.map(|at| step(at, what, None))));
    steps.sort_by_key(|step| step.at.0);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_told_yet_is_as_the_job_is_that_tells_them() {
        let told = |fate, state| {
            let teller = Teller { state, letter: Some("dl_1".to_owned()) };
            let ChannelFate { fate, letter, .. } = ChannelFate::of(Channel::Inbox, fate, &teller);
            (fate, letter.is_some())
        };
        assert_eq!(told(Fate::Pending, Some(JobState::Dead)), ("dead", true));
        assert_eq!(told(Fate::Pending, Some(JobState::Cancelled)), ("suppressed", false));
        assert_eq!(told(Fate::Pending, Some(JobState::Pending)), ("pending", false));
        assert_eq!(told(Fate::Pending, None), ("pending", false));
        // A replay of the dead letter told them.
        assert_eq!(told(Fate::Delivered, Some(JobState::Dead)), ("delivered", false));
        assert_eq!(told(Fate::Suppressed(Suppression::Actor), Some(JobState::Dead)), ("suppressed", false));
    }
}
