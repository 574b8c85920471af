//! Walks through the elements of a produced file, and refuses what none of ours has: names that are bound anew, comments,
//! entities, text between elements, characters that XML forbids. Namespaces are told by prefixes, which the root declares.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use quick_xml::{
    Reader,
    events::{
        BytesCData, BytesRef, BytesStart, BytesText, Event,
        attributes::{AttrError, Attribute, Attributes},
    },
};

use super::{Fault, window::Window};

/// An element's attributes.
#[derive(Clone, Debug)]
pub(super) struct Values<'a>(Attributes<'a>);

/// What is wrong, in words.
pub(super) type What = String;

/// One format: which elements it takes, and what they have to say. An element is named by the path to it, as in `urlset/url/loc`.
pub(super) trait Format {
    /// Attributes that bind the root's prefixes, with their values.
    const NAMESPACES: &'static [(&'static str, &'static str)];
    /// Elements whose text may be a CDATA section.
    const CDATA: &'static [&'static str] = &[];
    const BYTES_MAX: u64;

    fn open(&mut self, path: &str, values: Values<'_>) -> Result<(), What>;
    /// `text` is empty where the element has elements in it.
    fn close(&mut self, path: &str, text: &str) -> Result<(), What>;
    /// Steps over what follows an element and was judged before: whole elements within `parent`.
    fn step_over(&mut self, _parent: &str, _file: &mut Window<'_>) -> io::Result<()> {
        Ok(())
    }
    /// The address that is being read.
    fn at(&self) -> &str;
}

/// Reads the whole file.
pub(super) fn read<F: Format>(mut file: impl Read, format: &mut F) -> Result<(), Fault> {
    let mut walk =
        Walk { format, path: String::new(), parents: Vec::new(), text: String::new(), is_leaf: false, has_root: false };
    walk.read(&mut file).map_err(|what| Fault { what, at: format.at().to_owned() })
}

struct Walk<'a, F> {
    format: &'a mut F,
    path: String,
    /// How much of the path each parent has.
    parents: Vec<usize>,
    text: String,
    /// Whether nothing was opened since the element was.
    is_leaf: bool,
    has_root: bool,
}

