//! A type whose templates are compiled: once for however many are told.

use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, context, value::Serde};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    engine::{TemplateFault, environment, judge_nesting},
    names::{Names, missing},
};
use crate::domain::{
    line::judge_line,
    locale::Locale,
    notification_type::{
        Definition, Form, LOCALES_MAX, Mail, Notice, Part, SAMPLE_BYTES_MAX, TEMPLATE_BYTES_MAX, TemplateAt,
    },
    preferences::Channel,
    recipient::Attributes,
    site::zone::Zone,
    workflow::DIGEST_SHOWN_MAX,
};

/// Faults of one type that are told.
const FAULTS_MAX: usize = 50;
/// Schemes of addresses that are no places, and of which some would run what stands in them.
const SCHEMES_REFUSED: [&str; 5] = ["javascript", "data", "vbscript", "blob", "file"];
/// The time zone of whoever has said none.
const ZONE_UNKNOWN: &str = "UTC";
/// Who a sample is rendered for.
const SAMPLE_KEY: &str = "somebody";
/// When a sample was handed in.
const SAMPLE_TIME: &str = "2026-01-31T12:00:00.000Z";

/// Something that keeps a type from being stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the definition, as a JSON pointer (RFC 6901).
    pub pointer: String,
    pub detail: String,
}

/// The data of one notification, ready for any number of recipients.
#[derive(Clone, Debug)]
pub struct Data {
    json: Map<String, Value>,
    value: minijinja::Value,
}

/// One of those that were gathered.
#[derive(Clone, Debug, Serialize)]
pub struct Gathered {
    pub data: Map<String, Value>,
    /// In RFC 3339.
    pub created_at: String,
}

/// What templates know of whoever is told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub key: &'a str,
    /// `None`: nobody has said, and templates read the type's default.
    pub locale: Option<&'a Locale>,
    /// `None`: nobody has said, and templates read `UTC`.
    pub time_zone: Option<&'a Zone>,
    pub attributes: &'a Attributes,
}

impl Told<'_> {
    /// As templates and conditions know them; whoever has said no language has the other one.
    pub(super) fn value(&self, default_locale: Option<&Locale>) -> minijinja::Value {
        context! {
            key => self.key,
            locale => self.locale.or(default_locale).map(Locale::as_str),
            time_zone => self.time_zone.map_or(ZONE_UNKNOWN, Zone::name),
            attributes => minijinja::Value::from(Serde(self.attributes)),
        }
    }
}

/// What one recipient is told by one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of the templates that it was made of.
    pub locale: Locale,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Notice(Notice),
    Mail(Mail),
}

impl Content {
    /// As what stands in an inbox or is pushed: a channel has templates of the one form or of the other.
    #[must_use]
    pub fn into_notice(self) -> Notice {
        match self {
            Self::Notice(notice) => notice,
            Self::Mail(mail) => Notice { title: mail.subject, body: mail.text, url: None },
        }
    }

    #[must_use]
    pub fn into_mail(self) -> Mail {
        match self {
            Self::Mail(mail) => mail,
            Self::Notice(notice) => Mail { subject: notice.title, text: notice.body, html: None },
        }
    }
}

/// Why nothing came out of a type's templates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the type has no channel {}", .0.as_str())]
    NoChannel(Channel),
    #[error("the type's channel {} has no digest", .0.as_str())]
    NoDigest(Channel),
    #[error("the template /channels/{}{}/templates/{locale}/{} failed: {detail}", channel.as_str(), form.place(), part.as_str())]
    Template { channel: Channel, form: Form, locale: Locale, part: Part, detail: String },
}

/// A type that was compiled. To be kept for as long as its version is used.
#[derive(Debug)]
pub struct CompiledType {
    environment: Environment<'static>,
    default_locale: Locale,
    channels: BTreeMap<(Channel, Form), BTreeMap<String, Templates>>,
}

/// Of one channel in one language: each part's name in the environment.
#[derive(Debug)]
struct Templates {
    locale: Locale,
    names: BTreeMap<Part, String>,
}

impl Data {
    #[must_use]
    pub fn new(json: Map<String, Value>) -> Self {
        let value = minijinja::Value::from(Serde(&json));
        Self { json, value }
    }

