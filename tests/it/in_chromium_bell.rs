//! A product's page in a real browser, with the bell as docs/NOTIFICATIONS.md shows it: its badge moves by itself, whatever happens
//! to the server meanwhile.

use serde_json::{Value, json};

use crate::harness::{
    App, Chromium, Receiver, SOON, Script, Stack, eventually,
    notifying::{a_type, notified},
};

on_both_stacks!(
    a_badge_moves_by_itself_and_does_so_again_once_the_server_was_away,
    what_is_read_in_one_tab_moves_the_badge_of_another,
    what_a_newer_one_took_the_place_of_leaves_the_list,
    a_bell_goes_on_with_another_token_once_the_time_of_the_first_is_over,
);

const DOCUMENT: &str = include_str!("../../docs/NOTIFICATIONS.md");
/// What the document calls the server.
const DOCUMENTED: &str = "https://postrider.example";

/// A product's server, whose page has the bell of whoever is signed in there: `anna`.
async fn product(app: &App) -> Receiver {
    a_type(&app.client).await;
    app.client.call(reqwest::Method::PUT, "/v1/recipients/anna").json(&json!({})).send().await.expect(201);
    let bell = DOCUMENT.split("```html\n").find(|block| block.starts_with("<button id=\"bell\">")).expect("the bell");
    let bell = bell.split("```").next().unwrap().replace(DOCUMENTED, &app.url());
    let page =
        format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>A product</title>{bell}</html>");
    let product = Receiver::start().await;
    product.always("/", answer(page).with_header("content-type", "text/html"));
    product.always("/bell-token", token(app, 3_600).await);
    product
}

/// What the product's server passes on of the answer to its own call.
async fn token(app: &App, ttl_s: u32) -> Script {
    let made = app.client.post("/v1/recipients/anna/inbox/token").json(&json!({ "ttl_seconds": ttl_s })).send().await;
    answer(made.expect(201).body.to_string()).with_header("content-type", "application/json")
}

fn answer(body: String) -> Script {
    Script::Answer { status: 200, headers: Vec::new(), body: body.into_bytes() }
}

/// Tells anna something; its id.
async fn tell(app: &App, n: u32) -> String {
    notified(&app.client, json!({ "type": "post", "recipients": ["anna"], "data": { "who": "Zoë", "n": n } })).await
}

/// Waits until the badge says this and so many items are listed, on a page that was not loaded again.
async fn await_bell(chromium: &Chromium, badge: &str, items: usize) {
    let shown = async || {
        let shown = chromium
            .script("return [document.querySelector('#badge').textContent, document.querySelectorAll('#items li').length, window.stays]")
            .await;
        (shown == json!([badge, items, true])).then_some(())
    };
    eventually(&format!("a badge that says {badge:?}, of {items} items"), SOON, shown).await;
}

async fn look(chromium: &Chromium) {
    chromium.open("/").await;
    assert_eq!(chromium.script("window.stays = true").await, Value::Null);
}

async fn a_badge_moves_by_itself_and_does_so_again_once_the_server_was_away(stack: Stack) {
    let mut app = App::start(stack).await;
    let product = product(&app).await;
    tell(&app, 1).await;
    let chromium = Chromium::at(&product.url("")).await;
    look(&chromium).await;
    await_bell(&chromium, "1", 1).await;
    tell(&app, 2).await;
    await_bell(&chromium, "2", 2).await;
    let listen = app.url().trim_start_matches("http://").to_owned();
    assert!(app.terminate().await.success());
    let lost = async || {
        let failed =
            chromium.script("return fetch(base + '/readyz', { mode: 'no-cors' }).then(() => null, () => true)").await;
        failed.as_bool()
    };
    eventually("nobody answers", SOON, lost).await;
    app.restart_with("POSTRIDER_LISTEN", &listen).await;
    tell(&app, 3).await;
    await_bell(&chromium, "3", 3).await;
    tell(&app, 4).await;
    await_bell(&chromium, "4", 4).await;
    assert_eq!(product.requests("/bell-token").len(), 1, "it came back by itself, with the token that it had");
}

async fn what_is_read_in_one_tab_moves_the_badge_of_another(stack: Stack) {
    let app = App::start(stack).await;
    let product = product(&app).await;
    for n in 1..=3 {
        tell(&app, n).await;
    }
    let chromium = Chromium::at(&product.url("")).await;
    let one = chromium.new_tab().await;
    look(&chromium).await;
    await_bell(&chromium, "3", 3).await;
    let other = chromium.new_tab().await;
    look(&chromium).await;
    await_bell(&chromium, "3", 3).await;
    chromium.click("#items li").await;
    await_bell(&chromium, "2", 3).await;
    chromium.switch_to(&one).await;
    await_bell(&chromium, "2", 3).await;
    chromium.click("#bell").await;
    await_bell(&chromium, "", 3).await;
    chromium.switch_to(&other).await;
    await_bell(&chromium, "", 3).await;
}

async fn what_a_newer_one_took_the_place_of_leaves_the_list(stack: Stack) {
    let mut app = App::start(stack).await;
    let product = product(&app).await;
    product.first("/bell-token", [token(&app, 3).await], token(&app, 3_600).await);
    let score = async |app: &App, n: u32| {
        let body =
            json!({ "type": "post", "recipients": ["anna"], "data": { "who": "Zoë", "n": n }, "collapse_key": "k" });
        notified(&app.client, body).await
    };
    tell(&app, 1).await;
    score(&app, 2).await;
    let chromium = Chromium::at(&product.url("")).await;
    look(&chromium).await;
    await_bell(&chromium, "2", 2).await;
    score(&app, 3).await;
    let shown = async |n: u32| {
        let shows = format!("Zoë posted: {n} lines");
        eventually(&format!("{shows:?} stands first"), SOON, || async {
            let first = chromium.script("return document.querySelector('#items li').textContent").await;
            (first == json!(shows)).then_some(())
        })
        .await;
    };
    shown(3).await;
    await_bell(&chromium, "2", 2).await;
    // So it does where the page was cut off meanwhile, with a token whose time is over.
    let listen = app.url().trim_start_matches("http://").to_owned();
    assert!(app.terminate().await.success());
    app.restart_with("POSTRIDER_LISTEN", &listen).await;
    score(&app, 4).await;
    shown(4).await;
    await_bell(&chromium, "2", 2).await;
    product.wait_for("/bell-token", 2, SOON).await;
    score(&app, 5).await;
    shown(5).await;
    await_bell(&chromium, "2", 2).await;
}

async fn a_bell_goes_on_with_another_token_once_the_time_of_the_first_is_over(stack: Stack) {
    let app = App::start(stack).await;
    let product = product(&app).await;
    product.first("/bell-token", [token(&app, 2).await], token(&app, 3_600).await);
    tell(&app, 1).await;
    let chromium = Chromium::at(&product.url("")).await;
    look(&chromium).await;
    product.wait_for("/bell-token", 2, SOON).await;
    tell(&app, 2).await;
    await_bell(&chromium, "2", 2).await;
    assert_eq!(product.requests("/bell-token").len(), 2, "the second is good for an hour");
}
