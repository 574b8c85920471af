//! What partners would refuse of a locale's newest items, by the rules that they have published. Each rule names its source;
//! what no source says is no rule here.

use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

use super::{latest::FEED_ITEMS, news::ARTICLES_MAX};
use crate::domain::{
    UnixMs,
    site::{
        change::NEWS_AGE,
        media::{Media, MediaState},
        page::{Page, Translation},
        settings::Locale,
    },
};

const GOOGLE_NEWS_SITEMAP: &str = "https://developers.google.com/search/docs/crawling-indexing/sitemaps/news-sitemap";
const MSN_ITEMS: &str = "https://support.microsoft.com/en-us/topic/msn-feed-item-metadata-requirements-0114c19c-36bb-4fef-8322-4a1ed6888329";
const MSN_FEEDS: &str = "https://helpcenter.microsoftstart.com/kb/feed-specifications";
const MSN_HTML: &str = "https://support.microsoft.com/en-us/topic/msn-html-guidelines-and-tag-restrictions-2a12f610-f3da-43ea-8dc4-766f6df89e8d";
const FLIPBOARD: &str = "https://about.flipboard.com/rss-spec/";

/// Items that Flipboard wants to see before it features a feed.
const FLIPBOARD_ITEMS: usize = 30;
/// Characters of a title at MSN: more than the first, not over the second.
const MSN_TITLE_CHARS: (usize, usize) = (20, 150);
const MSN_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
const MSN_IMAGE_BYTES: u64 = 15 * 1024 * 1024;
const MSN_IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// What MSN takes out of bodies.
const MSN_TAGS: [&str; 6] = ["style", "script", "object", "embed", "param", "applet"];

/// Whoever takes a site's feeds or news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partner {
    GoogleNews,
    Msn,
    Flipboard,
}

impl Partner {
    pub const ALL: [Self; 3] = [Self::GoogleNews, Self::Msn, Self::Flipboard];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GoogleNews => "google-news",
            Self::Msn => "msn",
            Self::Flipboard => "flipboard",
        }
    }
}

impl FromStr for Partner {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|partner| partner.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no partner whose rules are known: google-news, msn, flipboard"))
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a partner would refuse, leave out or take apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub rule: &'static str,
    /// The page; `None` where it is all of the locale.
    pub key: Option<String>,
    pub url: Option<String>,
    pub what: String,
    pub fix: &'static str,
    /// Where the partner says so.
    pub source: &'static str,
}

/// A locale's newest items, as a partner would see them.
#[derive(Debug)]
pub struct Newest<'a> {
    pub locale: &'a Locale,
    /// Newest first, those of the locale's feed.
    pub pages: &'a [Page],
    pub media: &'a HashMap<String, Media>,
    pub now: UnixMs,
}

impl<'a> Newest<'a> {
    /// What this partner would refuse.
    #[must_use]
    pub fn refused_by(&self, partner: Partner) -> Vec<Refusal> {
        let mut found = match partner {
            Partner::GoogleNews => self.by_google_news(),
            Partner::Msn => self.by_msn(),
            Partner::Flipboard => self.by_flipboard(),
        };
        let items = self.items().take(FEED_ITEMS);
        let judge = match partner {
            Partner::GoogleNews => Self::google_news_of,
            Partner::Msn => Self::msn_of,
            Partner::Flipboard => Self::flipboard_of,
        };
        for (page, one) in items {
            let mut of_item = Vec::new();
            judge(self, one, &mut of_item);
            let url = one.link.permalink(&self.locale.base).to_string();
            let named = |one: Refusal| Refusal { key: Some(page.key.to_string()), url: Some(url.clone()), ..one };
            found.extend(of_item.into_iter().map(named));
        }
        found
    }

    /// What is out, in this locale.
    fn items(&self) -> impl Iterator<Item = (&'a Page, &'a Translation)> {
        let (tag, now) = (&self.locale.tag, self.now);
        self.pages.iter().filter_map(move |page| {
            let own = page.translations.iter().find(|one| one.link.locale == *tag && one.link.published_at <= now)?;
            Some((page, own))
        })
    }

