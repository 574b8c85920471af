//! Notifications at the dashboard: what became of each for how many and for whom, whom there is to tell, and what they are told.

use std::process::Command;

use postrider_core::domain::UnixMs;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, create_user, with_user},
    harness::{
        App, Browser, Client, Page, SOON, Stack, eventually, good,
        notifying::{a_type, a_webhook_type, followers, notified, planned, receipt},
    },
};

on_both_stacks!(
    a_notification_is_listed_with_what_became_of_it_and_found_by_its_type_and_state,
    one_notification_says_what_became_of_it_and_which_jobs_tell_it,
    who_was_not_told_is_told_why_and_what_to_do_about_it,
    what_a_newer_one_took_the_place_of_says_so,
    what_waits_for_a_job_or_lost_it_is_told_by_its_job,
    one_that_is_scheduled_is_ended_by_an_operator_and_by_no_viewer,
    a_list_by_state_looks_at_a_bounded_number_and_goes_on_from_there,
    somebody_is_found_and_seen_with_their_wishes_and_their_inbox,
    an_address_that_was_suppressed_is_written_to_again_once_an_operator_says_so,
    addresses_that_nothing_is_sent_to_are_listed_and_found,
    an_operator_has_nothing_sent_to_an_address_and_lifts_that_again,
    a_topic_is_shown_with_its_subscribers_page_by_page,
    a_type_is_previewed_by_channel_language_and_recipient,
    the_event_by_which_endpoints_are_told_is_led_to,
    empty_pages_lead_on_with_commands_that_work,
    what_is_hidden_of_payloads_is_hidden_of_people_too,
    what_strangers_wrote_into_notifications_is_text_on_every_page,
    there_is_nobody_and_nothing_of_another_tenant,
);

const START: &str = "/t/default";

pub(crate) async fn put(client: &Client, path: &str, body: &Value) {
    let answer = client.call(Method::PUT, path).json(body).send().await;
    assert!((200..300).contains(&answer.status), "{path}: {}", answer.text);
}

/// A type `welcome` with all channels, whose e-mail has HTML of its own.
pub(crate) async fn a_welcome(client: &Client) {
    let notice = |title: &str| json!({ "title": title, "body": "{{ data.who }} is here", "url": "/members" });
    let html = "<style>p { color: red }</style><p>Hello <b>{{ recipient.key }}</b></p><script>top.document.title = 'x'</script>\
        <img src=\"https://tracker.example/a.png\" alt=\"\">";
    let mail = json!({ "subject": "Welcome {{ data.who }}", "text": "Hello {{ recipient.key }}", "html": html });
    let body = json!({ "name": "Welcome", "category": "account", "urgency": "high", "default_locale": "en",
        "sample": { "who": "Anna" },
        "channels": {
            "inbox": { "templates": { "en": notice("Welcome"), "de": notice("Willkommen") } },
            "push": { "templates": { "en": notice("Welcome, pushed") } },
            "email": { "templates": { "en": mail } },
        } });
    put(client, "/v1/notification-types/welcome", &body).await;
}

async fn told(client: &Client, body: Value) -> String {
    let id = notified(client, body).await;
    planned(client, &id).await;
    id
}

pub(crate) fn tomorrow() -> String {
    UnixMs(UnixMs::now().0 + 86_400_000).to_string()
}

fn has(page: Page, words: &[&str]) -> Page {
    words.iter().fold(page, |page, words| page.expect(200, words))
}

fn lacks(page: &Page, words: &str) {
    assert!(!page.text.contains(words), "{words} on {}: {}", page.path, page.text);
}

async fn a_notification_is_listed_with_what_became_of_it_and_found_by_its_type_and_state(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = format!("{START}/notifications");
    ada.open(&list).await.expect(200, "there is no type of notifications");
    a_type(&app.client).await;
    a_welcome(&app.client).await;
    ada.open(&list).await.expect(200, "Nobody was told anything yet");
    put(&app.client, "/v1/recipients/no", &json!({ "preferences": { "posts": { "inbox": false } } })).await;
    followers(&app.client, "fans", 0..30).await;
    let data = json!({ "who": "Anna", "n": 1 });
    let post = json!({ "type": "post", "recipients": ["m1", "no"], "topics": ["fans"], "data": data });
    let first = told(&app.client, post).await;
    let later = json!({ "type": "welcome", "recipients": ["m1"], "channels": ["inbox"], "data": { "who": "B" },
        "deliver_at": tomorrow() });
    let second = notified(&app.client, later).await;
    let page = ada.open(&list).await;
    let page = has(page, &[&first, "2 named", "/t/default/topics/fans\">fans", "31 delivered", "1 suppressed", "done"]);
    let page = has(page, &[&second, "scheduled", "nobody yet", "high"]);
    assert!(page.text.find(&second) < page.text.find(&first), "the newest is first: {}", page.text);
    let page = ada.open(&format!("{list}?type=post")).await.expect(200, &first);
    lacks(&page, &second);
    let page = ada.open(&format!("{list}?state=scheduled")).await.expect(200, &second);
    lacks(&page, &first);
    ada.open(&format!("{list}?state=dead+letters")).await.expect(200, "No notification is like that");
    ada.open(&format!("{list}?state=odd")).await.expect(422, "is no state of a notification");
    ada.open(&format!("{list}?type=No+Type")).await.expect(422, "is no key of a notification type");
    assert_eq!(ada.open(&format!("{list}?id={first}")).await.path, format!("{list}/{first}"));
    ada.open(&format!("{list}?id=ntf_00000000000000000000000000")).await.expect(404, "there is no notification");
}

