//! Whoever goes astray at the dashboard or the portal: addresses that nothing is at, links that are cut off, more fields than
//! are read, forms that are stale or faulty. Each says what is wrong and what to do next.

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, create_user, die, with_user},
    dashboard_portal::link,
    harness::{App, Browser, MadeEndpoint, Receiver, Stack, good},
};

on_both_stacks!(
    an_address_that_ends_with_a_slash_leads_to_the_same_without_it,
    whoever_looks_for_a_page_that_is_none_sees_one_that_says_so,
    more_fields_than_are_read_are_refused_with_the_limit,
    a_range_that_ends_before_it_begins_is_a_fault_of_its_field,
    a_link_to_a_further_page_that_is_cut_off_says_so_on_every_list,
    a_stale_form_of_a_lane_s_limits_undoes_nothing,
    a_download_is_noted_with_who_took_it_and_by_which_filter,
    what_is_wrong_with_an_endpoint_stands_beside_its_field,
    an_admin_of_one_tenant_learns_of_no_user_of_another,
    the_portal_s_refusals_stand_in_its_own_layout,
    a_viewer_sees_that_an_address_changed_in_what_is_hidden_of_it,
    a_form_whose_session_is_over_leads_back_to_its_page_and_says_that_nothing_was_done,
);

async fn an_address_that_ends_with_a_slash_leads_to_the_same_without_it(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for (path, to) in [
        ("/t/default/", "/t/default"),
        ("/t/default/jobs/?state=dead&q=a%2Fb", "/t/default/jobs?state=dead&q=a%2Fb"),
        ("/t/default/nothing//", "/t/default/nothing"),
        ("/t/", "/t"),
        ("/t//", "/t"),
        ("/sign-in/", "/sign-in"),
        ("/portal/", "/portal"),
    ] {
        let answer = ada.stream(path).await;
        assert_eq!(answer.status(), 308, "{path}");
        assert_eq!(answer.headers()["location"], to, "{path}");
        assert!(answer.headers().contains_key("content-security-policy"), "{path}");
    }
    ada.open("/t/default").await.expect(200, "Overview");
    ada.send("/t/default/", &[]).await.expect(404, "There is no page");
    for elsewhere in ["//evil.example/", "/v1/events/"] {
        let answer = ada.stream(elsewhere).await;
        assert_eq!((answer.status().as_u16(), answer.headers().get("location")), (404, None), "{elsewhere}");
    }
}

async fn whoever_looks_for_a_page_that_is_none_sees_one_that_says_so(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/default/nothing/at/all").await.expect(404, "aria-label=\"Pages\"");
    ada.open("/t/default/lanes/%ff%fe").await.expect(404, "aria-label=\"Pages\"");
    ada.open("/sign-in/nothing").await.expect(404, "There is no page at this address");
    ada.open("/sign-out").await.expect(405, "nothing was done now");
    let mut reader = Browser::new(&app).telling("accept", "text/html,*/*");
    let page = reader.open("/dashboard").await.expect(404, "There is no page at this address");
    assert!(page.text.contains("href=\"/\""), "a way on: {}", page.text);
    for (path, accept) in [("/v1/nothing", "text/html"), ("/dashboard", "application/json")] {
        let answer = Browser::new(&app).telling("accept", accept).stream(path).await;
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!((answer.status().as_u16(), kind.as_str()), (404, "application/problem+json"), "{path}");
        for (name, value) in [("x-content-type-options", "nosniff"), ("cache-control", "no-store")] {
            assert_eq!(answer.headers()[name], value, "{path}");
        }
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    }
}

