//! What changed between two versions of a published file, entry by entry: which were added, removed and changed, by their
//! addresses. Memory grows with the number of entries, which formats limit, and not with what is in them: each file is read as
//! a stream, and only what is shown of it is kept.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufReader},
    time::{Duration, Instant},
};

use flate2::bufread::GzDecoder;
use ring::digest::{SHA256, digest};
use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices_deadline};

use super::entries::{Entries, address, lines};

/// Entries that are shown, of whatever kind of change.
pub const SHOWN_MAX: usize = 200;
/// Lines that are shown of one entry, and characters of one line.
const LINES_MAX: usize = 20;
const LINE_CHARS_MAX: usize = 400;
/// Bytes of an entry that are looked at for its lines.
const ENTRY_BYTES_MAX: usize = 16 * 1024;
/// How long lines of one entry are compared before a coarser answer does.
const COMPARED_WITHIN: Duration = Duration::from_millis(20);

/// What became of the entries of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileDiff {
    pub added: u32,
    pub removed: u32,
    pub changed: u32,
    /// What stands before the entries: a feed's title, for example.
    pub head: LineDiff,
    /// The first [`SHOWN_MAX`] of them; those that changed before those that were added, and these before removed ones.
    pub entries: Vec<EntryDiff>,
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryDiff {
    pub became: Became,
    /// The address of its page; of an index, of its sitemap. Empty where it has none.
    pub address: String,
    /// Of one that changed.
    pub lines: LineDiff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Became {
    Changed,
    Added,
    Removed,
}

/// Lines that are in one version alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineDiff {
    pub lines: Vec<DiffLine>,
    /// How many there are beyond these.
    pub more: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// It is in the newer version; else it was in the older one.
    pub is_new: bool,
    pub text: String,
}

/// Of a text, enough to tell it from all others.
type Digest = [u8; 16];

impl Became {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// Compares two versions of a file, as they are kept.
///
/// # Errors
/// When one of them is cut off, or none of ours.
pub fn diff(before: &[u8], after: &[u8]) -> io::Result<FileDiff> {
    let mut found = FileDiff::default();
    let (known, head_before) = digests(before)?;
    let (mut seen, mut changed, mut added) = (HashSet::new(), HashMap::new(), Vec::new());
    let mut entries = read(after);
    let mut places = Vec::new();
    while let Some(entry) = entries.next()? {
        let address = address(&entry);
        let key = of(&address);
        match known.get(&key) {
            None => {
                found.added += 1;
                added.extend((added.len() < SHOWN_MAX).then_some(address));
            }
            Some(was) if *was != of(&entry) => {
                found.changed += 1;
                if changed.len() < SHOWN_MAX {
                    places.push(key);
                    changed.insert(key, (address, cut(entry)));
                }
            }
            Some(_) => {}
        }
        seen.insert(key);
    }
    found.head = line_diff(&lines(&head_before), &lines(entries.head()));
    let (mut removed, mut told) = (Vec::new(), HashMap::new());
    let mut entries = read(before);
    while let Some(entry) = entries.next()? {
        let address = address(&entry);
        let key = of(&address);
        if !seen.contains(&key) {
            found.removed += 1;
            removed.extend((removed.len() < SHOWN_MAX).then_some(address));
        } else if let Some((address, after)) = changed.remove(&key) {
            let lines = line_diff(&lines(&cut(entry)), &lines(&after));
            told.insert(key, EntryDiff { became: Became::Changed, address, lines });
        }
    }
    let bare = |became| move |address| EntryDiff { became, address, lines: LineDiff::default() };
    let changed = places.iter().filter_map(|key| told.remove(key)).collect();
    let added = added.into_iter().map(bare(Became::Added)).collect();
    found.entries = shown([changed, added, removed.into_iter().map(bare(Became::Removed)).collect()]);
    Ok(found)
}

/// Of each kind as many as have room, and a third of the room for each where all have many.
fn shown(mut kinds: [Vec<EntryDiff>; 3]) -> Vec<EntryDiff> {
    while kinds.iter().map(Vec::len).sum::<usize>() > SHOWN_MAX {
        if let Some(longest) = kinds.iter_mut().rev().max_by_key(|kind| kind.len()) {
            longest.pop();
        }
    }
    kinds.into_iter().flatten().collect()
}

fn read(gzip: &[u8]) -> Entries<BufReader<GzDecoder<&[u8]>>> {
    Entries::new(BufReader::with_capacity(64 * 1024, GzDecoder::new(gzip)))
}

/// Each entry by its address, and what stands before them.
fn digests(gzip: &[u8]) -> io::Result<(HashMap<Digest, Digest>, String)> {
    let (mut known, mut entries) = (HashMap::new(), read(gzip));
    while let Some(entry) = entries.next()? {
        known.insert(of(&address(&entry)), of(&entry));
    }
    Ok((known, entries.head().to_owned()))
}

fn of(text: &str) -> Digest {
    let mut short = Digest::default();
    short.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
    short
}

fn cut(mut entry: String) -> String {
    entry.truncate(entry.floor_char_boundary(ENTRY_BYTES_MAX));
    entry
}

fn line_diff(before: &[String], after: &[String]) -> LineDiff {
    let until = Instant::now() + COMPARED_WITHIN;
    let ops = capture_diff_slices_deadline(Algorithm::Myers, before, after, Some(until));
    let changes = ops.iter().flat_map(|op: &DiffOp| op.iter_changes(before, after));
    let mut changes = changes.filter(|change| change.tag() != ChangeTag::Equal);
    let line = |text: &String| match text.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.clone(),
    };
    let shown = changes.by_ref().take(LINES_MAX);
    let lines =
        shown.map(|change| DiffLine { is_new: change.tag() == ChangeTag::Insert, text: line(change.value_ref()) });
    LineDiff { lines: lines.collect(), more: changes.count() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{domain::UnixMs, site::Packer};

    fn packed(text: &str) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.write_all(text.as_bytes()).unwrap();
        packer.end().unwrap().dated(UnixMs(0))
    }