    /// What templates of digests are filled with: the last of those that were gathered, oldest first, and how many they are.
    #[must_use]
    pub fn gathered(items: &[Gathered], count: u64) -> Self {
        let shown = items.len().saturating_sub(usize::try_from(DIGEST_SHOWN_MAX).unwrap_or(usize::MAX));
        let items = items.get(shown..).unwrap_or_default();
        let more = count.saturating_sub(u64::try_from(items.len()).unwrap_or(count));
        let data = json!({ "items": items, "count": count, "more": more });
        Self::new(data.as_object().cloned().unwrap_or_default())
    }

    pub(super) fn value(&self) -> minijinja::Value {
        self.value.clone()
    }

    /// As a digest would have them if it were of these, once more.
    #[must_use]
    pub fn as_digest(&self) -> Self {
        let one = Gathered { data: self.json.clone(), created_at: SAMPLE_TIME.to_owned() };
        Self::gathered(&[one.clone(), one], 2)
    }
}

impl CompiledType {
    /// Compiles what was checked when it was stored.
    ///
    /// # Errors
    /// When a template is none, with its place.
    pub fn new(definition: &Definition) -> Result<Self, Fault> {
        let mut compiled = Self {
            environment: environment(),
            default_locale: definition.default_locale.clone(),
            channels: BTreeMap::new(),
        };
        for at in definition.channels.templates() {
            compiled.add(&at).map_err(|fault| told(&at, &fault))?;
        }
        Ok(compiled)
    }

    /// Compiles what is to be stored, when all that its templates name is there and something comes out of each.
    ///
    /// # Errors
    /// What is wrong, each with its place.
    pub fn check(definition: &Definition) -> Result<Self, Vec<Fault>> {
        let mut faults = judge_shape(definition);
        let (single, digests) = (definition.channels.locales(), definition.channels.digest_locales());
        if single.iter().chain(&digests).any(|(_, locales)| locales.len() > LOCALES_MAX) {
            return Err(faults);
        }
        let mut compiled = Self {
            environment: environment(),
            default_locale: definition.default_locale.clone(),
            channels: BTreeMap::new(),
        };
        let single = Data::new(definition.sample.clone());
        let digest = single.as_digest();
        for at in definition.channels.templates() {
            if faults.len() >= FAULTS_MAX {
                break;
            }
            let data = if at.form == Form::Digest { &digest } else { &single };
            faults.extend(compiled.judge(&at, data).iter().map(|fault| told(&at, fault)));
        }
        if faults.is_empty() { Ok(compiled) } else { Err(faults) }
    }

    /// What `told` is told of `data` by a channel, in `locale` or the nearest language that the channel has.
    ///
    /// # Errors
    /// When the type has no such channel, or a template names what is not there, takes too much work, or comes out too long.
    pub fn render(
        &self,
        (channel, form): (Channel, Form),
        locale: Option<&Locale>,
        data: &Data,
        told: &Told<'_>,
    ) -> Result<Message, RenderError> {
        let none = match form {
            Form::Single => RenderError::NoChannel(channel),
            Form::Digest => RenderError::NoDigest(channel),
        };
        let templates = self.templates((channel, form), locale).ok_or(none)?;
        let context = self.context(data, told);
        let part = |part: Part| -> Result<Option<String>, RenderError> {
            let Some(name) = templates.names.get(&part) else { return Ok(None) };
            let rendered = self.run(name, part, &context, data).map(Some);
            let locale = templates.locale.clone();
            rendered.map_err(|fault| RenderError::Template { channel, form, locale, part, detail: in_words(&fault) })
        };
        let content = match channel {
            Channel::Email => Content::Mail(Mail {
                subject: part(Part::Subject)?.unwrap_or_default(),
                text: part(Part::Text)?.unwrap_or_default(),
                html: part(Part::Html)?,
            }),
            Channel::Inbox | Channel::Push | Channel::Webhook => Content::Notice(Notice {
                title: part(Part::Title)?.unwrap_or_default(),
                body: part(Part::Body)?.unwrap_or_default(),
                url: part(Part::Url)?,
            }),
        };
        Ok(Message { locale: templates.locale.clone(), content })
    }

    /// Those of the tag itself, of what it is a kind of (`de` for `de-AT`; RFC 4647, section 3.4), or of the default.
    fn templates(&self, of: (Channel, Form), locale: Option<&Locale>) -> Option<&Templates> {
        let locales = self.channels.get(&of)?;
        let mut tag = locale.map_or("", Locale::as_str);
        while !tag.is_empty() {
            if let Some(found) = locales.get(tag) {
                return Some(found);
            }
            tag = tag.rsplit_once('-').map_or("", |(parent, _)| parent);
        }
        locales.get(self.default_locale.as_str())
    }