impl<F: Format> Walk<'_, F> {
    fn read(&mut self, file: &mut dyn Read) -> Result<(), What> {
        let mut reader = Reader::from_reader(Window::new(file));
        let mut event = Vec::new();
        loop {
            event.clear();
            let read = reader.read_event_into(&mut event);
            if reader.get_ref().seen_bytes() > F::BYTES_MAX {
                return Err(format!("it has more than {} bytes", F::BYTES_MAX));
            }
            match read.map_err(unread)? {
                Event::Start(start) => self.open(&start)?,
                Event::Empty(start) => {
                    self.open(&start)?;
                    self.close()?;
                    self.step_over(&mut reader)?;
                }
                Event::End(_) => {
                    self.close()?;
                    self.step_over(&mut reader)?;
                }
                Event::Text(text) => self.text(&text)?,
                Event::GeneralRef(reference) => self.entity(&reference)?,
                Event::CData(text) => self.cdata(&text)?,
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding().and_then(Result::ok);
                    let utf_8 = encoding.is_some_and(|name| name.eq_ignore_ascii_case(b"utf-8"));
                    if !utf_8 || self.has_root || !self.text.is_empty() {
                        return Err("its first line does not say that it is XML in UTF-8".to_owned());
                    }
                }
                Event::DocType(_) | Event::PI(_) | Event::Comment(_) => {
                    return Err("it has a part that none of our files has".to_owned());
                }
                Event::Eof => break,
            }
        }
        self.judge_between()?;
        match (self.has_root, self.path.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err("it is empty".to_owned()),
            _ => Err("it ends before its last element does".to_owned()),
        }
    }

    fn step_over(&mut self, reader: &mut Reader<Window<'_>>) -> Result<(), What> {
        self.format.step_over(&self.path, reader.get_mut()).map_err(|error| unread(error.into()))
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), What> {
        self.judge_between()?;
        let name = start.name();
        let name = str::from_utf8(name.as_ref()).map_err(|_| "the name of an element is no UTF-8")?;
        if self.path.is_empty() {
            if std::mem::replace(&mut self.has_root, true) {
                return Err("it has two roots".to_owned());
            }
            judge_namespaces(start, F::NAMESPACES)?;
        }
        self.parents.push(self.path.len());
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(name);
        self.is_leaf = true;
        let mut all = start.attributes();
        all.with_checks(false);
        self.format.open(&self.path, Values(all))
    }

    fn close(&mut self) -> Result<(), What> {
        if !self.is_leaf {
            self.judge_between()?;
        }
        self.format.close(&self.path, &self.text)?;
        self.text.clear();
        self.is_leaf = false;
        self.path.truncate(self.parents.pop().unwrap_or(0));
        Ok(())
    }

    fn text(&mut self, text: &BytesText<'_>) -> Result<(), What> {
        if text.iter().all(|byte| *byte == b'\n') {
            text.iter().for_each(|_| self.text.push('\n'));
            return Ok(());
        }
        let text = str::from_utf8(text).map_err(|_| "its text is no UTF-8")?;
        if text.contains(']') && text.contains("]]>") {
            return Err("its text has ]]>".to_owned());
        }
        self.push(text)
    }

    fn cdata(&mut self, text: &BytesCData<'_>) -> Result<(), What> {
        if !F::CDATA.contains(&self.path.as_str()) {
            return Err("it has a CDATA section where none may be".to_owned());
        }
        self.push(str::from_utf8(text).map_err(|_| "its text is no UTF-8")?)
    }

    fn push(&mut self, text: &str) -> Result<(), What> {
        if let Some(char) = forbidden(text) {
            return Err(format!("its text has {char:?}, which XML forbids"));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn entity(&mut self, reference: &BytesRef<'_>) -> Result<(), What> {
        let name = str::from_utf8(reference).map_err(|_| "its text is no UTF-8")?;
        let char = quick_xml::escape::resolve_predefined_entity(name);
        self.text.push_str(char.ok_or_else(|| format!("it has the entity &{name}; which none of our files has"))?);
        Ok(())
    }

    /// What stands between elements, and is forgotten.
    fn judge_between(&mut self) -> Result<(), What> {
        if !self.text.trim_ascii().is_empty() {
            return Err("there is text where none may be".to_owned());
        }
        self.text.clear();
        Ok(())
    }
}

fn unread(error: quick_xml::Error) -> What {
    match error {
        quick_xml::Error::Io(error) => format!("it cannot be unpacked: {error}"),
        error => format!("it is no well-formed XML: {error}"),
    }
}

/// What XML 1.0 forbids (section 2.2), and the carriage returns that its readers would change.
fn forbidden(text: &str) -> Option<char> {
    if !text.bytes().any(|byte| byte == 0xef || byte < 0x20 && byte != b'\n') {
        return None;
    }
    text.chars().find(|char| match char {
        '\t' | '\n' => false,
        '\u{fffe}' | '\u{ffff}' => true,
        other => *other < ' ',
    })
}

fn judge_namespaces(root: &BytesStart<'_>, expected: &[(&str, &str)]) -> Result<(), What> {
    let mut found = 0;
    for value in root.attributes() {
        let value = value.map_err(|error| format!("it is no well-formed XML: {error}"))?;
        let pair = (str::from_utf8(value.key.as_ref()), str::from_utf8(&value.value));
        let (Ok(name), Ok(value)) = pair else { return Err("an attribute is no UTF-8".to_owned()) };
        if name == "xmlns" || name.starts_with("xmlns:") {
            if !expected.contains(&(name, value)) {
                return Err(format!("its root says {name}={value:?}"));
            }
            found += 1;
        }
    }
    if found == expected.len() { Ok(()) } else { Err("its root lacks a namespace".to_owned()) }
}

/// The value of an attribute as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// What it says.
    pub(super) fn text(self) -> Result<Cow<'a, str>, What> {
        let text = str::from_utf8(self.0).map_err(|_| "an attribute is no UTF-8")?;
        if let Some(char) = text.chars().find(|char| *char == '<' || *char < ' ').or_else(|| forbidden(text)) {
            return Err(format!("an attribute has {char:?} in it"));
        }
        if !text.contains('&') {
            return Ok(Cow::Borrowed(text));
        }
        quick_xml::escape::unescape(text).map_err(|error| format!("an attribute is not well-formed: {error}"))
    }

    /// What it says, where that stands there as it is; it is left to the caller to find nothing in it that may not.
    pub(super) fn plain(self) -> Option<&'a [u8]> {
        (!self.0.contains(&b'&')).then_some(self.0)
    }
}

/// The attributes of those names in their order; what else the element has is refused.
pub(super) fn values<'a, const N: usize>(
    attributes: Values<'a>,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], What> {
    sorted(attributes.0, names)
}

/// The same of the root, whose namespaces are known.
pub(super) fn root_values<'a, const N: usize>(
    attributes: Values<'a>,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], What> {
    let is_namespace = |attribute: &AttributeRead<'_>| {
        attribute.as_ref().is_ok_and(|attribute| attribute.key.as_ref().starts_with(b"xmlns"))
    };
    sorted(attributes.0.filter(|attribute| !is_namespace(attribute)), names)
}

type AttributeRead<'a> = Result<Attribute<'a>, AttrError>;

fn sorted<'a, const N: usize>(
    attributes: impl Iterator<Item = AttributeRead<'a>>,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], What> {
    let mut values = [None; N];
    for attribute in attributes {
        let attribute = attribute.map_err(|error| format!("it is no well-formed XML: {error}"))?;
        let name = attribute.key.as_ref();
        let Some(place) = names.iter().position(|wanted| wanted.as_bytes() == name) else {
            return Err(format!("it has the attribute {}, which has no place there", String::from_utf8_lossy(name)));
        };
        // Values are slices of the buffer; an owned one would be one that the reader had to change.
        let Cow::Borrowed(value) = attribute.value else { return Err("an attribute is no UTF-8".to_owned()) };
        if values[place].replace(Value(value)).is_some() {
            return Err(format!("it has the attribute {} twice", names[place]));
        }
    }
    Ok(values)
}

/// The element has no place where it is.
pub(super) fn out_of_place(path: &str) -> What {
    let name = path.rsplit('/').next().unwrap_or(path);
    format!("it has the element {name}, which has no place there")
}
