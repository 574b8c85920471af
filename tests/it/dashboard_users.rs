//! Users, tokens and settings on the dashboard, and users whom a proxy signs in.

use crate::{
    dashboard::{PASSWORD, with_user},
    harness::{App, Browser, Stack},
};

on_both_stacks!(
    a_user_is_made_changed_given_a_password_and_removed,
    an_admin_of_one_tenant_decides_about_nobody_who_sees_more,
    a_token_is_made_shown_once_and_revoked,
    settings_show_where_they_are_set_and_no_secret,
    a_trusted_proxy_signs_users_in_and_nobody_else_does,
    a_form_is_taken_through_a_proxy_that_writes_another_host,
);

async fn a_user_is_made_changed_given_a_password_and_removed(stack: Stack) {
    let app = with_user(stack, "admin").await;
    app.client.new_tenant("acme").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let token = ada.open("/t/default/users").await.expect(200, "A new user").field("token");
    let token = ("token", token.as_str());
    ada.send("/t/default/users", &[token, ("name", "b b"), ("role", "viewer"), ("every", "1")])
        .await
        .expect(422, "user");
    ada.send("/t/default/users", &[token, ("name", "bob"), ("role", "viewer")]).await.expect(422, "No tenant");
    let form = [token, ("name", "bob"), ("role", "viewer"), ("tenant", "acme")];
    let password = secret(&ada.send("/t/default/users", &form).await.expect(200, "The password of bob").text);
    ada.send("/t/default/users", &form).await.expect(409, "already");
    let mut bob = Browser::signed_in(&app, "bob", &password).await;
    bob.open("/t/default").await.expect(404, "no tenant");
    let more = [token, ("role", "operator"), ("tenant", "acme"), ("tenant", "default")];
    ada.send("/t/default/users/bob/change", &more).await.expect(200, "operator");
    bob.open("/t/default").await.expect(200, "(operator)");
    let replaces = ada.open("/t/default/users").await.field("replaces");
    let renewed = [token, ("replaces", replaces.as_str())];
    let other =
        secret(&ada.send("/t/default/users/bob/password", &renewed).await.expect(200, "The password of bob").text);
    assert!(other != password && bob.open("/t/default").await.path.starts_with("/sign-in"), "signed out");
    Browser::signed_in(&app, "bob", &other).await;
    let list = crate::harness::good(app.shell(&["user", "list"]));
    let columns: Vec<_> = list.lines().map(|line| line.find("CREATED").or_else(|| line.find("20"))).collect();
    assert!(columns.len() == 3 && columns.iter().all(|column| *column == columns[0]), "one below another: {list}");
    ada.send("/t/default/users/ada/remove", &[token]).await.expect(409, "This is you");
    ada.send("/t/default/users/bob/remove", &[token]).await.expect(200, "A new user");
    ada.send("/t/default/users/bob/remove", &[token]).await.expect(404, "no user");
    let audit = ada.open("/t/default/audit?of=installation").await.expect(200, "user.change");
    assert!(audit.text.contains("user.remove"), "{}", audit.text);
}

async fn an_admin_of_one_tenant_decides_about_nobody_who_sees_more(stack: Stack) {
    let app = with_user(stack, "admin").await;
    app.client.new_tenant("acme").await;
    let made = app.shell(&["user", "create", "bob", "--role", "admin", "--tenant", "acme"]);
    let mut bob = Browser::signed_in(&app, "bob", crate::harness::good(made).trim()).await;
    let page = bob.open("/t/acme/users").await.expect(200, "A new user");
    assert!(!page.text.contains(">ada"), "{}", page.text);
    let token = page.field("token");
    let token = ("token", token.as_str());
    bob.send("/t/acme/users/ada/password", &[token]).await.expect(404, "no user");
    let every = [token, ("name", "eve"), ("role", "admin"), ("every", "1")];
    bob.send("/t/acme/users", &every).await.expect(422, "You do not see all tenants");
    let other = [token, ("name", "eve"), ("role", "admin"), ("tenant", "default")];
    bob.send("/t/acme/users", &other).await.expect(422, "No tenant is chosen");
    bob.open("/t/acme/settings").await.expect(403, "the role admin may");
    let reserved = [token, ("name", "portal"), ("role", "viewer"), ("tenant", "acme")];
    bob.send("/t/acme/users", &reserved).await.expect(409, "cannot be used here");
    let audit = bob.open("/t/acme/audit?of=installation").await;
    assert!(!audit.text.contains("user.create"), "{}", audit.text);
}