    fn image_of(&self, one: &Translation) -> Option<&'a Media> {
        one.link.image.as_ref().and_then(|url| self.media.get(url))
    }

    fn has_no_image(&self, one: &Translation) -> bool {
        one.link.image.is_none() || self.image_of(one).is_some_and(|media| media.state == MediaState::Bad)
    }

    fn by_google_news(&self) -> Vec<Refusal> {
        let mut found = Vec::new();
        let news = self.items().filter(|(_, one)| one.link.news && one.link.published_at + NEWS_AGE > self.now);
        let articles = news.count();
        if articles == 0 {
            found.push(refusal(
                "no-news",
                "no article of the last two days is marked as news, so the news sitemap is empty".to_owned(),
                "set news to true for what belongs into it",
                GOOGLE_NEWS_SITEMAP,
            ));
        }
        if articles > ARTICLES_MAX as usize {
            found.push(refusal(
                "too-many-news",
                format!("{articles} articles of the last two days are news; a news sitemap has {ARTICLES_MAX} at most, so the oldest are left out"),
                "set news to true for fewer",
                GOOGLE_NEWS_SITEMAP,
            ));
        }
        if self.locale.publication_name.contains(['(', ')']) {
            found.push(refusal(
                "publication-name",
                format!("the publication's name {:?} has parentheses", self.locale.publication_name),
                "set publication_name to the name as news.google.com shows it, without anything in parentheses",
                GOOGLE_NEWS_SITEMAP,
            ));
        }
        found
    }

    fn google_news_of(&self, one: &Translation, found: &mut Vec<Refusal>) {
        let is_recent = one.link.published_at + NEWS_AGE > self.now;
        if one.link.news && is_recent && !one.link.indexable {
            found.push(refusal(
                "news-not-indexable",
                "it is news, and search engines are not to find it, so it is not in the news sitemap".to_owned(),
                "set indexable to true, or news to false",
                GOOGLE_NEWS_SITEMAP,
            ));
        }
    }

    fn by_msn(&self) -> Vec<Refusal> {
        let mut found = Vec::new();
        if !self.locale.base.to_string().starts_with("https://") {
            found.push(refusal(
                "https",
                format!("{} is not served over https", self.locale.base),
                "serve the site over https and set base_url to that",
                MSN_FEEDS,
            ));
        }
        found
    }

    fn msn_of(&self, one: &Translation, found: &mut Vec<Refusal>) {
        let (title, chars) = (&one.text.title, one.text.title.chars().count());
        if chars <= MSN_TITLE_CHARS.0 || chars > MSN_TITLE_CHARS.1 {
            let what = format!("its title has {chars} characters; it has to have more than 20 and 150 at most");
            found.push(refusal("title-length", what, "give it a title of 21 to 150 characters", MSN_ITEMS));
        }
        if has_tag(title) {
            let what = format!("its title {title:?} has HTML in it");
            found.push(refusal("title-html", what, "take the tags out of the title", MSN_ITEMS));
        }
        match one.text.content.as_deref().filter(|content| !content.trim().is_empty()) {
            None => {
                let what = "it has no body".to_owned();
                found.push(refusal("body", what, "hand in the article's text as content", MSN_ITEMS));
            }
            Some(content) => {
                if let Some(tag) = MSN_TAGS.iter().find(|tag| has_tag_of(content, tag)) {
                    let what =
                        format!("its body has a <{tag}>, which is taken out and may keep it from being published");
                    found.push(refusal("body-tags", what, "take it out of content", MSN_HTML));
                }
            }
        }
        if one.link.published_at + MSN_AGE <= self.now {
            let what = format!("it was published at {}, more than 365 days ago", one.link.published_at);
            found.push(refusal("age", what, "nothing: it is too old to be taken", MSN_ITEMS));
        }
        self.msn_image_of(one, found);
    }

    fn msn_image_of(&self, one: &Translation, found: &mut Vec<Refusal>) {
        if self.has_no_image(one) {
            let what = "it has no image, so it is not published by itself".to_owned();
            return found.push(refusal("image", what, "name an image that is there", MSN_FEEDS));
        }
        let Some(media) = self.image_of(one) else { return };
        if let Some(other) = media.media_type.as_deref().filter(|one| !MSN_IMAGES.contains(one)) {
            let what = format!("its image is {other}; PNG, JPEG, GIF and WebP are taken");
            found.push(refusal("image-type", what, "name an image of one of these", MSN_FEEDS));
        }
        if let Some(bytes) = media.length_bytes.filter(|bytes| *bytes > MSN_IMAGE_BYTES) {
            let what = format!("its image has {bytes} bytes; it may have 15 MB");
            found.push(refusal("image-size", what, "name a smaller image", MSN_FEEDS));
        }
    }

    fn by_flipboard(&self) -> Vec<Refusal> {
        let items = self.items().take(FEED_ITEMS).count();
        if items >= FLIPBOARD_ITEMS {
            return Vec::new();
        }
        let what = format!("the feed has {items} items; it has to have at least {FLIPBOARD_ITEMS}");
        vec![refusal("items", what, "publish more pages before the feed is handed in", FLIPBOARD)]
    }

    fn flipboard_of(&self, one: &Translation, found: &mut Vec<Refusal>) {
        if one.text.content.as_deref().is_none_or(|content| content.trim().is_empty()) {
            let what = "it has no body; the whole text has to be in the feed".to_owned();
            found.push(refusal("body", what, "hand in the article's text as content", FLIPBOARD));
        }
        if self.has_no_image(one) {
            let what =
                "it has no image; each article has to have one of at least 400 pixels on its shorter side".to_owned();
            found.push(refusal("image", what, "name an image that is there", FLIPBOARD));
        }
    }
}

const fn refusal(rule: &'static str, what: String, fix: &'static str, source: &'static str) -> Refusal {
    Refusal { rule, key: None, url: None, what, fix, source }
}