async fn one_notification_says_what_became_of_it_and_which_jobs_tell_it(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_type(&app.client).await;
    followers(&app.client, "fans", 0..1_200).await;
    put(&app.client, "/v1/recipients/u3", &json!({ "preferences": { "posts": { "inbox": false } } })).await;
    let post = json!({ "type": "post", "recipients": ["m1"], "topics": ["fans"], "actor": "u5", "data": { "who": "Anna", "n": 7 } });
    let id = told(&app.client, post).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&format!("{START}/notifications/{id}")).await;
    let page = has(
        page,
        &[
            "data-label=\"Planned\">1,201<",
            "data-label=\"Delivered\">1,199<",
            "data-label=\"Suppressed\">2<",
            "1: they do not want this category on this channel",
            "1: they did it themselves",
            "There is nobody left to tell",
            "&#34;n&#34;: 7",
            "version 1",
            "/t/default/recipients/u5\">u5</a> <span class=\"soft\">did it, and is not told",
            "those who are named",
            "subscribers, chunk 2",
        ],
    );
    for kind in ["plan", "chunk"] {
        for job in app.client.all(&format!("/v1/jobs?kind=notification.{kind}")).await {
            let of_job = format!("{START}/jobs/{}", job["id"].as_str().unwrap());
            assert!(page.text.contains(&of_job), "{job}");
            ada.open(&of_job).await.expect(200, &format!("/t/default/notifications/{id}\">"));
        }
    }
    lacks(&page, "Cancel it");
    ada.open(&format!("{START}/notifications/ntf_00000000000000000000000000")).await.expect(404, "no notification");
}

async fn the_event_by_which_endpoints_are_told_is_led_to(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_webhook_type(&app.client).await;
    let alone = json!({ "category": "c", "default_locale": "en", "channels": { "webhook": {} } });
    put(&app.client, "/v1/notification-types/alone", &alone).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&format!("{START}/notification-types/alone")).await;
    lacks(&has(page, &["Event by webhook</dt><dd>alone", "Sample"]), "Preview, with its sample");
    let page = ada.open(&format!("{START}/notification-types")).await;
    has(page, &["inbox, webhook"]);
    let id = told(&app.client, json!({ "type": "alone", "data": {} })).await;
    let event = receipt(&app.client, &id).await.string("/event_id");
    let page = ada.open(&format!("{START}/notifications/{id}")).await;
    has(page, &[&format!("{START}/events/{event}\">{event}"), "each endpoint on webhook", "no endpoint"]);
    has(ada.open(&format!("{START}/notifications")).await, &["endpoints alone"]);
    let later = json!({ "type": "note", "recipients": ["m1"], "data": { "who": "a" }, "deliver_at": tomorrow() });
    let later = notified(&app.client, later).await;
    has(ada.open(&format!("{START}/notifications/{later}")).await, &["member.posted", "none is made yet"]);
    put(&app.client, "/v1/recipients/m1", &json!({})).await;
    let page = ada.open(&format!("{START}/recipients/m1")).await;
    lacks(&has(page, &["<th scope=\"col\">email</th>"]), "webhook");
}

async fn who_was_not_told_is_told_why_and_what_to_do_about_it(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_type(&app.client).await;
    followers(&app.client, "fans", 0..4).await;
    put(&app.client, "/v1/recipients/u1", &json!({ "preferences": { "posts": { "inbox": false } } })).await;
    put(&app.client, "/v1/recipients/stranger", &json!({})).await;
    let post = json!({ "type": "post", "topics": ["fans"], "actor": "u2", "data": { "who": "Anna", "n": 1 } });
    let id = told(&app.client, post).await;
    let read = json!({ "read": true });
    app.client.patch(&format!("/v1/recipients/u0/inbox/{id}")).json(&read).send().await.expect(200);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let of = |key: &str| format!("{START}/notifications/{id}/recipient?key={key}");
    let page = ada.open(&of("u0")).await;
    let page = has(
        page,
        &["state succeeded\">delivered", "handed in", "all of its recipients were found", "inbox: delivered"],
    );
    let page = has(page, &["they saw it in their inbox", "they read it", "/t/default/jobs/job_"]);
    lacks(&page, "archived");
    let page = ada.open(&of("u1")).await;
    has(page, &["suppressed", "they do not want this category on this channel", "They have to want it first"]);
    has(ada.open(&of("u2")).await, &["suppressed", "they did it themselves", "nobody is told what they did"]);
    let page = ada.open(&of("stranger")).await.expect(404, "they subscribed to none of its topics");
    page.expect(404, "to tell them, publish it for them by name");
    ada.open(&of("nobody")).await.expect(404, "There is nobody with this key");
    ada.open(&of("")).await.expect(404, "This is no key");
}

