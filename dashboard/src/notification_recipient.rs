//! What became of a notification for one recipient: what happened when, on each channel whether they were told, and where they
//! were not, why, and what to do about it.

use askama::Template;
use axum::{Router, extract::Path, http::StatusCode, routing::get};
use postrider_core::{
    domain::{Id, UnixMs, job::Job, notification::Fate, preferences::Channel, recipient::RecipientKey},
    store::{InboxState, OnChannel, OneReceipt, StoredNotification},
};

use crate::{
    Dashboard, filters,
    moment::Moment,
    notification::find,
    page::{Frame, Section, Shown, show_with},
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
    /// The job that tells them.
    job: String,
}

/// One thing that happened.
struct Step {
    at: UnixMs,
    moment: Moment,
    what: String,
    job: Option<String>,
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
    let (mut channels, mut timeline) = (Vec::new(), Vec::new());
    match (&known, &one) {
        (Some(recipient), Some(one)) => {
            let item = visit.scope().inbox_item(recipient.id, of.id).await?;
            let jobs: Vec<Id<Job>> = one.channels.iter().map(|on| on.job).collect();
            let letters = visit.scope().letters_of(jobs.into_iter()).await?;
            let letter = |on: &OnChannel| letters.iter().find(|letter| letter.job_id == on.job);
            let of_channel = |on: &OnChannel| ChannelFate::of(on, letter(on).map(|letter| letter.id.to_string()));
            channels = one.channels.iter().map(of_channel).collect();
            timeline = happened(&of, one, item, visit.now);
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

impl ChannelFate {
    fn of(on: &OnChannel, letter: Option<String>) -> Self {
        let (class, fate, why, todo) = match on.fate {
            Fate::Delivered => ("succeeded", "delivered", String::new(), ""),
            Fate::Suppressed(why) => {
                let (why, todo) = reason(why);
                ("cancelled", "suppressed", why, todo)
            }
            Fate::Dead => {
                let why =
                    on.error.clone().unwrap_or_else(|| "the job that would have told them is a dead letter".to_owned());
                let todo = "Look at why it died, and replay it: that tells them, and all others of the same job.";
                ("dead", "dead", why, todo)
            }
            Fate::Pending => match &on.error {
                Some(error) => {
                    ("pending", "pending", error.clone(), "Wait: it is tried again, as the page of the job says.")
                }
                None => (
                    "pending",
                    "pending",
                    "the job that tells them has not run to its end yet".to_owned(),
                    "Wait; if it takes long, the page of the job has what holds it up.",
                ),
            },
        };
        let letter = letter.filter(|_| on.fate == Fate::Dead);
        Self { channel: on.channel.as_str(), class, fate, why, todo, letter, job: on.job.to_string() }
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
    for on in &one.channels {
        let channel = on.channel.as_str();
        let what = match on.fate {
            Fate::Delivered => format!("{channel}: delivered"),
            Fate::Suppressed(why) => {
                let newer = one.replaced.get(&on.channel).map(|replaced| format!(": {}", replaced.by));
                format!("{channel}: not told, since {}{}", reason(why).0, newer.unwrap_or_default())
            }
            Fate::Dead => format!("{channel}: given up"),
            Fate::Pending => format!("{channel}: not reached, and tried again"),
        };
        steps.extend(on.at.map(|at| step(at, &what, Some(on.job.to_string()))));
    }
    if let Some(replaced) = one.replaced.get(&Channel::Inbox) {
        steps.extend(replaced.seen_at.map(|at| step(at, "they saw it in their inbox", None)));
        let left = format!("inbox: {} took its place, which is newer and has the same collapse key", replaced.by);
        steps.extend(replaced.at.map(|at| step(at, &left, None)));
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
    use postrider_core::domain::notification::Suppression;

    use super::*;

    #[test]
    fn a_dead_letter_is_named_where_it_is_why_somebody_was_not_told() {
        let told = |fate| {
            let on = OnChannel { channel: Channel::Inbox, fate, job: Id::new(), at: None, error: None };
            let ChannelFate { fate, letter, .. } = ChannelFate::of(&on, Some("dl_1".to_owned()));
            (fate, letter.is_some())
        };
        assert_eq!(told(Fate::Dead), ("dead", true));
        assert_eq!(told(Fate::Pending), ("pending", false));
        // A replay of the dead letter told them.
        assert_eq!(told(Fate::Delivered), ("delivered", false));
        assert_eq!(told(Fate::Suppressed(Suppression::Actor)), ("suppressed", false));
    }
}
