//! What a check of addresses found, as lines, as JSON, and as SARIF 2.1.0 (OASIS).

use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use postrider_core::domain::site::preflight::{Finding, Level};
use serde_json::{Value, json};

/// What stands in no path of a URI as it is (RFC 3986, section 3.3).
const NO_URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn text(findings: &[Finding], rules: &Path, pages: u64, rule_count: usize) -> String {
    let line = |finding: &Finding| {
        let place = finding.line.map(|line| format!("{}:{line}: ", rules.display())).unwrap_or_default();
        format!("{:<7} {place}{}: {} [{}]", level(finding), finding.path, finding.what, finding.what.code())
    };
    let mut lines: Vec<String> = findings.iter().map(line).collect();
    let of = |level: Level| findings.iter().filter(|finding| finding.what.level() == level).count();
    lines.push(format!(
        "Addresses: {pages}. Rules: {rule_count}. Errors: {}. Warnings: {}. Notes: {}.",
        of(Level::Error),
        of(Level::Warning),
        of(Level::Note)
    ));
    lines.join("\n")
}

pub(super) fn json(findings: &[Finding], pages: u64, rules: usize) -> serde_json::Result<String> {
    let one = |finding: &Finding| {
        json!({
            "code": finding.what.code(),
            "level": level(finding),
            "path": finding.path,
            "line": finding.line,
            "message": finding.what.to_string(),
        })
    };
    let findings: Vec<Value> = findings.iter().map(one).collect();
    serde_json::to_string_pretty(&json!({ "pages": pages, "rules": rules, "findings": findings }))
}

pub(super) fn sarif(findings: &[Finding], rules: &Path) -> serde_json::Result<String> {
    let mut codes: Vec<&str> = findings.iter().map(|finding| finding.what.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    let uri = percent_encode(rules.as_os_str().as_encoded_bytes(), NO_URI).to_string();
    let result = |finding: &Finding| {
        // A finding without a rule is about all of them.
        let line = finding.line.unwrap_or(1);
        json!({
            "ruleId": finding.what.code(),
            "level": level(finding),
            "message": { "text": format!("{}: {}", finding.path, finding.what) },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": uri },
                "region": { "startLine": line },
            } }],
        })
    };
    let results: Vec<Value> = findings.iter().map(result).collect();
    let known: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    let driver = json!({ "name": "postrider", "version": env!("CARGO_PKG_VERSION"), "rules": known });
    let run = json!({ "tool": { "driver": driver }, "results": results });
    serde_json::to_string_pretty(&json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] }))
}

fn level(finding: &Finding) -> &'static str {
    match finding.what.level() {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}