async fn what_a_newer_one_took_the_place_of_says_so(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_type(&app.client).await;
    let post = |at: Option<String>| {
        json!({ "type": "post", "recipients": ["m1"], "data": { "who": "A", "n": 1 }, "collapse_key": "match:<7>",
            "deliver_at": at })
    };
    let late = notified(&app.client, post(Some(tomorrow()))).await;
    let older = told(&app.client, post(None)).await;
    let newer = told(&app.client, post(None)).await;
    let waiting = app.client.all("/v1/jobs?kind=notification.plan&state=scheduled").await;
    app.client.post(&format!("/v1/jobs/{}/run-now", waiting[0]["id"].as_str().unwrap())).send().await.expect(202);
    planned(&app.client, &late).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let of = |id: &str| format!("{START}/notifications/{id}");
    ada.open(&of(&newer)).await.expect(200, "match:&#60;7&#62;");
    has(ada.open(&of(&late)).await, &["1: a newer one with the same collapse key took its place"]);
    let page = ada.open(&format!("{}/recipient?key=m1", of(&older))).await;
    has(page, &["inbox: delivered", &format!("inbox: {newer} took its place")]);
    let page = ada.open(&format!("{}/recipient?key=m1", of(&late))).await;
    has(page, &["only the newest of a <code>collapse_key</code>", &format!("took its place: {newer}")]);
}

async fn what_waits_for_a_job_or_lost_it_is_told_by_its_job(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_type(&app.client).await;
    followers(&app.client, "fans", 0..1_200).await;
    app.client.post("/v1/lanes/fanout:normal/pause").send().await.expect(200);
    let post = json!({ "type": "post", "topics": ["fans"], "data": { "who": "Anna", "n": 1 } });
    let id = notified(&app.client, post).await;
    eventually("all is planned", SOON, || async {
        (receipt(&app.client, &id).await.body["state"] == "delivering").then_some(())
    })
    .await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let of = format!("{START}/notifications/{id}");
    has(ada.open(&of).await, &["1,200 pending", "delivering", "not yet"]);
    let page = ada.open(&of).await;
    let second = page.text.split("chunk 2<").next().and_then(|before| before.rsplit("/jobs/").next()).unwrap();
    let job = second.split('"').next().unwrap();
    // Somebody whom the second chunk's job tells, and somebody whom the first one's does.
    let (mut theirs, mut other) = (None, None);
    for n in (0..1_200).rev() {
        let path = format!("{of}/recipient?key=u{n}");
        let page = ada.open(&path).await.expect(200, "state pending\">pending");
        let page = page.expect(200, "the job that tells them has not run to its end yet");
        let found = if page.text.contains(job) { &mut theirs } else { &mut other };
        found.get_or_insert(path);
        if theirs.is_some() && other.is_some() {
            break;
        }
    }
    app.client.post(&format!("/v1/jobs/{job}/cancel")).send().await.expect(200);
    let page = ada.open(&of).await;
    let page =
        has(page, &["1,000 pending", "200 suppressed", "200: somebody cancelled the job that would have told them"]);
    assert!(page.text.find("chunk 2") < page.text.find("chunk 1"), "what ended stands first: {}", page.text);
    let page = ada.open(&theirs.unwrap()).await;
    has(page, &["state cancelled\">suppressed", "somebody cancelled the job", "Publish it once more"]);
    ada.open(&other.unwrap()).await.expect(200, "state pending\">pending");
}