async fn more_fields_than_are_read_are_refused_with_the_limit(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open(&letter).await.field("token");
    let form: Vec<(&str, &str)> =
        std::iter::repeat_n(("x", "y"), 1_100).chain([("token", token.as_str()), ("reason", "none")]).collect();
    let page = ada.send(&format!("{letter}/discard"), &form).await.expect(422, "more than 1100 fields");
    assert!(page.text.contains("by a filter") && page.text.contains("aria-label=\"Pages\""), "{}", page.text);
    ada.send(&format!("{letter}/discard"), &form[1_000..]).await.expect(200, "discarded");
    let many = "x=y&".repeat(1_101);
    let page = ada.open(&format!("/t/default/dead-letters?{many}")).await.expect(422, "more than 1100 fields");
    assert!(page.text.contains("aria-label=\"Pages\""), "{}", page.text);
    ada.open(&format!("/sign-in?{many}")).await.expect(422, "more than 1100 fields");
    ada.open(&format!("/portal/open?{many}")).await.expect(422, "more than 1100 fields");
}

async fn a_range_that_ends_before_it_begins_is_a_fault_of_its_field(stack: Stack) {
    let (app, receiver) = (with_user(stack, "viewer").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, ["1"]).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for list in ["dead-letters", "jobs", "events"] {
        let path = format!("/t/default/{list}");
        let upside_down = ada.open(&format!("{path}?since=2999-01-02&until=2999-01-01")).await;
        let page = upside_down.expect(422, "id=\"since-fault\">2999-01-02T00:00:00.000Z is later than");
        assert!(page.text.contains("Nothing was looked for") && !page.text.contains("<table"), "{}", page.text);
        ada.open(&format!("{path}?since=2026-01-01&until=2026-01-01")).await.expect(200, "is like that");
        for far in ["20260-01-01", "9999-12-31", "-0001-01-01", "1969-12-31"] {
            ada.open(&format!("{path}?until={far}")).await.expect(422, "times are from 1970 to 9998");
        }
        ada.open(&format!("{path}?since=1970-01-01&until=9998-12-31")).await.expect(200, "<tbody>");
    }
    let resolved = "/t/default/dead-letters?resolved_since=2999-01-02&resolved_until=2999-01-01";
    ada.open(resolved).await.expect(422, "id=\"resolved_since-fault\"");
    let page = ada.open("/t/default/dead-letters?fingerprint=500").await;
    let page = page.expect(422, "id=\"fingerprint-fault\">&#34;500&#34; is no fingerprint");
    assert!(!page.text.contains(&letter), "{}", page.text);
}

