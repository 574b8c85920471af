//! Topics: what people subscribe to, and who subscribes to one.

use askama::Template;
use axum::{Router, extract::Path, routing::get};
use postrider_core::{
    domain::{Id, recipient::Recipient, topic::Topic},
    store::{KeyPage, Page},
};
use serde_json::json;

use crate::{
    Dashboard, filters,
    how::How,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, in_path, show},
    pager::Pager,
    visit::Visit,
};

const ROWS: u32 = 50;
/// Subscribers of one page: they are keys and no more.
const SUBSCRIBERS: u32 = 200;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/topics", get(topics)).route("/topics/{key}", get(topic))
}

#[derive(Template)]
#[template(path = "topics.html")]
struct TopicsPage {
    frame: Frame,
    rows: Vec<Line>,
    pager: Pager,
    how: How,
}

struct Line {
    key: String,
    name: String,
    subscribers: u64,
    made: Moment,
}

#[derive(Template)]
#[template(path = "topic.html")]
struct TopicPage {
    frame: Frame,
    line: Line,
    id: String,
    /// For whom of its subscribers notifications are.
    condition: Option<String>,
    keys: Vec<String>,
    pager: Pager,
    how: How,
}

fn line(visit: &Visit, topic: Topic) -> Line {
    let made = Moment::of(topic.created_at, visit.now);
    Line { key: topic.key.to_string(), name: topic.name, subscribers: topic.subscribers, made }
}

async fn topics(visit: Visit) -> Shown {
    let after = visit.query.text("before").map(str::to_owned);
    let (found, next) = visit.scope().topics(&KeyPage { after, limit: ROWS }).await?;
    let calls = [
        ("PUT", "/v1/topics/followers-of-m7", json!({ "name": "Followers of m7" })),
        ("PUT", "/v1/topics/followers-of-m7/subscriptions/member-42", json!({})),
    ];
    show(&TopicsPage {
        frame: Frame::of(&visit, Section::Topics, "Topics"),
        rows: found.into_iter().map(|topic| line(&visit, topic)).collect(),
        pager: Pager::after(&visit.query, next.map(|key| key.to_string())),
        how: How::new(&visit, "publisher", &calls),
    })
}

async fn topic(visit: Visit, Path((_, key)): Path<(String, String)>) -> Shown {
    let key = key.parse().map_err(|_| Refusal::NotFound("topic"))?;
    let topic = visit.scope().topic(&key).await?.ok_or(Refusal::NotFound("topic"))?;
    let before = visit.query.before::<Id<Recipient>>()?;
    let subscribers = visit.scope().subscribers(&topic, &Page { before, limit: SUBSCRIBERS }).await?;
    let path = format!("/v1/topics/{}/subscriptions/member-42", in_path(key.as_str()));
    show(&TopicPage {
        frame: Frame::of(&visit, Section::Topics, format!("Topic {}", topic.key)),
        id: topic.id.to_string(),
        condition: topic.condition.clone(),
        keys: subscribers.rows.iter().map(|one| one.key.to_string()).collect(),
        pager: Pager::of(&visit.query, &subscribers),
        how: How::new(&visit, "publisher", &[("PUT", &path, json!({}))]),
        line: line(&visit, topic),
    })
}