async fn one_that_is_scheduled_is_ended_by_an_operator_and_by_no_viewer(stack: Stack) {
    let app = with_user(stack, "operator").await;
    create_user(&app, "vic", "viewer");
    a_type(&app.client).await;
    let later =
        json!({ "type": "post", "recipients": ["m1"], "data": { "who": "A", "n": 1 }, "deliver_at": tomorrow() });
    let id = notified(&app.client, later).await;
    let of = format!("{START}/notifications/{id}");
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await;
    let page = vic.open(&of).await.expect(200, "It is told when it is due");
    lacks(&page, "/cancel\"");
    vic.send(&format!("{of}/cancel"), &[]).await.expect(403, "the role operator may");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open(&of).await.expect(200, "Cancel it").field("token");
    let page = ada.send(&format!("{of}/cancel"), &[("token", &token)]).await;
    let page = page.expect(200, "state cancelled\">cancelled").expect(200, "Somebody ended it before");
    lacks(&page, "Cancel it");
    ada.send(&format!("{of}/cancel"), &[("token", &token)]).await.expect(409, "All of its recipients were found");
    ada.open(&format!("{START}/audit")).await.expect(200, "job.cancel");
    ada.open(&format!("{START}/notifications?state=cancelled")).await.expect(200, &id);
}

async fn a_list_by_state_looks_at_a_bounded_number_and_goes_on_from_there(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_type(&app.client).await;
    let one = |deliver_at: Value| json!({ "type": "post", "recipients": ["m1"], "data": { "who": "A", "n": 1 }, "deliver_at": deliver_at });
    let oldest = notified(&app.client, one(json!(tomorrow()))).await;
    let mut ids = Vec::new();
    for n in 0..310 {
        ids.push(notified(&app.client, one(Value::Null)).await);
        if n == 279 {
            // So that a page does not end where one of the store does.
            notified(&app.client, one(json!(tomorrow()))).await;
        }
    }
    for id in &ids {
        planned(&app.client, id).await;
    }
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = format!("{START}/notifications");
    let next = |page: &Page| {
        let next = page.text.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
        next.map(|next| format!("{list}{}", next.replace("&#38;", "&")))
    };
    let page = ada.open(&format!("{list}?state=scheduled")).await.expect(200, "Look further back");
    lacks(&page, &oldest);
    let page = ada.open(&next(&page).expect("a next page")).await.expect(200, &oldest);
    assert_eq!(next(&page), None);
    for (query, count) in [("", 312), ("?state=done", 310)] {
        let (mut seen, mut path) = (Vec::new(), Some(format!("{list}{query}")));
        while let Some(here) = path {
            let page = ada.open(&here).await.expect(200, "Newest first");
            seen.extend(page.text.split("<span class=\"soft\">ntf_").skip(1).map(|rest| rest[..26].to_owned()));
            path = next(&page);
        }
        let listed = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), listed), (count, count), "each is listed once: {query}");
    }
}

async fn somebody_is_found_and_seen_with_their_wishes_and_their_inbox(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_type(&app.client).await;
    a_welcome(&app.client).await;
    let bea = json!({ "email": "bea@example.com", "email_state": "verified", "locale": "de-AT", "time_zone": "Europe/Vienna",
        "quiet_hours": { "from": "22:00", "to": "07:00", "days": ["mon", "tue"] },
        "preferences": { "posts": { "push": false, "inbox": true }, "old": { "email": false } },
        "attributes": { "name": "Bea" } });
    put(&app.client, "/v1/recipients/a%2Fb%3F", &bea).await;
    followers(&app.client, "fans", 0..60).await;
    put(&app.client, "/v1/topics/fans/subscriptions/a%2Fb%3F", &json!({})).await;
    let data = json!({ "who": "Anna", "n": 2 });
    let id = told(&app.client, json!({ "type": "post", "recipients": ["a/b?"], "data": data })).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = format!("{START}/recipients");
    let page = ada.open(&list).await.expect(200, "a/b?").expect(200, "bea@example.com");
    lacks(&page, ">u59<");
    let next = page.text.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    ada.open(&format!("{list}{next}")).await.expect(200, ">u9<");
    for q in ["a%2F", "bea%40example.com"] {
        let page = ada.open(&format!("{list}?q={q}")).await.expect(200, "/t/default/recipients/a%2Fb%3F");
        lacks(&page, ">u1<");
    }
    ada.open(&format!("{list}?q=zz")).await.expect(200, "Nobody is like that");
    let page = ada.open(&format!("{list}/a%2Fb%3F")).await;
    let page = has(
        page,
        &[
            "bea@example.com <span class=\"state succeeded\">verified",
            "de-AT",
            "Europe/Vienna",
            "from 22:00 to 07:00, on mon, tue",
            "&#34;name&#34;: &#34;Bea&#34;",
            "Anna hat geschrieben",
            "2 Zeilen → https://social.example/Anna",
            "state pending\">unseen",
            "/t/default/topics/fans",
            "<dd>1</dd>",
        ],
    );
    let row = |category: &str| {
        let row = page.text.split(&format!("<th scope=\"row\" class=\"title\">{category}</th>")).nth(1).expect("a row");
        row.split("</tr>").next().unwrap().to_owned()
    };
    assert!(
        row("posts").contains("data-label=\"push\"><span class=\"state cancelled\">does not want it"),
        "{}",
        row("posts")
    );
    assert!(row("posts").contains("data-label=\"inbox\"><span class=\"state succeeded\">wants it"), "{}", row("posts"));
    assert!(row("posts").contains("data-label=\"email\"><span class=\"soft\">not decided"), "{}", row("posts"));
    assert!(row("old").contains("does not want it") && row("account").contains("not decided"));
    ada.open(&format!("{START}/notifications/{id}/recipient?key=a/b?")).await.expect(200, "delivered");
    ada.open(&format!("{list}/nobody")).await.expect(404, "There is no recipient");
}

