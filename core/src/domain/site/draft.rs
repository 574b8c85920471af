//! Pages as they are handed in. What cannot be published of one is quarantined with its reason, and the rest of it is published.

use std::collections::BTreeMap;

use url::Url;

use super::{
    language::LanguageTag,
    page::{Enclosure, Link, Page, PageKey, Quarantined, Text, Translation},
    permalink::URL_CHARS_MAX,
    settings::{Locale, SectionKey, SiteSettings},
    zone::Zone,
};
use crate::domain::{UnixMs, line::is_blank};

/// The beginning of the year 1000, before which formats of feeds cannot write a year.
const EARLIEST: UnixMs = UnixMs(-30_610_224_000_000);
/// Characters of a quarantined translation's locale, which may be no tag at all, and of its reason.
const LOCALE_CHARS_MAX: usize = 64;
const REASON_CHARS_MAX: usize = 500;
/// Characters of a title, an author or a summary.
const LINE_CHARS_MAX: usize = 4_096;

/// A translation as it was handed in: texts that are still to be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Absolute, or a path below the locale's base.
    pub url: String,
    pub title: String,
    pub summary: Option<String>,
    pub content: Option<String>,
    pub author: Option<String>,
    pub published_at: String,
    pub updated_at: Option<String>,
    pub section: Option<String>,
    pub image: Option<String>,
    pub enclosure: Option<Enclosure>,
    pub indexable: bool,
    pub news: bool,
}

/// Judges a page's translations as they are handed in, each by itself: those that can be published, and those that cannot.
#[must_use]
pub fn judge(
    site: &SiteSettings,
    key: PageKey,
    drafts: BTreeMap<String, Draft>,
    now: UnixMs,
) -> (Page, Vec<Quarantined>) {
    let (mut translations, mut quarantined) = (Vec::new(), Vec::new());
    for (tag, draft) in drafts {
        let locale = site.locales.iter().find(|locale| locale.tag.as_str() == tag);
        let judged = locale
            .ok_or_else(|| ("locale", unknown_locale(site, &tag)))
            .and_then(|locale| translation(site, locale, draft, now));
        match judged {
            Ok(translation) => translations.push(translation),
            Err((field, reason)) => quarantine(&mut quarantined, &tag, field, &reason),
        }
    }
    let place = |translation: &Translation| site.locales.iter().position(|one| one.tag == translation.link.locale);
    translations.sort_by_key(place);
    (Page { key, translations }, quarantined)
}

/// Keeps what a program may have made of anything within bounds: as its locale and its reason are shown, and stored.
fn quarantine(quarantined: &mut Vec<Quarantined>, tag: &str, field: &'static str, reason: &str) {
    let locale: String = cleaned(tag).chars().take(LOCALE_CHARS_MAX).collect();
    if !quarantined.iter().any(|one| one.locale == locale) {
        quarantined.push(Quarantined { locale, field, reason: reason.chars().take(REASON_CHARS_MAX).collect() });
    }
}

type Fault = (&'static str, String);

/// What is wrong with a tag that is none of the site's.
fn unknown_locale(site: &SiteSettings, text: &str) -> String {
    match text.parse::<LanguageTag>() {
        Err(error) => error.to_string(),
        Ok(tag) if site.locale(&tag).is_some() => format!("the site has no locale {text:?}; it is written {tag}"),
        Ok(tag) => format!(
            "the site has no locale {tag}; add it to the site's settings and hand the page in again, or leave it out"
        ),
    }
}

fn translation(site: &SiteSettings, locale: &Locale, draft: Draft, now: UnixMs) -> Result<Translation, Fault> {
    let url = locale.base.permalink(&draft.url).map_err(|error| ("url", error.to_string()))?;
    let is_of = |other: &&Locale| other.base.path().len() > locale.base.path().len() && other.base.has(&url);
    if let Some(other) = site.locales.iter().find(is_of) {
        let (tag, base) = (&other.tag, &other.base);
        let reason = format!(
            "it is below {base}, as the pages of the locale {tag} are; hand it in under that, or mend the path"
        );
        return Err(("url", reason));
    }
    let published_at = time(&locale.time_zone, "published_at", &draft.published_at)?;
    let updated_at = given(draft.updated_at).map(|text| time(&locale.time_zone, "updated_at", &text)).transpose()?;
    let section = given(draft.section).map(|key| key.parse::<SectionKey>()).transpose();
    let section = section.map_err(|error| ("section", error.to_string()))?;
    let image = given(draft.image).map(|image| resource("image", &image)).transpose()?;
    let enclosure = draft.enclosure.map(judge_enclosure).transpose()?;
    Ok(Translation {
        link: Link {
            locale: locale.tag.clone(),
            path: locale.base.path_of(&url).to_owned(),
            published_at,
            // Not later than now, or than when the page will be published. Settled once, so that no file is made again since time
            // went by alone.
            updated_at: updated_at.unwrap_or(published_at).clamp(published_at, published_at.max(now)),
            image,
            section,
            indexable: draft.indexable,
            news: draft.news,
        },
        text: Text {
            title: line("title", &draft.title)?,
            summary: given(draft.summary).map(|text| line("summary", &text)).transpose()?,
            content: given(draft.content).map(|text| cleaned(&text)),
            author: given(draft.author).map(|text| line("author", &text)).transpose()?,
            enclosure,
        },
    })
}

/// What may be left out: programs hand in an empty text in its place.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !is_blank(&cleaned(text)))
}