    fn context(&self, data: &Data, told: &Told<'_>) -> minijinja::Value {
        context! {
            data => data.value.clone(),
            recipient => told.value(Some(&self.default_locale)),
        }
    }

    fn add(&mut self, at: &TemplateAt<'_>) -> Result<String, TemplateFault> {
        judge_nesting(at.source)?;
        // What its name ends in decides what is escaped.
        let name = at.pointer();
        let added = self.environment.add_template_owned(name.clone(), at.source.to_owned());
        added.map_err(|error| TemplateFault::of(&error))?;
        let locales = self.channels.entry((at.channel, at.form)).or_default();
        let templates = locales
            .entry(at.locale.to_string())
            .or_insert_with(|| Templates { locale: at.locale.clone(), names: BTreeMap::new() });
        templates.names.insert(at.part, name.clone());
        Ok(name)
    }

    /// What is wrong with a template, which is compiled.
    fn judge(&mut self, at: &TemplateAt<'_>, sample: &Data) -> Vec<TemplateFault> {
        if at.source.len() > TEMPLATE_BYTES_MAX {
            let detail = format!("it has {} bytes; a template may have {TEMPLATE_BYTES_MAX}", at.source.len());
            return vec![TemplateFault::at(0, detail)];
        }
        let name = match self.add(at) {
            Ok(name) => name,
            Err(fault) => return vec![fault],
        };
        let faults = missing(at.source, Names::Sample(&sample.json), &self.environment);
        if !faults.is_empty() {
            return faults;
        }
        let attributes = Attributes::default();
        let told = Told { key: SAMPLE_KEY, locale: Some(at.locale), time_zone: None, attributes: &attributes };
        match self.run(&name, at.part, &self.context(sample, &told), sample) {
            Err(fault) => vec![fault],
            Ok(rendered) if rendered.trim().is_empty() => {
                vec![TemplateFault::at(0, "nothing comes out of it with the sample; leave it out, or write something")]
            }
            Ok(_) => Vec::new(),
        }
    }

    fn run(&self, name: &str, part: Part, context: &minijinja::Value, data: &Data) -> Result<String, TemplateFault> {
        let template = self.environment.get_template(name).map_err(|error| TemplateFault::of(&error))?;
        let rendered = template.render(context.clone()).map_err(|error| {
            let fault = TemplateFault::of(&error);
            if error.kind() != ErrorKind::UndefinedError {
                return fault;
            }
            // The engine does not say what it is that is not there.
            let named = missing(template.source(), Names::Data(&data.json), &self.environment);
            named.into_iter().find(|named| named.line == fault.line).unwrap_or(fault)
        })?;
        let rendered = if part.is_line() { in_one_line(&rendered) } else { rendered };
        if rendered.len() > part.bytes_max() {
            let detail = format!("{} bytes come out of it; it may be {}", rendered.len(), part.bytes_max());
            return Err(TemplateFault::at(0, detail));
        }
        if part == Part::Url {
            judge_url(&rendered)?;
        }
        Ok(rendered)
    }
}

/// What is wrong but for templates.
fn judge_shape(definition: &Definition) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |pointer: String, detail: String| faults.push(Fault { pointer, detail });
    if let Err(refused) = judge_line(&definition.name) {
        fault("/name".to_owned(), format!("a name {refused}"));
    }
    let bytes = serde_json::to_string(&definition.sample).map_or(usize::MAX, |text| text.len());
    if bytes > SAMPLE_BYTES_MAX {
        fault("/sample".to_owned(), format!("the sample has {bytes} bytes as JSON; it may have {SAMPLE_BYTES_MAX}"));
    }
    let channels = definition.channels.locales();
    if definition.channels.all().is_empty() {
        fault("/channels".to_owned(), "a type has a channel at least: inbox, push, email or webhook".to_owned());
    }
    let single = channels.into_iter().map(|(channel, locales)| (channel, Form::Single, locales));
    let digests = definition.channels.digest_locales();
    let digests = digests.into_iter().map(|(channel, locales)| (channel, Form::Digest, locales));
    for (channel, form, locales) in single.chain(digests) {
        let pointer = format!("/channels/{}{}/templates", channel.as_str(), form.place());
        if locales.len() > LOCALES_MAX {
            let detail =
                format!("there are templates in {} languages; a channel has at most {LOCALES_MAX}", locales.len());
            fault(pointer.clone(), detail);
        }
        if !locales.contains(&&definition.default_locale) {
            let tag = &definition.default_locale;
            fault(pointer, format!("there is no template in {tag}, which is the default_locale; add one"));
        }
    }
    faults
}

