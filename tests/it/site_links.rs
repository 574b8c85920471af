//! `postrider site check-links`, as a deployment's pipeline runs it.

use std::{fs, process::Output};

use serde_json::Value;

use crate::harness::{bad, good, postrider};

/// What a command complained that could try nothing.
#[track_caller]
fn unusable(output: Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

const PAGES: &str = "# two of 17 languages
https://example.com/news/café
https://xn--bcher-kva.example/de/%C3%BCber-uns?page=2
";

fn check(rules: &str, pages: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let [rules_file, pages_file] = ["rules #1", "pages"].map(|name| folder.path().join(name));
    fs::write(&rules_file, rules).unwrap();
    fs::write(&pages_file, pages).unwrap();
    let mut command = postrider(folder.path());
    command.args(["site", "check-links", "--redirects"]).arg(rules_file).arg("--pages").arg(pages_file).args(args);
    command.output().unwrap()
}

#[test]
fn rules_that_leave_each_page_where_it_is_pass() {
    let told = good(check("exact /old /news/café\n", PAGES, &[]));
    assert!(told.contains("Addresses: 2. Rules: 1. Errors: 0. Warnings: 0. Notes: 4."), "{told}");
    assert!(told.contains("(NFD)") && told.contains("spelling-unhandled"), "{told}");
    assert!(bad(check("", PAGES, &["--fail-on", "note"])).contains("4 of these have to be mended"));
}

#[test]
fn a_page_that_is_redirected_away_fails_the_pipeline() {
    let output = check("# archive\nprefix /news/ /archive/\n", PAGES, &[]);
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(told.contains("rules #1:2: https://example.com/news/caf%C3%A9: the page is redirected away"), "{told}");
    assert!(bad(output).contains("1 of these has to be mended"));
    good(check("prefix /news/ /archive/\n", PAGES, &["--fail-on", "never"]));
}

#[test]
fn findings_are_told_to_programs_and_to_code_hosts() {
    let rules = "exact /a /b\nexact /b /a\n";
    let json = |format| serde_json::from_slice::<Value>(&check(rules, PAGES, &["--format", format]).stdout).unwrap();
    let found = json("json");
    assert_eq!((&found["pages"], &found["rules"]), (&2.into(), &2.into()));
    assert_eq!((&found["findings"][0]["code"], &found["findings"][0]["line"]), (&"redirect-loop".into(), &1.into()));
    let run = &json("sarif")["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "postrider");
    assert_eq!((&run["results"][0]["ruleId"], &run["results"][0]["level"]), (&"redirect-loop".into(), &"error".into()));
    let place = &run["results"][1]["locations"][0]["physicalLocation"];
    assert_eq!(place["region"]["startLine"], 2);
    assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with("/rules%20%231"), "{place}");
}

#[test]
fn what_is_no_rule_or_no_address_is_named_with_its_line() {
    assert!(unusable(check("exact /a\n", PAGES, &[])).contains("line 1: \"exact /a\" is no rule"));
    let refused = check("", "https://example.com/caf%25C3%25A9\n/a\nhttps://example.com/b\n", &[]);
    let told = String::from_utf8(refused.stdout.clone()).unwrap();
    assert!(bad(refused).contains("2 of these have to be mended"));
    for words in [
        "encoded twice: %25C3",
        "/a: no page can have this address: \"/a\" is no absolute address; write all of it",
        "Addresses: 3.",
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    assert!(unusable(check("", "# none\n", &["--fail-on", "never"])).contains("has no address, so nothing was tried"));
    assert!(unusable(check("regex ^/(a)$ /$2\n", PAGES, &[])).contains("no such group"));
    let mut command = postrider(&std::env::temp_dir());
    command.args(["site", "check-links", "--redirects", "/nowhere/rules", "--pages", "/nowhere/pages"]);
    assert!(unusable(command.output().unwrap()).contains("/nowhere/rules cannot be read: No such file"));
}
