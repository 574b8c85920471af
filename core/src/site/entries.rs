//! The entries of a file that was published, one after the other: an address of a sitemap, an item of a feed, a sitemap of an
//! index. Reads what our own writers write, which begin and end each entry with a line of its own.

use std::io::{self, BufRead};

use serde::Deserialize;

use super::sitemap::BYTES_MAX;

/// What an entry begins and ends with.
const MARKS: [(&str, &str); 4] =
    [("<url>", "</url>"), ("<sitemap>", "</sitemap>"), ("<item>", "</item>"), ("<entry>", "</entry>")];
/// What stands after the last entry.
const FEET: [&str; 6] = ["</urlset>", "</sitemapindex>", "</channel>", "</rss>", "</feed>", "]}"];
/// What goes around the address in an entry, of which the first that is there counts.
const ADDRESSES: [(&str, &str); 3] = [("<loc>", "</loc>"), ("<link>", "</link>"), ("href=\"", "\"")];

/// The file's entries, read as they are asked for.
pub(super) struct Entries<R> {
    from: R,
    /// What stands before the first entry.
    head: String,
    line: Vec<u8>,
    bytes_left: u64,
}

impl<R: BufRead> Entries<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, head: String::new(), line: Vec::new(), bytes_left: BYTES_MAX }
    }

    /// What stands before the first entry, once that was read.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    /// The next entry; `None` after the last.
    ///
    /// # Errors
    /// When the file is cut off, is no text, or has more bytes than any that is published.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        let is_first = self.head.is_empty();
        while let Some(line) = self.line()? {
            if line.starts_with("{\"url\":") {
                return Ok(Some(line.trim_end().trim_end_matches(',').to_owned()));
            }
            if let Some((_, end)) = MARKS.iter().find(|(begin, _)| line.starts_with(begin)) {
                return self.rest(line, end).map(Some);
            }
            if is_first && !FEET.contains(&line.trim_end()) {
                self.head.push_str(&line);
            }
        }
        Ok(None)
    }

    /// An entry to its end, which is none within a CDATA section.
    fn rest(&mut self, first: String, end: &str) -> io::Result<String> {
        let (mut entry, mut line, mut is_quoted) = (String::new(), first, false);
        loop {
            is_quoted = is_open(&line, is_quoted);
            let ends = !is_quoted && line.trim_end().ends_with(end);
            entry.push_str(&line);
            if ends {
                return Ok(entry);
            }
            line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        }
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        self.line.clear();
        let read = io::Read::take(&mut self.from, self.bytes_left + 1).read_until(b'\n', &mut self.line)?;
        self.bytes_left = self.bytes_left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        let text = std::str::from_utf8(&self.line).map_err(io::Error::other)?;
        Ok((read > 0).then(|| text.to_owned()))
    }
}

/// Whether a CDATA section is open after the line.
fn is_open(line: &str, mut is_open: bool) -> bool {
    let mut rest = line;
    loop {
        let mark = if is_open { "]]>" } else { "<![CDATA[" };
        let Some((_, after)) = rest.split_once(mark) else { return is_open };
        (rest, is_open) = (after, !is_open);
    }
}

/// The address that an entry is known by, as readers see it; empty where it has none.
pub(super) fn address(entry: &str) -> String {
    #[derive(Deserialize)]
    struct Item {
        url: String,
    }
    if entry.starts_with('{') {
        return serde_json::from_str(entry).map(|item: Item| item.url).unwrap_or_default();
    }
    let between = |(begin, end): &(&str, &str)| Some(entry.split_once(begin)?.1.split_once(end)?.0);
    let raw = ADDRESSES.iter().find_map(between).unwrap_or_default();
    quick_xml::escape::unescape(raw).map_or_else(|_| raw.to_owned(), std::borrow::Cow::into_owned)
}

/// An entry, or what stands before all, as people read it: an element or a member on each line, and each line of a text.
pub(super) fn lines(entry: &str) -> Vec<String> {
    let apart = match entry.starts_with('{') {
        true => entry.replace(",\"", ",\n\"").replace("\\n", "\n"),
        false => entry.to_owned(),
    };
    let apart = apart.replace("><", ">\n<");
    apart.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, String) {
        let mut entries = Entries::new(text.as_bytes());
        let mut read = Vec::new();
        while let Some(entry) = entries.next().unwrap() {
            read.push(entry);
        }
        (read, entries.head().to_owned())
    }

    #[test]
    fn an_entry_ends_where_its_element_does_and_not_where_its_text_says_so() {
        let item = "<item>\n<link>https://a.example/?a&amp;b</link>\n<content:encoded><![CDATA[x]]]]><![CDATA[>\n</item>\n<item>\n\
            y]]></content:encoded>\n</item>\n";
        let (entries, head) =
            read(&format!("<rss>\n<channel>\n<link>https://a.example/</link>\n{item}{item}</channel>\n</rss>\n"));
        assert_eq!((entries, head.lines().count()), (vec![item.to_owned(), item.to_owned()], 3));
        assert_eq!(address(item), "https://a.example/?a&b");
        let url = "<url><loc>https://a.example/b</loc><lastmod>2026-11-22T10:00:00Z</lastmod></url>\n";
        let (entries, head) = read(&format!("<?xml?>\n<urlset>\n{url}</urlset>\n"));
        assert_eq!((entries, head.as_str()), (vec![url.to_owned()], "<?xml?>\n<urlset>\n"));
        assert_eq!(lines(url).len(), 4);
        let json = "{\"title\":\"A\",\"items\":[\n{\"url\":\"https://a.example/1\",\"id\":\"1\"},\n{\"url\":\"https://a.example/2\"}\n]}\n";
        let (entries, _) = read(json);
        assert_eq!(
            entries.iter().map(|entry| address(entry)).collect::<Vec<_>>(),
            ["https://a.example/1", "https://a.example/2"]
        );
        let atom = "<entry>\n<link rel=\"alternate\" type=\"text/html\" href=\"https://a.example/c\"/>\n</entry>\n";
        assert_eq!(address(&read(atom).0[0]), "https://a.example/c");
    }

    #[test]
    fn a_file_that_is_cut_off_is_not_taken_for_a_whole_one() {
        let mut entries = Entries::new("<urlset>\n<url><loc>https://a.example/</loc>\n".as_bytes());
        assert_eq!(entries.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(Entries::new([b'<', 0xff].as_slice()).next().is_err());
    }
}