async fn a_token_is_made_shown_once_and_revoked(stack: Stack) {
    let app = with_user(stack, "admin").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/tokens").await.expect(200, "A new token");
    let (token, id) = (page.field("token"), page.once("tok"));
    let token = ("token", token.as_str());
    let form = [token, ("once", &id), ("name", "the <shop>"), ("role", "publisher"), ("days", "30")];
    let text = secret(&ada.send("/t/default/tokens", &form).await.expect(200, "The token the &#60;shop&#62;").text);
    assert!(text.starts_with("pr_"), "{text}");
    app.client.with_token(&text).post("/v1/events").json_text(r#"{"type":"a.b","payload":1}"#).send().await.expect(202);
    let list = ada.open("/t/default/tokens").await.expect(200, "in 29 d");
    assert!(!list.text.contains(&text), "shown once");
    let id = list.text.split("<code>tok_").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let revoke = format!("/t/default/tokens/tok_{id}/revoke");
    ada.send(&revoke, &[token]).await.expect(200, "has none");
    ada.send(&revoke, &[token]).await.expect(404, "no token");
    ada.send("/t/default/tokens", &[token, ("name", "a"), ("role", "viewer"), ("days", "0")]).await.expect(422, "1 to");
    ada.open("/t/default/audit").await.expect(200, "token.revoke");
}

async fn settings_show_where_they_are_set_and_no_secret(stack: Stack) {
    let app = with_user(stack, "admin").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open("/t/default/settings").await.expect(200, "variable <code>POSTRIDER_ADMIN_TOKEN</code>");
    assert!(page.text.contains("(hidden)") && page.text.contains("idempotency_hours"), "{}", page.text);
    assert!(!page.text.contains("test-admin"), "{}", page.text);
}

async fn a_trusted_proxy_signs_users_in_and_nobody_else_does(stack: Stack) {
    let start = |proxies: &'static str| {
        App::builder(stack)
            .env("POSTRIDER_PROXY_USER_HEADER", "x-forwarded-user")
            .env("POSTRIDER_TRUSTED_PROXIES", proxies)
            .start()
    };
    let app = start("127.0.0.1").await;
    crate::dashboard::create_user(&app, "ada", "operator");
    let mut ada = Browser::new(&app).telling("x-forwarded-user", "Ada");
    let page = ada.open("/t/default").await.expect(200, "(operator)");
    assert_eq!(page.path, "/t/default");
    assert!(!page.text.contains("/sign-out") && page.text.contains("signed in by your proxy"), "{}", page.text);
    let page = ada.open("/sign-in?next=%2Ft%2Fdefault%2Fjobs").await.expect(200, "Jobs");
    assert_eq!(page.path, "/t/default/jobs", "whom a proxy has signed in is asked for no password");
    ada.send("/t/default/dead-letters/bulk", &[("act", "replay")]).await.expect(403, "Nothing was done");
    let token = ada.open("/t/default/dead-letters/bulk?act=replay").await.expect(200, "0 dead letters");
    assert!(!token.text.contains("name=\"token\""), "nothing to send");
    let mut eve = Browser::new(&app).telling("x-forwarded-user", "eve");
    eve.open("/t/default").await.expect(403, "postrider user create eve");
    assert!(Browser::new(&app).open("/t/default").await.path.starts_with("/sign-in"));
    let app = start("10.0.0.1").await;
    crate::dashboard::create_user(&app, "ada", "operator");
    let mut ada = Browser::new(&app).telling("x-forwarded-user", "ada");
    assert!(ada.open("/t/default").await.path.starts_with("/sign-in"), "not from a trusted proxy");
}

async fn a_form_is_taken_through_a_proxy_that_writes_another_host(stack: Stack) {
    let app = App::builder(stack).env("POSTRIDER_PUBLIC_URL", "http://Hooks.example:80/").start().await;
    crate::dashboard::create_user(&app, "ada", "admin");
    let signs_in = async |origin: &str| {
        let form = [("name", "ada"), ("password", PASSWORD), ("next", "/t/default")];
        Browser::new(&app).send_from(origin, "/sign-in", &form).await
    };
    signs_in("http://hooks.example").await.expect(200, "All is well");
    signs_in("http://elsewhere.example").await.expect(403, "Nothing was done");
}

fn secret(page: &str) -> String {
    let text = page.split("data-copy><code>").nth(1).and_then(|rest| rest.split('<').next());
    text.expect("a secret that is shown").to_owned()
}