fn time(zone: &Zone, field: &'static str, text: &str) -> Result<UnixMs, Fault> {
    let at = zone.read(text).map_err(|error| (field, error.to_string()))?;
    match at < EARLIEST {
        true => Err((
            field,
            format!("{text:?} is before the year 1000, as what programs write where no time is set; say when it was"),
        )),
        false => Ok(at),
    }
}

/// Text without what no XML document may have.
fn cleaned(text: &str) -> String {
    super::text::cleaned(text).0.into_owned()
}

fn line(field: &'static str, text: &str) -> Result<String, Fault> {
    let text = cleaned(text).trim().to_owned();
    match text.chars().count() {
        _ if is_blank(&text) => Err((field, "it is empty; readers and the news index need one".to_owned())),
        chars if chars > LINE_CHARS_MAX => {
            Err((field, format!("it has {chars} characters; it may have {LINE_CHARS_MAX}, so shorten it")))
        }
        _ => Ok(text),
    }
}

/// An absolute address of an image or a file, on whatever host, as browsers write it.
fn resource(field: &'static str, text: &str) -> Result<String, Fault> {
    let shown = || text.chars().take(64).collect::<String>();
    let url = Url::parse(text)
        .map_err(|error| (field, format!("{:?} is no absolute address: {error}; begin it with https://", shown())))?;
    let has_host =
        url.host_str().is_some_and(|host| host.starts_with(|first: char| first.is_alphanumeric() || first == '['));
    if !matches!(url.scheme(), "https" | "http") || !has_host {
        return Err((field, format!("{:?} is no address of http or https; put the file at one", shown())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err((field, "it has a user or a password in it; leave them out".to_owned()));
    }
    let code =
        |char: char| if "\"'<>\\^`{|}".contains(char) { format!("%{:02X}", u32::from(char)) } else { char.to_string() };
    let url: String = String::from(url).chars().map(code).collect();
    match url.len() {
        long if long > URL_CHARS_MAX => {
            Err((field, format!("it has {long} characters; it may have {URL_CHARS_MAX}, so shorten it")))
        }
        _ => Ok(url.split('#').next().unwrap_or_default().to_owned()),
    }
}

fn judge_enclosure(enclosure: Enclosure) -> Result<Enclosure, Fault> {
    Ok(Enclosure { url: resource("enclosure", &enclosure.url)?, ..enclosure })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::permalink::BaseUrl;

    fn site() -> SiteSettings {
        let locale = |tag: &str, base: &str| Locale {
            tag: tag.parse().unwrap(),
            base: BaseUrl::parse(base).unwrap(),
            publication_name: "The News".to_owned(),
            time_zone: if tag == "pl" { "Europe/Warsaw".parse().unwrap() } else { Zone::default() },
            x_default: false,
        };
        let locales = vec![locale("pl", "https://a.example/pl"), locale("de", "https://b.example")];
        SiteSettings::new(locales)
    }

    fn draft(url: &str) -> Draft {
        Draft {
            url: url.to_owned(),
            title: "T".to_owned(),
            published_at: "2026-01-31T12:00:00Z".to_owned(),
            indexable: true,
            ..Draft::default()
        }
    }

    const NOW: &str = "2026-02-01T00:00:00Z";

    fn judged(drafts: [(&str, Draft); 2]) -> (Page, Vec<Quarantined>) {
        let drafts = drafts.into_iter().map(|(tag, draft)| (tag.to_owned(), draft)).collect();
        judge(&site(), "a".parse().unwrap(), drafts, UnixMs::parse(NOW).unwrap())
    }

    #[test]
    fn an_address_below_the_base_of_another_locale_is_that_ones() {
        let mut site = site();
        site.locales[1].base = BaseUrl::parse("https://a.example").unwrap();
        let judged = |tag: &str, url: &str| {
            let drafts = [(tag.to_owned(), draft(url))].into();
            judge(&site, "a".parse().unwrap(), drafts, UnixMs::parse(NOW).unwrap()).1
        };
        for url in ["/pl/b", "https://a.example/pl", "/pl?b"] {
            let reason = &judged("de", url)[0].reason;
            assert!(
                reason.contains("below https://a.example/pl, as the pages of the locale pl are"),
                "{url}: {reason}"
            );
        }
        assert_eq!([judged("de", "/plus"), judged("de", "/b/pl/c"), judged("pl", "/pl/b")], [vec![], vec![], vec![]]);
    }

    #[test]
    fn one_bad_translation_is_quarantined_and_the_others_are_kept_in_the_sites_order() {
        let (page, quarantined) = judged([("de", draft("https://b.example/b")), ("pl", draft("/żółw"))]);
        let paths: Vec<&str> = page.translations.iter().map(|one| one.link.path.as_str()).collect();
        assert_eq!((paths.as_slice(), quarantined.len()), (["/%C5%BC%C3%B3%C5%82w", "/b"].as_slice(), 0));
        let bad = |draft: Draft, field: &str, words: &str| {
            let (page, quarantined) = judged([("de", draft), ("pl", self::draft("/a"))]);
            assert_eq!((page.translations.len(), quarantined.len()), (1, 1), "{quarantined:?}");
            assert_eq!((quarantined[0].locale.as_str(), quarantined[0].field), ("de", field));
            assert!(quarantined[0].reason.contains(words), "{quarantined:?}");
        };
        bad(draft("/caf%25C3%25A9"), "url", "encoded twice");
        bad(draft("https://a.example/b"), "url", "https://b.example");
        bad(Draft { title: "\u{8}".to_owned(), ..draft("/b") }, "title", "empty");
        bad(Draft { title: "\u{200b}\u{feff} \u{2060}".to_owned(), ..draft("/b") }, "title", "empty");
        bad(Draft { published_at: "31.01.2026".to_owned(), ..draft("/b") }, "published_at", "RFC 3339");
        bad(Draft { image: Some("/a.jpg".to_owned()), ..draft("/b") }, "image", "absolute");
        bad(Draft { section: Some("Sport & Co".to_owned()), ..draft("/b") }, "section", "a-z");
        let (page, quarantined) = judged([("en", draft("/a")), ("pl", draft("/a"))]);
        assert_eq!((page.translations.len(), quarantined[0].field), (1, "locale"));
    }

    #[test]
    fn a_time_without_an_offset_is_one_of_its_locale() {
        let noon = || Draft { published_at: "2026-01-31T12:00:00".to_owned(), ..draft("/a") };
        let (page, quarantined) = judged([("de", noon()), ("pl", noon())]);
        let times: Vec<String> = page.translations.iter().map(|one| one.link.published_at.to_string()).collect();
        assert_eq!((times.len(), quarantined.len()), (2, 0), "{quarantined:?}");
        assert_eq!(times, ["2026-01-31T11:00:00.000Z", "2026-01-31T12:00:00.000Z"]);
    }

    #[test]
    fn no_change_is_later_than_now_or_than_the_page() {
        let of = |published_at: &str, updated_at: &str| {
            let times = (published_at.to_owned(), Some(updated_at.to_owned()));
            let de = Draft { published_at: times.0, updated_at: times.1, ..draft("/b") };
            let (page, _) = judged([("de", de), ("pl", draft("/a"))]);
            page.translations[1].link.updated_at.to_string().replace(":00.000Z", "")
        };
        let (past, future) = ("2026-01-31T12:00:00Z", "2026-03-01T12:00:00Z");
        assert_eq!(of(past, "2026-01-31T13:00:00Z"), "2026-01-31T13:00");
        assert_eq!(of(past, "2025-01-31T13:00:00Z"), "2026-01-31T12:00");
        assert_eq!(of(future, "2026-01-31T13:00:00Z"), "2026-03-01T12:00");
        assert_eq!(of(future, "2026-03-01T12:05:00Z"), "2026-03-01T12:00");
        assert_eq!(of(past, "2027-02-01T00:05:00Z"), "2026-02-01T00:00");
    }

    #[test]
    fn a_link_reads_back_as_it_was_kept() {
        let (page, _) = judged([("de", draft("/b?x=1")), ("pl", Draft { news: true, ..draft("/a") })]);
        for translation in page.translations {
            let text = serde_json::to_string(&translation.link).unwrap();
            assert_eq!(serde_json::from_str::<Link>(&text).unwrap(), translation.link, "{text}");
        }
    }
}
