//! News sitemaps of a locale.

use std::io;

use super::{
    Fault,
    address::{Seen, judge_of_locale},
    elements::{Format, Values, What, out_of_place, read, root_values, values},
    items::once,
    times::rfc_3339_of,
};
use crate::{
    domain::{
        UnixMs,
        site::{permalink::BaseUrl, text::cleaned},
    },
    site::{
        news::{AHEAD_MAX, ARTICLES_MAX, NEWS_FOR, Publication},
        sitemap::BYTES_MAX,
    },
};

/// Reads a news sitemap of a locale, that has just been made.
///
/// # Errors
/// The first thing in it that the news index would refuse or pass over.
pub(crate) fn judge_news(
    file: impl io::Read,
    base: &BaseUrl,
    publication: Publication<'_>,
    now: UnixMs,
) -> Result<u32, Fault> {
    let (seen, article) = (Seen::default(), Article::default());
    let mut news = News { base, publication, now, seen, article, last: None, count: 0 };
    read(file, &mut news)?;
    Ok(news.count)
}

struct News<'a> {
    base: &'a BaseUrl,
    publication: Publication<'a>,
    now: UnixMs,
    seen: Seen,
    article: Article,
    /// When the article before was published.
    last: Option<UnixMs>,
    count: u32,
}

/// One article as far as it is read.
#[derive(Default)]
struct Article {
    loc: Option<String>,
    name: Option<()>,
    language: Option<()>,
    published: Option<UnixMs>,
    title: Option<()>,
}

impl Format for News<'_> {
    const NAMESPACES: &'static [(&'static str, &'static str)] = &[
        ("xmlns", "http://www.sitemaps.org/schemas/sitemap/0.9"),
        ("xmlns:news", "http://www.google.com/schemas/sitemap-news/0.9"),
    ];
    const BYTES_MAX: u64 = BYTES_MAX;

    fn open(&mut self, path: &str, attributes: Values<'_>) -> Result<(), What> {
        let [] = match path {
            "urlset" => root_values(attributes, [])?,
            "urlset/url" => {
                self.article = Article::default();
                values(attributes, [])?
            }
            "urlset/url/loc"
            | "urlset/url/news:news"
            | "urlset/url/news:news/news:publication"
            | "urlset/url/news:news/news:publication/news:name"
            | "urlset/url/news:news/news:publication/news:language"
            | "urlset/url/news:news/news:publication_date"
            | "urlset/url/news:news/news:title" => values(attributes, [])?,
            _ => return Err(out_of_place(path)),
        };
        Ok(())
    }

    fn close(&mut self, path: &str, text: &str) -> Result<(), What> {
        let expected = match path {
            "urlset/url/loc" => {
                once(&mut self.article.loc, "an address", text.to_owned())?;
                return judge_of_locale(self.base, text);
            }
            "urlset/url/news:news/news:publication/news:name" => {
                once(&mut self.article.name, "news:name", ())?;
                cleaned(self.publication.name).0
            }
            "urlset/url/news:news/news:publication/news:language" => {
                once(&mut self.article.language, "news:language", ())?;
                self.publication.language.of_news().into()
            }
            "urlset/url/news:news/news:publication_date" => {
                let at = rfc_3339_of("news:publication_date", text)?;
                return once(&mut self.article.published, "news:publication_date", at);
            }
            "urlset/url/news:news/news:title" => {
                once(&mut self.article.title, "news:title", ())?;
                return if text.trim().is_empty() { Err("it has no title".to_owned()) } else { Ok(()) };
            }
            _ if !text.trim_ascii().is_empty() => return Err("there is text where none may be".to_owned()),
            "urlset/url" => return self.end(),
            _ => return Ok(()),
        };
        match text == expected && !text.is_empty() {
            true => Ok(()),
            false => Err(format!("its publication says {text:?} in place of {expected:?}")),
        }
    }

    fn at(&self) -> &str {
        self.article.loc.as_deref().unwrap_or_default()
    }
}

impl News<'_> {
    fn end(&mut self) -> Result<(), What> {
        let article = &self.article;
        let Some(loc) = &article.loc else { return Err("an entry has no address".to_owned()) };
        let (Some(()), Some(()), Some(())) = (article.name, article.language, article.title) else {
            return Err("an article lacks its title or its publication's name or language".to_owned());
        };
        let at = article.published.ok_or("an article lacks news:publication_date")?;
        if at + NEWS_FOR < self.now {
            return Err(format!("it was published at {at}, more than 48 hours ago"));
        }
        if at > self.now + AHEAD_MAX {
            return Err(format!("it is published at {at}, which is to come"));
        }
        if self.last.replace(at).is_some_and(|last| at > last) {
            return Err("it is newer than the article before it".to_owned());
        }
        if !self.seen.insert(loc) {
            return Err("it is there twice".to_owned());
        }
        self.count += 1;
        match self.count > ARTICLES_MAX {
            true => Err(format!("it has more than {ARTICLES_MAX} articles")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(inner: &str) -> Result<u32, String> {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
             xmlns:news=\"http://www.google.com/schemas/sitemap-news/0.9\">{inner}</urlset>"
        );
        let (base, language) = (BaseUrl::parse("https://a.example").unwrap(), "pt-BR".parse().unwrap());
        let now = UnixMs::parse("2026-01-31T12:00:00Z").unwrap();
        let publication = Publication { name: "A & B", language: &language };
        judge_news(text.as_bytes(), &base, publication, now).map_err(|fault| fault.to_string())
    }

    fn article(path: &str, at: &str) -> String {
        format!(
            "<url><loc>https://a.example/{path}</loc><news:news><news:publication><news:name>A &amp; B</news:name>\
             <news:language>pt</news:language></news:publication><news:publication_date>{at}</news:publication_date>\
             <news:title>a</news:title></news:news></url>"
        )
    }

    #[test]
    fn what_the_news_index_refuses_is_a_fault() {
        let good = article("a", "2026-01-31T11:00:00Z");
        assert_eq!(judged(&(good.clone() + &article("b", "2026-01-29T12:00:00Z"))), Ok(2));
        assert_eq!(judged(""), Ok(0));
        for (inner, words) in [
            (article("a", "2026-01-29T11:59:59Z"), "48 hours ago (at https://a.example/a)"),
            (article("a", "2026-01-31T13:00:00Z"), "to come"),
            (article("a", "2026-01-31"), "news:publication_date: \"2026-01-31\""),
            (article("a", "2026-01-31T11:00Z"), "news:publication_date"),
            (good.clone() + &article("b", "2026-01-31T11:00:01Z"), "newer than the article before it"),
            (good.repeat(2), "there twice"),
            (article("%e9", "2026-01-31T11:00:00Z"), "no UTF-8"),
            (good.replace(">pt<", ">pt-BR<"), "\"pt-BR\" in place of \"pt\""),
            (good.replace("A &amp; B", "Other"), "\"Other\" in place of \"A & B\""),
            (good.replace("<news:title>a</news:title>", ""), "lacks its title"),
            (good.replace("<news:title>a<", "<news:title> <"), "no title"),
            (good.replace("news:title", "news:keywords"), "the element news:keywords"),
            (good.replace("news:title", "title"), "the element title"),
            (good.replace("<loc>https://a.example/a</loc>", ""), "no address"),
        ] {
            let refused = judged(&inner).expect_err(&inner);
            assert!(refused.contains(words), "{inner}: {refused}");
        }
    }
}