async fn an_address_that_was_suppressed_is_written_to_again_once_an_operator_says_so(stack: Stack) {
    let app = with_user(stack, "operator").await;
    create_user(&app, "vic", "viewer");
    let bounced = json!({ "email": "bea@example.com", "email_state": "suppressed", "email_reason": "550 no such user",
        "attributes": { "name": "Bea" } });
    put(&app.client, "/v1/recipients/m1", &bounced).await;
    let of = format!("{START}/recipients/m1");
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await;
    let page = vic.open(&of).await.expect(200, "Nothing is sent to their address").expect(200, "550 no such user");
    lacks(&page, "/lift\"");
    vic.send(&format!("{of}/lift"), &[]).await.expect(403, "the role operator may");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&of).await.expect(200, "Write to it again");
    let (token, address) = (page.field("token"), page.field("address"));
    let other = [("token", token.as_str()), ("address", "ann@example.com")];
    ada.send(&format!("{of}/lift"), &other).await.expect(409, "Somebody else has changed this address");
    let form = [("token", token.as_str()), ("address", address.as_str())];
    let page = ada.send(&format!("{of}/lift"), &form).await.expect(200, "unverified");
    assert_eq!(page.path, of);
    lacks(&page, "550 no such user");
    ada.send(&format!("{of}/lift"), &form).await.expect(409, "Somebody else has changed this address");
    let now = app.client.get("/v1/recipients/m1").send().await.expect(200);
    assert_eq!((&now.body["email_state"], &now.body["email_reason"]), (&json!("unverified"), &Value::Null));
    assert_eq!(now.body["attributes"], json!({ "name": "Bea" }));
    has(ada.open(&format!("{START}/audit")).await, &["recipient.lift_suppression", "550 no such user"]);
}

/// A server with people whose addresses are suppressed, of whom one has none any more.
async fn with_suppressions(stack: Stack) -> App {
    let app = with_user(stack, "operator").await;
    for (key, address) in [("m1", "bea@example.com"), ("a/b", "bea@example.com"), ("m3", "carl@example.com")] {
        let path = format!("/v1/recipients/{}", key.replace('/', "%2F"));
        put(&app.client, &path, &json!({ "email": address })).await;
    }
    for key in ["w1", "w2", "w3", "w4"] {
        put(&app.client, &format!("/v1/recipients/{key}"), &json!({ "email": "we@example.com" })).await;
    }
    put(&app.client, "/v1/suppressions/bea@example.com", &json!({ "cause": "bounce", "reason": "550 <no> such user" }))
        .await;
    put(&app.client, "/v1/suppressions/gone@example.com", &json!({ "cause": "complaint" })).await;
    put(&app.client, "/v1/suppressions/we@example.com", &json!({})).await;
    app
}

async fn addresses_that_nothing_is_sent_to_are_listed_and_found(stack: Stack) {
    let app = with_suppressions(stack).await;
    create_user(&app, "vic", "viewer");
    let list = format!("{START}/suppressions");
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await;
    let page = vic.open(&list).await;
    let row = |page: &Page, address: &str| {
        let row = page.text.split("<tr>").find(|row| row.contains(&format!("title\">{address}<")));
        row.unwrap_or_else(|| panic!("no row of {address}: {}", page.text)).to_owned()
    };
    let bea = row(&page, "bea@example.com");
    for words in [
        "state dead\">bounce",
        "550 &#60;no&#62; such user",
        "/recipients/a%2Fb\">a/b</a>, ",
        "/recipients/m1\">m1",
        "<time ",
    ] {
        assert!(bea.contains(words), "{words}: {bea}");
    }
    assert!(row(&page, "gone@example.com").contains("nobody's now"));
    let ours = row(&page, "we@example.com");
    assert!(
        ours.contains(">w3<") && !ours.contains(">w4<") && ours.contains("recipients?q=we%40example.com\">others"),
        "{ours}"
    );
    lacks(&page, "/lift\"");
    lacks(&page, "Send nothing to it");
    for (q, words) in [("bea", "bea@example.com"), ("bea%40EXAMPLE", "bea@example.com"), ("dora", "none begins so")] {
        let page = vic.open(&format!("{list}?q={q}")).await.expect(200, words);
        lacks(&page, "gone@example.com");
    }
    vic.open(&format!("{list}?cause=bounce")).await.expect(422, "it has no field");
    vic.send(&list, &[("address", "carl@example.com"), ("cause", "manual")]).await.expect(403, "the role operator may");
    vic.send(&format!("{list}/lift"), &[("address", "bea@example.com")]).await.expect(403, "the role operator may");
    vic.open(&format!("{START}/recipients")).await.expect(200, &format!("href=\"{list}\""));
}