/// Whether there is anything like a tag in a text that may have none.
fn has_tag(text: &str) -> bool {
    let begins = |rest: &str| rest.starts_with(|char: char| char.is_ascii_alphabetic() || char == '/');
    text.split('<').skip(1).any(|rest| begins(rest) && rest.contains('>'))
}

fn has_tag_of(html: &str, name: &str) -> bool {
    let is_it = |rest: &str| {
        let found: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        found.eq_ignore_ascii_case(name)
    };
    html.split('<').skip(1).any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::{
        page::{Link, Text},
        permalink::BaseUrl,
    };

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn locale() -> Locale {
        Locale {
            tag: "de".parse().unwrap(),
            base: BaseUrl::parse("http://a.example").unwrap(),
            publication_name: "The News (online)".to_owned(),
            time_zone: Default::default(),
            x_default: false,
        }
    }

    fn page(key: &str, change: impl FnOnce(&mut Translation)) -> Page {
        let text = Text {
            title: "A title that is long enough".to_owned(),
            summary: None,
            content: Some("<p>a</p>".to_owned()),
            author: None,
            enclosure: None,
        };
        let link = Link {
            locale: "de".parse().unwrap(),
            path: format!("/{key}"),
            published_at: UnixMs(NOW.0 - 1_000),
            updated_at: UnixMs(NOW.0 - 1_000),
            image: Some("https://i.example/a.jpg".to_owned()),
            section: None,
            indexable: true,
            news: true,
        };
        let mut one = Translation { link, text };
        change(&mut one);
        Page { key: key.parse().unwrap(), translations: vec![one] }
    }

    fn found(partner: Partner, pages: &[Page], media: Option<Media>) -> Vec<String> {
        let media = media.into_iter().map(|one| (one.url.clone(), one)).collect();
        let newest = Newest { locale: &locale(), pages, media: &media, now: NOW };
        let told = |one: Refusal| {
            assert!(one.source.starts_with("https://") && !one.fix.is_empty() && !one.what.is_empty());
            match one.key {
                Some(key) => format!("{key} {}", one.rule),
                None => one.rule.to_owned(),
            }
        };
        newest.refused_by(partner).into_iter().map(told).collect()
    }

    fn image(media_type: &str, bytes: u64) -> Media {
        Media {
            url: "https://i.example/a.jpg".to_owned(),
            is_image: true,
            state: MediaState::Good,
            media_type: Some(media_type.to_owned()),
            length_bytes: Some(bytes),
            said: Default::default(),
            etag: None,
            asked_at: NOW,
            checked_at: Some(NOW),
            fault: None,
        }
    }

    #[test]
    fn msn_refuses_titles_bodies_and_images_that_it_cannot_use() {
        let pages = [
            page("good", |_| {}),
            page("short", |one| one.text.title = "Too short for MSN".to_owned()),
            page("tags", |one| one.text.title = "A title that has <b>tags</b>".to_owned()),
            page("less", |one| one.text.title = "Is three < four? And five > four".to_owned()),
            page("empty", |one| one.text.content = None),
            page("script", |one| one.text.content = Some("<p>a<SCRIPT src=x></p>".to_owned())),
            page("old", |one| one.link.published_at = UnixMs(NOW.0 - 366 * 86_400_000)),
            page("plain", |one| one.link.image = None),
            page("later", |one| (one.link.published_at, one.link.image) = (UnixMs(NOW.0 + 1), None)),
        ];
        let expected = [
            "https",
            "short title-length",
            "tags title-html",
            "empty body",
            "script body-tags",
            "old age",
            "plain image",
        ];
        assert_eq!(found(Partner::Msn, &pages, None), expected);
        let one = &pages[..1];
        assert_eq!(found(Partner::Msn, one, Some(image("image/jpeg", 1))), ["https"]);
        let expected = ["https", "good image-type", "good image-size"];
        assert_eq!(found(Partner::Msn, one, Some(image("image/avif", MSN_IMAGE_BYTES + 1))), expected);
        let bad = Media { state: MediaState::Bad, ..image("text/plain", 1) };
        assert_eq!(found(Partner::Msn, one, Some(bad)), ["https", "good image"]);
    }

    #[test]
    fn google_news_and_flipboard_say_what_they_lack() {
        let pages = [page("a", |one| one.link.indexable = false), page("b", |_| {})];
        assert_eq!(found(Partner::GoogleNews, &pages, None), ["publication-name", "a news-not-indexable"]);
        assert_eq!(found(Partner::GoogleNews, &[], None), ["no-news", "publication-name"]);
        let many: Vec<Page> = (0..30).map(|n| page(&format!("p{n}"), |_| {})).collect();
        assert_eq!(found(Partner::Flipboard, &many, None), Vec::<String>::new());
        let bare = [page("a", |one| (one.text.content, one.link.image) = (Some(" ".to_owned()), None))];
        assert_eq!(found(Partner::Flipboard, &bare, None), ["items", "a body", "a image"]);
    }
}
