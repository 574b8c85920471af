//! Holds the arrows between the rooms: what each may not know, read from the manifests and the `use` lines.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A room and the crates or modules that must not be named in it.
struct Room {
    folder: &'static str,
    must_not_know: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        folder: "core/src/domain",
        must_not_know: &[
            "sqlx",
            "redis",
            "axum",
            "reqwest",
            "tokio",
            "askama",
            "crate::store",
            "crate::queue",
            "crate::config",
        ],
    },
    Room {
        folder: "core/src/notify",
        must_not_know: &["sqlx", "redis", "axum", "reqwest", "tokio", "askama", "crate::store", "crate::queue"],
    },
    Room { folder: "core/src/store", must_not_know: &["axum", "askama", "reqwest", "redis", "crate::queue"] },
    Room { folder: "core/src/queue", must_not_know: &["sqlx", "axum", "askama", "reqwest", "crate::store"] },
    Room {
        folder: "api/src",
        must_not_know: &["askama", "redis", "sqlx", "reqwest", "postrider_worker", "postrider_dashboard"],
    },
    Room {
        folder: "worker/src",
        must_not_know: &["axum", "askama", "sqlx", "redis", "postrider_api", "postrider_dashboard"],
    },
    Room { folder: "dashboard/src", must_not_know: &["reqwest", "sqlx", "redis", "postrider_api", "postrider_worker"] },
];

/// Crates that a manifest must not depend on, tests' dependencies apart.
const MANIFESTS: &[(&str, &[&str])] = &[
    ("core", &["axum", "askama", "reqwest", "apalis", "postrider-api", "postrider-worker", "postrider-dashboard"]),
    ("api", &["askama", "redis", "sqlx", "reqwest", "backoff", "postrider-worker", "postrider-dashboard"]),
    ("worker", &["axum", "askama", "sqlx", "redis", "backoff", "postrider-api", "postrider-dashboard"]),
    ("dashboard", &["reqwest", "sqlx", "redis", "backoff", "postrider-api", "postrider-worker"]),
];

#[test]
fn no_room_names_what_it_must_not_know() {
    let mut broken = Vec::new();
    for room in ROOMS {
        for file in rust_files(&root().join(room.folder)) {
            let source = fs::read_to_string(&file).unwrap();
            for (line, name) in broken_arrows(&source, room.must_not_know) {
                broken.push(format!("{}:{line} names {name}", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "arrows are broken (docs/ARCHITECTURE.md):\n{}", broken.join("\n"));
}

#[test]
fn no_manifest_depends_against_the_arrows() {
    let mut broken = Vec::new();
    for (member, forbidden) in MANIFESTS {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        broken.extend(broken_dependencies(&manifest, forbidden).into_iter().map(|name| format!("{member}: {name}")));
    }
    assert!(broken.is_empty(), "manifests depend against the arrows:\n{}", broken.join("\n"));
}

#[test]
fn a_broken_arrow_is_found() {
    let source = "//! Knows no sqlx.\nuse std::fmt;\n// use redis::Client;\nuse {bytes::Bytes, sqlx::Row};\n\
        pub(crate) use crate::{\n    store::Pool,\n    domain::Id,\n};\nfn f() { let _x: redis::Value; let http_redis = \"sqlx::\"; }\n";
    let found = broken_arrows(source, &["sqlx", "redis", "crate::store", "crate::queue"]);
    assert_eq!(found, [(4, "sqlx"), (6, "crate::store"), (9, "redis")]);
    let manifest = "[dependencies]\nsqlx.workspace = true\nbytes = \"1\"\n[dev-dependencies]\nredis = \"1\"\n\
        [target.'cfg(unix)'.dependencies]\nhttp = { package = \"reqwest\", version = \"1\" }\n";
    assert_eq!(broken_dependencies(manifest, &["sqlx", "redis", "reqwest"]), ["sqlx", "reqwest"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A room that is not built yet has no files.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The first line that names each forbidden crate or module, as `name::`, in `use name` or inside a `use crate::{…}`.
fn broken_arrows<'a>(source: &str, forbidden: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    // How deep inside `use crate::{` (or `use super::…{` reaching the crate's root) a line stands; 0 outside.
    let mut depth = 0_usize;
    let mut code = Vec::new();
    for (at, line) in source.lines().enumerate() {
        let line = without_text(line);
        let opens = line.contains("use crate::{") || line.contains("use super::super::{");
        if depth > 0 || opens {
            code.push((at + 1, line.replace("use crate::{", "use crate::{ "), true));
            depth = (depth + line.matches('{').count()).saturating_sub(line.matches('}').count());
        } else {
            code.push((at + 1, line, false));
        }
    }
    for name in forbidden {
        let module = name.strip_prefix("crate::");
        let named = |line: &str, inside: bool| {
            let whole = line.replace("super::super::", "crate::");
            let in_group = inside && module.is_some_and(|module| names_word(&whole, module));
            in_group || names_path(&whole, name) || names_path(&whole, &format!("extern crate {name};"))
        };
        if let Some((at, ..)) = code.iter().find(|(_, line, inside)| named(line, *inside)) {
            found.push((*at, *name));
        }
    }
    found.sort_unstable();
    found
}

/// Whether `line` has `path` followed by `::`, `;`, ` as` or `{`, and is not the tail of a longer name.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + path.len()..];
        let alone = before.is_none_or(|c| !is_word(c) && c != ':');
        let in_use = line.trim_start().starts_with("use ") || line.contains(" use ");
        alone && (after.starts_with("::") || (in_use && !after.starts_with(is_word)) || path.ends_with(';'))
    })
}

/// Whether `word` stands in `line` as a first segment of a path in a group.
fn names_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !is_word(c) && c != ':') && !line[at + word.len()..].starts_with(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A line without its comment and the insides of its string literals.
fn without_text(line: &str) -> String {
    let mut code = String::new();
    let mut in_text = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if in_text => drop(characters.next()),
            '"' => in_text = !in_text,
            '/' if !in_text && characters.peek() == Some(&'/') => break,
            _ if in_text => {}
            _ => code.push(c),
        }
    }
    code
}

/// The forbidden crates among a manifest's dependencies (not its tests'), renamed ones included.
fn broken_dependencies<'a>(manifest: &str, forbidden: &[&'a str]) -> Vec<&'a str> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let mut tables: Vec<&toml::Table> = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    for holder in std::iter::once(&manifest).chain(targets.filter_map(toml::Value::as_table)) {
        for kind in ["dependencies", "build-dependencies"] {
            tables.extend(holder.get(kind).and_then(toml::Value::as_table));
        }
    }
    let depended = |name: &str| {
        tables.iter().any(|table| {
            let renamed = |value: &toml::Value| value.get("package").and_then(toml::Value::as_str) == Some(name);
            table.contains_key(name) || table.values().any(renamed)
        })
    };
    forbidden.iter().copied().filter(|name| depended(name)).collect()
}