async fn an_operator_has_nothing_sent_to_an_address_and_lifts_that_again(stack: Stack) {
    let app = with_suppressions(stack).await;
    let list = format!("{START}/suppressions");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.send(&list, &[("address", "carl@example.com"), ("cause", "manual")]).await.expect(403, "");
    let token = ada.open(&list).await.field("token");
    let add = |address: &'static str, cause: &'static str, reason: &'static str| {
        [
            ("token", token.clone()),
            ("address", address.to_owned()),
            ("cause", cause.to_owned()),
            ("reason", reason.to_owned()),
        ]
    };
    for (form, words) in [
        (add("carl", "manual", ""), "Address: an e-mail address has something before and after one @"),
        (add("carl@example.com", "odd", ""), "is no cause: bounce, complaint or manual"),
        (add("carl@example.com", "manual", "a\u{7}b"), "Reason: a reason has 1 to 500 characters"),
    ] {
        ada.send(&list, &form.each_ref().map(|(name, value)| (*name, value.as_str()))).await.expect(422, words);
    }
    let form = add("carl@Example.com", "manual", "asked by phone");
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let page = ada.send(&list, &form).await.expect(200, "asked by phone").expect(200, ">m3<");
    assert_eq!(page.path, format!("{list}?q=carl%40example.com"));
    ada.send(&list, &form).await.expect(200, "asked by phone");
    let carl = app.client.get("/v1/recipients/m3").send().await.expect(200);
    assert_eq!(
        (&carl.body["email_state"], &carl.body["email_reason"]),
        (&json!("suppressed"), &json!("asked by phone"))
    );
    let lift = [("token", token.as_str()), ("address", "bea@example.com")];
    let page = ada.send(&format!("{list}/lift"), &lift).await.expect(200, "carl@example.com");
    assert_eq!(page.path, list);
    lacks(&page, "title\">bea@example.com");
    ada.send(&format!("{list}/lift"), &lift).await.expect(404, "suppression");
    let bea = app.client.get("/v1/recipients/m1").send().await.expect(200);
    assert_eq!(bea.body["email_state"], "unverified");
    let page = ada.open(&format!("{START}/audit?action=suppression")).await;
    has(
        page,
        &[
            "suppression.put",
            "asked by phone",
            "suppression.lift",
            "550 &#60;no&#62; such user",
            "/suppressions?q=carl%40example.com",
        ],
    );
}

async fn a_topic_is_shown_with_its_subscribers_page_by_page(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    put(&app.client, "/v1/topics/a%2Fb", &json!({ "name": "All of a & b" })).await;
    followers(&app.client, "fans", 0..250).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = format!("{START}/topics");
    has(ada.open(&list).await, &["/t/default/topics/a%2Fb\">a/b", "All of a &#38; b", ">250<"]);
    ada.open(&format!("{list}/a%2Fb")).await.expect(200, "Nobody is here");
    let first = ada.open(&format!("{list}/fans")).await.expect(200, "<dd>250</dd>");
    let next = first.text.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let second = ada.open(&format!("{list}/fans{next}")).await.expect(200, "Newest");
    let keys = |page: &Page| page.text.matches("/t/default/recipients/u").count();
    assert_eq!((keys(&first), keys(&second)), (200, 50));
    ada.open(&format!("{list}/none")).await.expect(404, "There is no topic");
}

