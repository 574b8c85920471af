//! News sitemaps (Google, sitemap-news 0.9): the articles of a locale's last 48 hours, newest first.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    bounded::{Bounded, Bounds},
    sitemap::BYTES_MAX,
    xml::push_element,
};
use crate::domain::{
    UnixMs,
    site::{language::LanguageTag, permalink::Permalink},
};

/// Articles of one news sitemap.
pub const ARTICLES_MAX: u32 = 1_000;
/// How long an article is news.
pub const NEWS_FOR: Duration = Duration::from_hours(48);
/// How far a publisher's clock may be ahead of ours.
pub const AHEAD_MAX: Duration = Duration::from_mins(10);
const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
    xmlns:news=\"http://www.google.com/schemas/sitemap-news/0.9\">\n";
const FOOT: &str = "</urlset>\n";

/// Who publishes: the name as Google News shows it, and the locale's language.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    pub name: &'a str,
    pub language: &'a LanguageTag,
}

#[derive(Clone, Copy, Debug)]
pub struct Article<'a> {
    pub loc: &'a Permalink,
    pub title: &'a str,
    pub published_at: UnixMs,
}

/// Why an article is not in the sitemap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is older than 48 hours, as are all after it.
    Old,
    /// It is not published yet.
    Ahead,
    /// It is newer than the one before it.
    OutOfOrder,
    Full,
}

/// A news sitemap that is being written.
#[derive(Debug)]
pub struct NewsSitemap<'a, W> {
    file: Bounded<W>,
    publication: Publication<'a>,
    now: UnixMs,
    /// When the article before was published.
    last: Option<UnixMs>,
    /// One article, used again.
    one: String,
}

impl<'a, W: Write> NewsSitemap<'a, W> {
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, publication: Publication<'a>, now: UnixMs) -> io::Result<Self> {
        let bounds = Bounds { entries_max: ARTICLES_MAX, bytes_max: BYTES_MAX };
        let file = Bounded::begin(out, bounds, HEAD, FOOT)?;
        Ok(Self { file, publication, now, last: None, one: String::new() })
    }

    /// Adds an article, or nothing where it has no place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, article: Article<'_>) -> io::Result<Result<(), LeftOut>> {
        let at = article.published_at;
        match self.last {
            _ if at + NEWS_FOR <= self.now => return Ok(Err(LeftOut::Old)),
            _ if at > self.now + AHEAD_MAX => return Ok(Err(LeftOut::Ahead)),
            Some(last) if at > last => return Ok(Err(LeftOut::OutOfOrder)),
            _ => {}
        }
        let text = &mut self.one;
        text.clear();
        text.push_str("<url>\n");
        push_element(text, "loc", article.loc.as_str());
        text.push_str("<news:news>\n<news:publication>\n");
        push_element(text, "news:name", self.publication.name);
        push_element(text, "news:language", self.publication.language.of_news());
        text.push_str("</news:publication>\n");
        push_element(text, "news:publication_date", &at.in_seconds());
        push_element(text, "news:title", article.title);
        text.push_str("</news:news>\n</url>\n");
        let pushed = self.file.push(text)?.map_err(|_| LeftOut::Full);
        if pushed.is_ok() {
            self.last = Some(at);
        }
        Ok(pushed)
    }

    #[must_use]
    pub const fn articles(&self) -> u32 {
        self.file.entries()
    }

    /// What it was written to, and how many bytes it has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(self) -> io::Result<(W, u64)> {
        self.file.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    #[test]
    fn news_are_of_the_last_48_hours_and_the_newest_are_first() {
        let language: LanguageTag = "zh-Hant-HK".parse().unwrap();
        let loc = Permalink::parse("https://a.example/café").unwrap();
        let mut news = NewsSitemap::begin(Vec::new(), Publication { name: "A & B", language: &language }, NOW).unwrap();
        let mut push =
            |at: UnixMs| news.push(Article { loc: &loc, title: "One <two>\u{8}", published_at: at }).unwrap();
        assert_eq!(push(NOW + AHEAD_MAX + Duration::from_millis(1)), Err(LeftOut::Ahead));
        assert_eq!(push(NOW - Duration::from_secs(1)), Ok(()));
        assert_eq!(push(NOW), Err(LeftOut::OutOfOrder));
        assert_eq!(push(NOW - NEWS_FOR), Err(LeftOut::Old));
        let (text, _) = news.end().unwrap();
        let expected = format!(
            "{HEAD}<url>
<loc>https://a.example/caf%C3%A9</loc>
<news:news>
<news:publication>
<news:name>A &amp; B</news:name>
<news:language>zh-tw</news:language>
</news:publication>
<news:publication_date>2023-11-14T22:13:19Z</news:publication_date>
<news:title>One &lt;two&gt;</news:title>
</news:news>
</url>
{FOOT}"
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_news_sitemap_has_a_thousand_articles_at_most() {
        let language: LanguageTag = "de".parse().unwrap();
        let loc = Permalink::parse("https://a.example/").unwrap();
        let mut news = NewsSitemap::begin(io::sink(), Publication { name: "A", language: &language }, NOW).unwrap();
        let article = Article { loc: &loc, title: "a", published_at: NOW };
        while news.push(article).unwrap() != Err(LeftOut::Full) {}
        assert_eq!(news.articles(), ARTICLES_MAX);
    }
}