    fn sitemap(urls: impl IntoIterator<Item = (u32, &'static str)>) -> Vec<u8> {
        let url = |(n, at)| format!("<url><loc>https://a.example/{n}</loc><lastmod>{at}</lastmod></url>\n");
        let urls: String = urls.into_iter().map(url).collect();
        packed(&format!("<?xml?>\n<urlset>\n{urls}</urlset>\n"))
    }

    #[test]
    fn entries_are_told_by_their_addresses_whatever_their_order() {
        let found = diff(&sitemap([(1, "a"), (2, "a"), (3, "a")]), &sitemap([(4, "a"), (3, "b"), (1, "a")])).unwrap();
        assert_eq!((found.added, found.removed, found.changed), (1, 1, 1));
        let line = |is_new, text: &str| DiffLine { is_new, text: text.to_owned() };
        let lines = vec![line(false, "<lastmod>a</lastmod>"), line(true, "<lastmod>b</lastmod>")];
        let entry = |became, n: u32, lines| EntryDiff {
            became,
            address: format!("https://a.example/{n}"),
            lines: LineDiff { lines, more: 0 },
        };
        let entries =
            [entry(Became::Changed, 3, lines), entry(Became::Added, 4, vec![]), entry(Became::Removed, 2, vec![])];
        assert_eq!((found.entries.as_slice(), found.head), (entries.as_slice(), LineDiff::default()));
        assert_eq!(diff(&sitemap([(1, "a"), (2, "a")]), &sitemap([(2, "a"), (1, "a")])).unwrap(), FileDiff::default());
    }

    #[test]
    fn all_are_counted_and_some_of_each_kind_are_shown() {
        let before = sitemap((0..2_000).map(|n| (n, "a")));
        let after = sitemap((1_000..3_000).map(|n| (n, if n < 1_010 { "b" } else { "a" })));
        let found = diff(&before, &after).unwrap();
        assert_eq!((found.added, found.removed, found.changed), (1_000, 1_000, 10));
        let of = |became| found.entries.iter().filter(|entry| entry.became == became).count();
        assert_eq!([Became::Changed, Became::Added, Became::Removed].map(of), [10, 95, 95]);
        let all = diff(&sitemap([]), &before).unwrap();
        assert_eq!((all.added, all.entries.len()), (2_000, SHOWN_MAX));
    }

    #[test]
    fn of_a_long_entry_some_lines_are_shown_and_the_rest_is_counted() {
        let item = |word: &str| {
            let paragraphs: String = (0..30).map(|n| format!("<p>{word} {n}</p>\n")).collect();
            packed(&format!(
                "<rss>\n<item>\n<link>https://a.example/</link>\n{paragraphs}{}\n</item>\n</rss>\n",
                "x".repeat(500)
            ))
        };
        let found = diff(&item("a"), &item("b")).unwrap();
        assert_eq!((found.entries[0].lines.lines.len(), found.entries[0].lines.more), (LINES_MAX, 40));
        let head = |title: &str| packed(&format!("<feed>\n<title>{title}</title>\n</feed>\n"));
        let found = diff(&head("A"), &head(&"ü".repeat(500))).unwrap();
        assert_eq!(found.head.lines.len(), 2, "{found:?}");
        assert_eq!(found.head.lines[1].text.chars().count(), LINE_CHARS_MAX + 1);
        assert!(diff(b"nothing", &item("a")).is_err());
    }
}