fn told(at: &TemplateAt<'_>, fault: &TemplateFault) -> Fault {
    Fault { pointer: at.pointer(), detail: in_words(fault) }
}

fn in_words(TemplateFault { line, detail }: &TemplateFault) -> String {
    if *line == 0 { detail.clone() } else { format!("line {line}: {detail}") }
}

/// Lines joined by spaces, without control characters: what stands in a header or a title cannot begin another.
fn in_one_line(text: &str) -> String {
    let ends = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
    text.split(ends).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// # Errors
/// When it leads nowhere: neither an address nor a path of the product's own.
fn judge_url(text: &str) -> Result<(), TemplateFault> {
    let refused =
        |why: &str| Err(TemplateFault::at(0, format_args!("{text:?} came out of it, which is no address: {why}")));
    let base = Url::parse("https://relative.invalid/").ok();
    match Url::options().base_url(base.as_ref()).parse(text) {
        Err(error) => refused(&error.to_string()),
        Ok(url) if SCHEMES_REFUSED.contains(&url.scheme()) => refused("it leads to no place"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(channels: &Value, sample: &Value) -> Definition {
        serde_json::from_value(json!({ "name": "n", "category": "c", "urgency": "normal", "default_locale": "en",
            "channels": channels, "sample": sample }))
        .unwrap()
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn told(attributes: &Attributes) -> Told<'_> {
        Told { key: "u1", locale: None, time_zone: None, attributes }
    }

    fn render(channels: &Value, sample: &Value, channel: Channel, locale: Option<&str>) -> Message {
        let compiled = CompiledType::check(&definition(channels, sample)).unwrap();
        let locale = locale.map(|tag| tag.parse().unwrap());
        let data = Data::new(object(sample));
        compiled.render((channel, Form::Single), locale.as_ref(), &data, &told(&Attributes::default())).unwrap()
    }

    #[test]
    fn the_language_is_that_of_the_recipient_or_its_parent_or_the_default() {
        let title = |title: &str| json!({ "title": title, "body": "b" });
        let tags = ["en", "de", "de-CH", "zh-Hant"];
        let templates: Map<String, Value> = tags.iter().map(|tag| ((*tag).to_owned(), title(tag))).collect();
        let channels = json!({ "inbox": { "templates": templates } });
        for (asked, given) in [
            (Some("de"), "de"),
            (Some("de-AT"), "de"),
            (Some("de-CH"), "de-CH"),
            (Some("de-CH-1996"), "de-CH"),
            (Some("de-u-co-phonebk"), "de"),
            (Some("zh-Hant-TW"), "zh-Hant"),
            (Some("zh"), "en"),
            (Some("fr"), "en"),
            (None, "en"),
        ] {
            assert_eq!(render(&channels, &json!({}), Channel::Inbox, asked).locale.as_str(), given, "{asked:?}");
        }
    }

    #[test]
    fn html_is_escaped_and_texts_are_not() {
        let mail = json!({ "subject": "{{ data.x }}", "text": "{{ data.x }}", "html": "<p>{{ data.x }}</p>{{ data.x | safe }}" });
        let channels = json!({ "email": { "templates": { "en": mail } } });
        let message = render(&channels, &json!({ "x": "<b>&" }), Channel::Email, None);
        let html = Some("<p>&lt;b&gt;&amp;</p><b>&".to_owned());
        assert_eq!(message.content, Content::Mail(Mail { subject: "<b>&".into(), text: "<b>&".into(), html }));
    }

    #[test]
    fn a_title_is_one_line() {
        let notice =
            json!({ "title": "\n {{ data.x }}\r\n", "body": " b\n", "url": " /a?b={{ data.x | urlencode }} \n" });
        let channels = json!({ "push": { "templates": { "en": notice } } });
        let message = render(&channels, &json!({ "x": "a\r\nBcc: b\u{2028}c\0" }), Channel::Push, None);
        let Content::Notice(notice) = message.content else { panic!("a notice") };
        assert_eq!((notice.title.as_str(), notice.body.as_str()), ("a Bcc: b c", " b"));
        assert_eq!(notice.url.as_deref(), Some("/a?b=a%0D%0ABcc%3A%20b%E2%80%A8c%00"));
    }

    #[test]
    fn what_leads_nowhere_is_no_address() {
        for good in ["https://x.example/a", "/posts/1", "?a=1", "myapp://post/1", "mailto:a@b"] {
            assert_eq!(judge_url(good), Ok(()), "{good}");
        }
        for bad in
            ["javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "https://"]
        {
            assert!(judge_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_recipient_of_whom_nothing_is_known_has_defaults() {
        let body = "{{ recipient.key }} {{ recipient.locale }} {{ recipient.time_zone }} {{ recipient.attributes.plan | default('free') }}";
        let channels = json!({ "inbox": { "templates": { "en": { "title": "t", "body": body } } } });
        let Content::Notice(notice) = render(&channels, &json!({}), Channel::Inbox, Some("fr")).content else {
            panic!()
        };
        assert_eq!(notice.body, "u1 en UTC free");
    }

    #[test]
    fn what_is_missing_when_it_is_sent_is_named() {
        let notice = json!({ "title": "t", "body": "a\n{{ data.post.title }}" });
        let channels = json!({ "inbox": { "templates": { "en": notice } } });
        let compiled = CompiledType::check(&definition(&channels, &json!({ "post": { "title": "T" } }))).unwrap();
        let attributes = Attributes::default();
        for (data, says) in [
            (json!({}), "line 2: data.post is not in the data"),
            (json!({ "post": {} }), "line 2: data.post.title is not in the data"),
            (json!({ "post": { "title": null } }), "line 2: invalid operation: null would be written"),
            (json!({ "post": { "title": "x".repeat(20_000) } }), "20002 bytes come out of it; it may be 16384"),
        ] {
            let refused = compiled
                .render((Channel::Inbox, Form::Single), None, &Data::new(object(&data)), &told(&attributes))
                .unwrap_err();
            assert!(refused.to_string().contains(says), "{refused}");
        }
        let none = compiled.render((Channel::Email, Form::Single), None, &Data::new(Map::new()), &told(&attributes));
        assert_eq!(none, Err(RenderError::NoChannel(Channel::Email)));
    }

    #[test]
    fn what_is_wrong_with_a_type_is_said_at_its_place() {
        let notice = |title: &str| json!({ "title": title, "body": "b" });
        let inbox = |templates: Value| json!({ "inbox": { "templates": templates } });
        let many: Map<String, Value> = (0..51).map(|n| (format!("en-{n:03}"), notice("t"))).collect();
        let many: Map<String, Value> = many.into_iter().chain([("en".to_owned(), notice("t"))]).collect();
        let large = json!({ "x": "x".repeat(SAMPLE_BYTES_MAX) });
        for (channels, sample, pointer, says) in [
            (json!({}), json!({}), "/channels", "a channel at least"),
            (inbox(json!({ "de": notice("t") })), json!({}), "/channels/inbox/templates", "no template in en"),
            (inbox(many.into()), json!({}), "/channels/inbox/templates", "at most 50"),
            (inbox(json!({ "en": notice("t") })), large, "/sample", "it may have 16384"),
            (
                inbox(json!({ "en": notice("{{ data.x ") })),
                json!({}),
                "/channels/inbox/templates/en/title",
                "syntax error",
            ),
            (
                inbox(json!({ "en": notice(" \n") })),
                json!({}),
                "/channels/inbox/templates/en/title",
                "nothing comes out",
            ),
            (
                inbox(json!({ "en": notice(&"x".repeat(1025)) })),
                json!({}),
                "/channels/inbox/templates/en/title",
                "may be 1024",
            ),
            (
                inbox(json!({ "en": notice(&"x".repeat(65_537)) })),
                json!({}),
                "/channels/inbox/templates/en/title",
                "may have 65536",
            ),
            (
                inbox(json!({ "en": notice("{{ 'x' * 99999999 }}") })),
                json!({}),
                "/channels/inbox/templates/en/title",
                "line 1: it takes more work",
            ),
        ] {
            let refused = CompiledType::check(&definition(&channels, &sample)).unwrap_err();
            let [fault] = refused.as_slice() else { panic!("{refused:?}") };
            assert!(fault.pointer == pointer && fault.detail.contains(says), "{refused:?}");
        }
    }

    #[test]
    fn a_compiled_type_is_shared_by_threads() {
        fn is_shared<T: Send + Sync + 'static>() {}
        is_shared::<CompiledType>();
        is_shared::<Data>();
    }
}