async fn a_type_is_previewed_by_channel_language_and_recipient(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    a_welcome(&app.client).await;
    put(&app.client, "/v1/recipients/bea", &json!({ "locale": "de" })).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let list = format!("{START}/notification-types");
    let page = ada.open(&list).await;
    has(page, &["/t/default/notification-types/welcome\">welcome", "account", "high", "inbox, push, email", "de, en"]);
    let of = format!("{list}/welcome");
    let page = ada.open(&of).await;
    let page = has(
        page,
        &["<strong>Welcome</strong>", "Anna is here", "leads to /members", "by inbox, of the templates in en"],
    );
    let page = has(page, &["{{ data.who }} is here", "<summary>de</summary>", "&#34;who&#34;: &#34;Anna&#34;"]);
    lacks(&page, "<iframe");
    ada.open(&format!("{of}?locale=de-AT")).await.expect(200, "<strong>Willkommen</strong>");
    ada.open(&format!("{of}?recipient=bea")).await.expect(200, "<strong>Willkommen</strong>");
    ada.open(&format!("{of}?channel=push&locale=de")).await.expect(200, "<strong>Welcome, pushed</strong>");
    ada.open(&format!("{of}?recipient=none")).await.expect(422, "there is no recipient");
    ada.open(&format!("{of}?locale=a+b")).await.expect(422, "is no language tag");
    ada.open(&format!("{of}?channel=webhook")).await.expect(200, "the type has no channel webhook");
    let page = ada.open(&format!("{of}?channel=email&recipient=bea")).await;
    let page =
        has(page, &["<strong>Welcome Anna</strong>", "Hello bea</pre>", "<iframe class=\"mail\" sandbox title="]);
    let src = page.text.split("</iframe>").next().and_then(|rest| rest.rsplit("src=\"").next()).unwrap();
    let src = src.split('"').next().unwrap().replace("&#38;", "&");
    // What somebody else wrote is framed and nothing else: it runs nothing and loads nothing.
    let framed = ada.stream(&src).await;
    assert_eq!(framed.status(), 200, "{src}");
    let policy = framed.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for rule in ["default-src 'none'", "sandbox;", "form-action 'none'", "frame-ancestors 'self'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("script-src") && !policy.contains("allow-"), "{policy}");
    let html = framed.text().await.unwrap();
    assert!(html.contains("Hello <b>bea</b>"), "{html}");
    ada.open(&format!("{list}/none")).await.expect(404, "There is no notification type");
}

/// The command that a page shows, as somebody copies it.
fn command(page: &Page) -> String {
    let code = page.text.split("<code>curl").nth(1).and_then(|rest| rest.split("</code>").next()).expect("a command");
    let code = code.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">");
    format!("curl{}", code.replace("&#38;", "&"))
}

async fn empty_pages_lead_on_with_commands_that_work(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let run = |page: &Page, role: &str| {
        let token = good(app.shell(&["token", "create", &format!("of {}", page.path), "--role", role]));
        let ran = Command::new("bash")
            .args(["-c", &format!("set -e\n{}", command(page))])
            .env("POSTRIDER_URL", app.url())
            .env("POSTRIDER_TOKEN", token.trim())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}: {ran:?}", command(page));
    };
    for (section, role, words) in [
        ("notification-types", "operator", "user.followed"),
        ("topics", "publisher", "followers-of-m7"),
        ("recipients?q=", "publisher", "member-42"),
        ("notifications", "publisher", "user.followed"),
        ("suppressions", "publisher", "angry@member.example"),
    ] {
        let path = format!("{START}/{section}");
        if section.starts_with("recipients") {
            app.client.delete("/v1/recipients/member-42").send().await.expect(204);
        }
        run(&ada.open(&path).await.expect(200, role), role);
        ada.open(&path).await.expect(200, words);
    }
    ada.open(&format!("{START}/recipients/member-42"))
        .await
        .expect(200, "bea@example.com")
        .expect(200, "They subscribe to none");
    run(&ada.open(&format!("{START}/topics/followers-of-m7")).await.expect(200, "Nobody is here"), "publisher");
    ada.open(&format!("{START}/topics/followers-of-m7")).await.expect(200, "/t/default/recipients/member-42");
    let told = || async {
        let inbox = app.client.all("/v1/recipients/member-42/inbox").await;
        inbox.first().map(|item| item["title"].clone())
    };
    assert_eq!(eventually("they are told", SOON, told).await, "Anna follows you");
}

