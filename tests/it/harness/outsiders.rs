//! Programs of others that read what is public: xmllint with the schemas of sitemaps, `feedparser` of PyPI and `rss-parser` of
//! npm. So files do not only agree with ourselves.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::from_test_run;

/// Reads `[{type, body}]` from stdin, and prints what it sees of each feed. Texts are left as they are, as long as the
/// package can be told so.
const FEEDPARSER: &str = r#"
import base64, calendar, json, sys
import feedparser

def at(time):
    return time and calendar.timegm(time)

def item(entry):
    return {
        "id": entry.get("id"), "is_address": entry.get("guidislink"), "link": entry.get("link"),
        "title": entry.get("title"), "published": at(entry.get("published_parsed")), "summary": entry.get("summary"),
        "content": entry.content[0].value if "content" in entry else None, "author": entry.get("author"),
        "section": entry.tags[0].term if "tags" in entry else None,
        "image": entry.media_content[0]["url"] if "media_content" in entry else None,
        "enclosures": [[one.href, one.length, one.type] for one in entry.enclosures],
    }

def feed(file):
    read = feedparser.parse(base64.b64decode(file["body"]), response_headers={"content-type": file["type"]},
                            sanitize_html=False, resolve_relative_uris=False)
    own = [link.href for link in read.feed.get("links", []) if link.rel == "self"]
    return {
        "fault": repr(read.get("bozo_exception")) if read.bozo else None, "version": read.version,
        "title": read.feed.get("title"), "link": read.feed.get("link"), "own": own[0] if own else None,
        "items": [item(entry) for entry in read.entries],
    }

json.dump([feed(file) for file in json.load(sys.stdin)], sys.stdout)
"#;

/// As the other one, with what this package sees: nothing of an Atom entry's enclosures and section.
const RSS_PARSER: &str = r"
const Parser = require(process.argv[1]);
const parser = new Parser({ customFields: { item: ['media:content'] } });
const item = (one) => ({
    id: one.id ?? one.guid, link: one.link, title: one.title, published: Date.parse(one.isoDate) / 1000,
    summary: one.summary ?? one.content, content: one['content:encoded'] ?? one.content, author: one.creator ?? one.author,
    section: one.categories?.[0], image: one['media:content']?.$.url,
    enclosures: one.enclosure ? [[one.enclosure.url, one.enclosure.length, one.enclosure.type]] : [],
});
const feed = async (file) => {
    const read = await parser.parseString(Buffer.from(file.body, 'base64').toString());
    return { title: read.title, link: read.link, own: read.feedUrl, items: read.items.map(item) };
};
const input = JSON.parse(require('fs').readFileSync(0));
Promise.all(input.map(feed)).then((feeds) => process.stdout.write(JSON.stringify(feeds)));
";

/// Schemas that the others lack: images in sitemaps, as Google's documentation has them.
const IMAGES: &str = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified"
    targetNamespace="http://www.google.com/schemas/sitemap-image/1.1"><xs:element name="image"><xs:complexType><xs:sequence>
    <xs:element name="loc" type="xs:anyURI"/></xs:sequence></xs:complexType></xs:element></xs:schema>"#;

/// A feed as somebody else reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct SeenFeed {
    /// What the reader complains about, where it can.
    #[serde(default)]
    pub(crate) fault: Option<String>,
    #[serde(default)]
    pub(crate) version: Option<String>,
    pub(crate) title: String,
    pub(crate) link: String,
    pub(crate) own: Option<String>,
    pub(crate) items: Vec<SeenItem>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct SeenItem {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) is_address: Option<bool>,
    pub(crate) link: String,
    pub(crate) title: String,
    /// In seconds since 1970.
    pub(crate) published: i64,
    pub(crate) summary: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) section: Option<String>,
    pub(crate) image: Option<String>,
    /// Address, length and type of each.
    pub(crate) enclosures: Vec<(String, String, String)>,
}

/// A feed as it was served.
pub(crate) struct ServedFeed {
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// What `feedparser` sees of each feed.
pub(crate) fn by_feedparser(feeds: &[ServedFeed]) -> Vec<SeenFeed> {
    let mut python = Command::new(from_test_run("POSTRIDER_TEST_PYTHON"));
    read_by(python.args(["-c", FEEDPARSER]), feeds)
}

/// What `rss-parser` sees of each feed.
pub(crate) fn by_rss_parser(feeds: &[ServedFeed]) -> Vec<SeenFeed> {
    let package = from_test_run("POSTRIDER_TEST_RSS_PARSER");
    read_by(Command::new("node").args(["-e", RSS_PARSER, &package]), feeds)
}

fn read_by(command: &mut Command, feeds: &[ServedFeed]) -> Vec<SeenFeed> {
    let one = |feed: &ServedFeed| json!({ "type": feed.content_type, "body": STANDARD.encode(&feed.body) });
    let input = Value::Array(feeds.iter().map(one).collect()).to_string();
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut process = spawned.expect("what tests/run installs starts");
    process.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    let ended = process.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).expect("what it saw")
}

/// Has xmllint read a document, and judge it by the schema of its root where the schemas are at hand: they are others' texts,
/// so no part of the project. `Err` has its complaint.
pub(crate) fn xmllint(folder: &Path, document: &str) -> Result<(), String> {
    let file = folder.join("document.xml");
    std::fs::write(&file, document).expect("a file of the test's own");
    let mut lint = Command::new("xmllint");
    lint.args(["--nonet", "--noout"]);
    if let Some(schema) = schema_of(folder, document) {
        lint.arg("--schema").arg(schema);
    }
    let said = lint.arg(&file).output().expect("xmllint, which tests/run installs");
    if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
}

fn schema_of(folder: &Path, document: &str) -> Option<PathBuf> {
    let schemas = std::env::var("POSTRIDER_TEST_XSD").ok()?;
    if document.contains("<sitemapindex ") {
        return Some(Path::new(&schemas).join("siteindex.xsd"));
    }
    if !document.contains("<urlset ") {
        return None;
    }
    let import = |(namespace, place): (&str, String)| {
        format!("<xs:import namespace=\"http://www.{namespace}\" schemaLocation=\"{place}\"/>")
    };
    let imports = [
        ("sitemaps.org/schemas/sitemap/0.9", format!("{schemas}/sitemap.xsd")),
        ("w3.org/1999/xhtml", format!("{schemas}/xhtml-link.xsd")),
        ("google.com/schemas/sitemap-news/0.9", format!("{schemas}/sitemap-news.xsd")),
        ("google.com/schemas/sitemap-image/1.1", "images.xsd".to_owned()),
    ];
    let all: String = imports.into_iter().map(import).collect();
    let all = format!("<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">{all}</xs:schema>");
    std::fs::write(folder.join("images.xsd"), IMAGES).expect("a file of the test's own");
    std::fs::write(folder.join("all.xsd"), all).expect("a file of the test's own");
    Some(folder.join("all.xsd"))
}