async fn a_link_to_a_further_page_that_is_cut_off_says_so_on_every_list(stack: Stack) {
    let (app, receiver) = (with_user(stack, "admin").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await.id;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let of_endpoint = format!("endpoints/{endpoint}");
    for list in
        ["failures", "dead-letters", "jobs", "endpoints", &of_endpoint, "events", "operations", "audit", "tokens"]
    {
        let page = ada.open(&format!("/t/default/{list}?before=rubbish")).await;
        let page = page.expect(422, "Begin with its first page");
        let first = format!("<a href=\"/t/default/{}\">", list.split('/').next().unwrap());
        assert!(page.text.contains(&first), "{list}: {}", page.text);
    }
    let mut guest = Browser::new(&app);
    guest.open(&link(&app.client, json!({})).await).await.expect(200, "Your endpoints");
    for list in ["/portal".to_owned(), format!("/portal/{of_endpoint}")] {
        guest.open(&format!("{list}?before=rubbish")).await.expect(422, "Begin with its first page");
    }
}

async fn a_stale_form_of_a_lane_s_limits_undoes_nothing(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await.id;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    for lane in ["reports", endpoint.as_str()] {
        let path = format!("/t/default/lanes/{lane}");
        let page = ada.open(&path).await;
        let (token, seen) = (page.field("token"), page.field("seen"));
        let form = |limit| {
            [("token", token.as_str()), ("seen", seen.as_str()), ("concurrency_max", limit), ("rate_per_second", "")]
        };
        for _ in 0..2 {
            ada.send(&format!("{path}/limits"), &form("7")).await.expect(200, "value=\"7\"");
        }
        ada.send(&format!("{path}/limits"), &form("3")).await.expect(409, "Somebody else has changed these settings");
        let page = ada.open(&path).await.expect(200, "value=\"7\"");
        let fresh = [form("3")[0], ("seen", &page.field("seen")), form("3")[2]];
        ada.send(&format!("{path}/limits"), &fresh).await.expect(200, "value=\"3\"");
    }
}

async fn a_download_is_noted_with_who_took_it_and_by_which_filter(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let [letter] = die(&app, &receiver, [r#"{"card":"4111"}"#]).await;
    let id = letter.rsplit('/').next().unwrap();
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let export = "/t/default/dead-letters/export";
    ada.open(&format!("{export}?format=csv&status=500&payload=4111")).await.expect(200, id);
    ada.open(&format!("{export}?format=jsonl&id={id}")).await.expect(200, id);
    ada.open(&format!("{export}?format=csv&status=x")).await.expect(422, "Last status: ");
    let head = ada.head(&format!("{export}?format=csv")).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-type"]),
        (200, &"text/csv; charset=utf-8".parse().unwrap())
    );
    let page = ada.open_from_elsewhere(&format!("{export}?format=csv")).await;
    page.expect(403, "Another site's page led to this download".replace('\'', "&#39;").as_str());
    let audit = ada.open("/t/default/audit?action=dead_letter.export").await;
    let text = &audit.text;
    assert_eq!(text.matches("<td>dead_letter.export</td>").count(), 2, "{text}");
    for part in [
        "<td>ada</td><td>127.0.0.1</td>",
        "dead-letters-default.csv",
        "dead-letters-default.jsonl",
        "<dt>filter status code</dt><dd>500</dd>",
        "<dt>filter payload</dt><dd>(hidden)</dd>",
        "<dt>filter ids</dt><dd>1</dd>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("4111"), "{text}");
}

async fn what_is_wrong_with_an_endpoint_stands_beside_its_field(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/endpoints/new").await;
    assert!(!page.text.contains("aria-invalid"), "{}", page.text);
    let token = page.field("token");
    let bad = [("token", token.as_str()), ("url", "ftp://a.example/"), ("description", "kept"), ("timeout_ms", "5")];
    let page = ada.send("/t/default/endpoints", &bad).await.expect(422, "Nothing was saved");
    for name in ["url", "timeout_ms"] {
        let field = page.text.split(&format!("<input id=\"{name}\"")).nth(1).unwrap().split("</p>").next().unwrap();
        for part in [
            format!("aria-invalid=\"true\" aria-describedby=\"{name}-fault\""),
            format!("<span class=\"error\" id=\"{name}-fault\">"),
        ] {
            assert!(field.contains(&part), "{part}: {field}");
        }
    }
    assert_eq!(page.text.matches("aria-invalid").count(), 2, "{}", page.text);
}

async fn an_admin_of_one_tenant_learns_of_no_user_of_another(stack: Stack) {
    let app = with_user(stack, "admin").await;
    create_user(&app, "carol", "viewer");
    app.client.new_tenant("acme").await;
    let made = app.shell(&["user", "create", "bob", "--role", "admin", "--tenant", "acme"]);
    let mut bob = Browser::signed_in(&app, "bob", good(made).trim()).await;
    let token = bob.open("/t/acme/users").await.field("token");
    let make = |name| [("token", token.as_str()), ("name", name), ("role", "viewer"), ("tenant", "acme")];
    let page = bob.send("/t/acme/users", &make("carol")).await.expect(409, "The name carol cannot be used here");
    let reserved = bob.send("/t/acme/users", &make("portal")).await.expect(409, "The name portal cannot be used here");
    assert!(!page.text.contains("already") && !reserved.text.contains("already"), "{}", page.text);
    bob.send("/t/acme/users", &make("dave")).await.expect(200, "The password of dave");
    bob.send("/t/acme/users", &make("dave")).await.expect(409, "There is a user dave already");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open("/t/acme/users").await.field("token");
    let form = [("token", token.as_str()), ("name", "dave"), ("role", "viewer"), ("tenant", "default")];
    ada.send("/t/default/users", &form).await.expect(409, "There is a user dave already");
}

async fn the_portal_s_refusals_stand_in_its_own_layout(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let mut guest = Browser::new(&app);
    let page = guest.open("/portal").await.expect(403, "Ask whoever sent it");
    assert!(page.text.contains("<header class=\"top\">") && !page.text.contains("href=\"/portal\""), "{}", page.text);
    guest.open(&link(&app.client, json!({})).await).await.expect(200, "Your endpoints");
    let path = format!("/portal/endpoints/{id}");
    let page = guest.open(&path).await;
    let (token, once) = (page.field("token"), page.once("job"));
    guest.send(&format!("{path}/pause"), &[("token", &token)]).await.expect(200, "paused");
    let test = [("token", token.as_str()), ("once", once.as_str())];
    let page = guest.send(&format!("{path}/test"), &test).await.expect(409, "Resume it");
    for part in ["Your link ends", "<h1>Nothing was done</h1>", "To your endpoints", &format!("href=\"{path}\"")] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    for (path, status) in [
        ("/portal/endpoints/ep_00000000000000000000000000", 404),
        ("/portal/nothing/here", 404),
        (format!("{path}/pause").as_str(), 405),
    ] {
        let page = guest.open(path).await.expect(status, "Your link ends");
        assert!(page.text.contains("href=\"/portal\"") && !page.text.contains("Back to the endpoint"), "{}", page.text);
    }
}

async fn a_form_whose_session_is_over_leads_back_to_its_page_and_says_that_nothing_was_done(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let path = format!("/t/default/endpoints/{id}");
    for (referer, lands) in [
        (String::new(), path.clone()),
        (format!("{}/t/default/endpoints?q=hook", app.url()), "/t/default/endpoints?q=hook".to_owned()),
        ("https://evil.example/t/default/users".to_owned(), path.clone()),
    ] {
        let mut ada = Browser::new(&app).telling("referer", &referer);
        let page = ada.send(&format!("{path}/pause"), &[("token", "old")]).await;
        let page = page.expect(200, "Your session was over; nothing was done. Do it again.");
        let next = page.field("next").replace("&#38;", "&");
        let wrong = [("next", next.as_str()), ("name", "ada"), ("password", "wrong wrong wrong")];
        ada.send("/sign-in", &wrong).await.expect(403, "Your session was over; nothing was done. Do it again.");
        let right = [("next", next.as_str()), ("name", "ada"), ("password", PASSWORD)];
        let page = ada.send("/sign-in", &right).await;
        let page = page.expect(200, "Your session was over; nothing was done. Do it again.");
        let (mark, _) = page.path.rsplit_once(['?', '&']).unwrap();
        assert_eq!(mark, lands, "{}", page.path);
        let page = ada.open(&lands).await.expect(200, "aria-label=\"Pages\"");
        assert!(!page.text.contains("Your session was over"), "{}", page.text);
    }
    let page = Browser::new(&app).open(&path).await.expect(200, "Sign in");
    assert!(!page.text.contains("Your session was over"), "{}", page.text);
}

async fn a_viewer_sees_that_an_address_changed_in_what_is_hidden_of_it(stack: Stack) {
    let (app, receiver) = (with_user(stack, "operator").await, Receiver::start().await);
    create_user(&app, "vic", "viewer");
    let url = |key: &str| format!("{}?key={key}", receiver.url("/hook"));
    let MadeEndpoint { id, .. } = app.client.create_endpoint(&url("key-one"), json!({})).await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let path = format!("/t/default/endpoints/{id}/edit");
    let (token, url) = (ada.open(&path).await.field("token"), url("key-two"));
    let form = [("token", token.as_str()), ("url", &url), ("retries", "1, 2"), ("timeout_ms", "2500")];
    ada.send(&path, &form).await.expect(200, "key-two");
    let mut vic = Browser::signed_in(&app, "vic", PASSWORD).await;
    let audit =
        vic.open("/t/default/audit?action=endpoint.update").await.expect(200, "?key=(hidden) (hidden, changed)");
    assert!(!audit.text.contains("key-one") && !audit.text.contains("key-two"), "{}", audit.text);
}