async fn what_is_hidden_of_payloads_is_hidden_of_people_too(stack: Stack) {
    let app = App::builder(stack).env("POSTRIDER_REDACTED_FIELDS", "/email,/attributes/name,/who").start().await;
    create_user(&app, "vic", "viewer");
    create_user(&app, "ada", "operator");
    a_type(&app.client).await;
    put(
        &app.client,
        "/v1/recipients/m1",
        &json!({ "email": "b7@secret.example", "attributes": { "name": "Bea", "plan": "gold" } }),
    )
    .await;
    let id =
        told(&app.client, json!({ "type": "post", "recipients": ["m1"], "data": { "who": "Anna", "n": 1 } })).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await;
    let paths = ["recipients", "recipients/m1", &format!("notifications/{id}"), "notification-types/post"];
    for path in paths.map(|path| format!("{START}/{path}")) {
        let page = vic.open(&path).await.expect(200, "");
        for secret in ["b7@secret.example", "Bea", "Anna"] {
            // Templates that are previewed with the sample say what the sample says, which is nobody's.
            assert!(path.ends_with("/post") || !page.text.contains(secret), "{secret} on {path}: {}", page.text);
        }
    }
    has(vic.open(&format!("{START}/recipients/m1")).await, &["gold", "(hidden)", "hidden: it may repeat"]);
    vic.open(&format!("{START}/recipients?q=b7%40secret.example")).await.expect(403, "the role operator may");
    let token = ada.open(&format!("{START}/suppressions")).await.field("token");
    let form = [("token", token.as_str()), ("address", "b7@secret.example"), ("cause", "manual")];
    ada.send(&format!("{START}/suppressions"), &form).await.expect(200, "b7@secret.example");
    let token = ada.open(&format!("{START}/recipients/m1")).await.field("token");
    let form = [("token", token.as_str()), ("address", "b7@secret.example")];
    ada.send(&format!("{START}/recipients/m1/lift"), &form).await.expect(200, "unverified");
    vic.open(&format!("{START}/suppressions")).await.expect(403, "the role operator may");
    let page = vic
        .open(&format!("{START}/audit"))
        .await
        .expect(200, "suppression.put")
        .expect(200, "recipient.lift_suppression");
    lacks(&page, "b7@secret.example");
    vic.open(&format!("{START}/audit?subject=b7%40secret.example")).await.expect(403, "the role operator may");
    ada.open(&format!("{START}/audit")).await.expect(200, "b7@secret.example");
    vic.open(&format!("{START}/notification-types/post?recipient=m1")).await.expect(403, "the role operator may");
    has(ada.open(&format!("{START}/recipients?q=b7%40secret.example")).await, &["m1", "b7@secret.example"]);
    has(ada.open(&format!("{START}/recipients/m1")).await, &["Bea", "Anna posted"]);
}

async fn what_strangers_wrote_into_notifications_is_text_on_every_page(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let evil = "<script>alert(1)</script>";
    let notice = json!({ "title": "{{ data.who }}", "body": evil });
    let body = json!({ "name": evil, "category": "posts", "default_locale": "en", "sample": { "who": evil },
        "channels": { "inbox": { "templates": { "en": notice } },
            "email": { "templates": { "en": { "subject": "{{ data.who }}", "text": evil, "html": evil } } } } });
    put(&app.client, "/v1/notification-types/post", &body).await;
    let key = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let person = json!({ "attributes": { evil: evil }, "email": "a@b.example", "email_state": "suppressed", "email_reason": evil });
    put(&app.client, &format!("/v1/recipients/{key}"), &person).await;
    put(&app.client, &format!("/v1/topics/{key}"), &json!({ "name": evil })).await;
    put(&app.client, &format!("/v1/topics/{key}/subscriptions/{key}"), &json!({})).await;
    let id =
        told(&app.client, json!({ "type": "post", "recipients": [evil], "topics": [evil], "channels": ["inbox"], "data": { "who": evil } }))
            .await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for path in [
        "notifications".to_owned(),
        format!("notifications/{id}"),
        format!("notifications/{id}/recipient?key={key}"),
        "recipients".to_owned(),
        format!("recipients/{key}"),
        "topics".to_owned(),
        format!("topics/{key}"),
        "notification-types".to_owned(),
        "notification-types/post".to_owned(),
        "notification-types/post?channel=email".to_owned(),
        format!("notifications?type={key}"),
    ] {
        let page = ada.open(&format!("{START}/{path}")).await;
        assert!(page.status == 200 || page.status == 422, "{path}: {}", page.text);
        assert!(!page.text.contains("<script>") && page.text.contains("&#60;script&#62;"), "{path}: {}", page.text);
    }
}

async fn there_is_nobody_and_nothing_of_another_tenant(stack: Stack) {
    let app = with_user(stack, "operator").await;
    app.client.new_tenant("acme").await;
    a_type(&app.client).await;
    followers(&app.client, "fans", 0..2).await;
    let id = told(&app.client, json!({ "type": "post", "topics": ["fans"], "data": { "who": "A", "n": 1 } })).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open(&format!("{START}/endpoints/new")).await.field("token");
    for path in [
        &format!("notifications/{id}"),
        &format!("notifications/{id}/recipient?key=u1"),
        "recipients/u1",
        "topics/fans",
    ] {
        ada.open(&format!("{START}/{path}")).await.expect(200, "");
        ada.open(&format!("/t/acme/{path}")).await.expect(404, "There is no");
    }
    ada.open("/t/acme/notification-types/post").await.expect(404, "There is no notification type");
    assert_eq!(ada.stream("/t/acme/notification-types/post/mail").await.status(), 404);
    ada.send(&format!("/t/acme/notifications/{id}/cancel"), &[("token", &token)]).await.expect(404, "notification");
    ada.send("/t/acme/recipients/u1/lift", &[("token", &token)]).await.expect(404, "recipient");
    for path in ["notifications", "recipients", "topics", "notification-types"] {
        let page = ada.open(&format!("/t/acme/{path}")).await.expect(200, "");
        assert!(!page.text.contains(&id) && !page.text.contains("recipients/u1"), "{}", page.text);
    }
}
