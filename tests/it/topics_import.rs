//! Imports of followers: any number of lines, of which those that are none are named and cost nothing else.

use reqwest::Method;
use serde_json::json;

use crate::harness::{App, Stack, bad, good};

on_both_stacks!(many_subscriptions_are_imported_a_line_each, an_import_from_a_file_says_what_it_did_not_take);

const LINES: usize = 20_000;

async fn many_subscriptions_are_imported_a_line_each(stack: Stack) {
    let app = App::start(stack).await;
    let path = "/v1/topics/t/subscriptions/import";
    let import = |lines: &[String]| app.client.post(path).body("application/x-ndjson", lines.join("\n")).send();
    let mut lines: Vec<String> = (0..LINES).map(|n| json!({ "recipient": format!("u{n}") }).to_string()).collect();
    import(&lines[..1]).await.expect_problem(404, "not_found");
    app.client.call(Method::PUT, "/v1/topics/t").json(&json!({})).send().await.expect(201);
    lines[1] = json!({ "recipient": "u1", "removed": null }).to_string();
    lines[10_000] = r#"{"recipient": ""}"#.to_owned();
    lines.insert(3, String::new());
    let done = import(&lines).await.expect(200);
    let counts = |lines: usize, subscribed: usize, unsubscribed: usize, created: usize, now: usize| {
        json!({ "lines": lines, "subscribed": subscribed, "unsubscribed": unsubscribed, "recipients_created": created,
            "subscribers": now, "refused": 1,
            "refused_lines": [{ "line": 10_002, "detail": "recipient: a key has 1 to 255 visible characters, and no spaces" }] })
    };
    assert_eq!(done.body, counts(LINES, LINES - 1, 0, LINES - 1, LINES - 1));
    assert_eq!(import(&lines).await.expect(200).body, counts(LINES, 0, 0, 0, LINES - 1));
    assert_eq!(app.client.get("/v1/topics/t").send().await.expect(200).body["subscribers"], LINES - 1);
    // Of the same key the last line counts, also where another transaction stored the first.
    lines.extend((0..3_000).map(|n| json!({ "recipient": format!("u{n}"), "removed": true }).to_string()));
    assert_eq!(import(&lines).await.expect(200).body, counts(LINES + 3_000, 0, 3_000, 0, LINES - 3_001));

    // So many are removed in parts, and people stay.
    app.client.delete("/v1/topics/t").send().await.expect(204);
    app.client.get("/v1/topics/t").send().await.expect_problem(404, "not_found");
    assert!(app.client.all("/v1/recipients/u5000/topics").await.is_empty());

    app.client.call(Method::PUT, "/v1/topics/t").json(&json!({})).send().await.expect(201);
    let wrong = app.client.post(path).body("text/plain", "{}").send().await;
    wrong.expect_problem(415, "unsupported_media_type");
}

async fn an_import_from_a_file_says_what_it_did_not_take(stack: Stack) {
    let app = App::start(stack).await;
    let folder = tempfile::tempdir().unwrap();
    let import = |topic: &str, bytes: &str| {
        let file = folder.path().join("followers");
        std::fs::write(&file, bytes).unwrap();
        app.shell(&["topic", "import", topic, file.to_str().unwrap()])
    };
    let told = |output: std::process::Output| String::from_utf8(output.stdout.clone()).unwrap() + &bad(output);
    assert!(told(import("posts/anna", r#"{"recipient": "u1"}"#)).contains("there is no such topic"));
    app.client.call(Method::PUT, "/v1/topics/posts%2Fanna").json(&json!({})).send().await.expect(201);
    let too_long = format!(r#"{{"recipient": "{}"}}"#, "x".repeat(5_000));
    let lines = [
        "\u{feff}{\"recipient\": \"u1\"}",
        &too_long,
        "{",
        r#"{"recipient": "u2", "gone": true}"#,
        r#"{"recipient": "u3"}"#,
    ];
    let text = told(import("posts/anna", &lines.join("\r\n")));
    for words in [
        "Lines: 5. Subscribed: 2. Unsubscribed: 0. New recipients: 2. Refused lines: 3. The topic has 2 subscribers.",
        "line 2 is no subscription: it has more than 4096 bytes",
        "line 3 is no subscription: column ",
        "line 4 is no subscription: gone: ",
        "lines that were refused: 3. All others are stored",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(told(import("posts/anna", "\n\n")).contains("has no subscription, so nothing was changed"));
    let text = good(import("posts/anna", r#"{"recipient": "u3", "removed": true}"#));
    assert!(text.contains("Unsubscribed: 1.") && text.contains("has 1 subscribers"), "{text}");
}
