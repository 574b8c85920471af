//! How templates are read and what they may do: no files, no includes, no macros; bounded work and memory; nothing that is missing
//! or null is written as if it were a text.

use std::fmt::Display;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, escape_formatter,
    machinery::{Token, tokenize},
    syntax::SyntaxConfig,
    value::{Value, ValueKind},
};

use crate::domain::notification_type::Part;

/// What one template may do: as many steps, each of which pays for 64 bytes as well.
const FUEL: u64 = 50_000;
/// Loops and conditions within each other while a template runs: as many as the engine reads.
const RECURSION_MAX: usize = 150;
/// Words and signs of one tag. The engine reads and compiles what is within each other by recursion, so a chain that is long
/// enough would end the process.
const TAG_TOKENS_MAX: usize = 200;
/// `elif` of one template, each of which is a condition within the one before.
const ELIFS_MAX: usize = 50;
/// What a text is cut to by `truncate` where nobody says.
const TRUNCATED_CHARS: usize = 80;

/// Something wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateFault {
    /// 0 where it is of no line.
    pub(super) line: usize,
    pub(super) detail: String,
}

impl TemplateFault {
    pub(super) fn at(line: usize, detail: impl Display) -> Self {
        Self { line, detail: detail.to_string() }
    }

    pub(super) fn of(error: &Error) -> Self {
        let detail = match (error.kind(), error.detail()) {
            (ErrorKind::OutOfFuel, _) => "it takes more work than a template may; make its loops shorter".to_owned(),
            (ErrorKind::UndefinedError, _) => "something that it names is not there".to_owned(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        Self { line: error.line().unwrap_or(0), detail }
    }
}

/// What templates are compiled in.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_auto_escape_callback(|name| match name.ends_with(Part::Html.as_str()) {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    environment.set_formatter(write);
    environment.remove_global("debug");
    environment.remove_filter("pprint");
    for name in ["default", "d"] {
        environment.add_filter(name, default);
    }
    environment.add_filter("truncate", truncate);
    environment
}

/// # Errors
/// When a template is not to be read: one tag is too long, or there are too many conditions within each other.
pub(super) fn judge_nesting(source: &str) -> Result<(), TemplateFault> {
    let (mut in_tag, mut elifs, mut begins) = (0_usize, 0_usize, false);
    for token in tokenize(source, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| TemplateFault::of(&error))?;
        let line = usize::from(span.start_line);
        in_tag += 1;
        match token {
            Token::VariableStart | Token::BlockStart | Token::TemplateData(_) => in_tag = 0,
            Token::Ident("elif") if begins => elifs += 1,
            _ => {}
        }
        begins = matches!(token, Token::BlockStart);
        if in_tag > TAG_TOKENS_MAX {
            let detail = format!("a tag has at most {TAG_TOKENS_MAX} words and signs; divide it with {{% set %}}");
            return Err(TemplateFault::at(line, detail));
        }
        if elifs > ELIFS_MAX {
            return Err(TemplateFault::at(line, format_args!("a template has at most {ELIFS_MAX} elif")));
        }
    }
    Ok(())
}

/// Writes what an expression comes to, unless that says nothing to people.
fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let refused = |detail| Err(Error::new(ErrorKind::InvalidOperation, detail));
    match value.kind() {
        ValueKind::None => refused("null would be written; say with default what is written in its place"),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => {
            refused("an object or a list would be written; name one of its members, or use join or tojson")
        }
        _ => escape_formatter(out, state, value),
    }
}

/// What stands in place of something that is not there or null; with `true`, of what is empty too.
fn default(value: &Value, other: Option<Value>, of_empty: Option<bool>) -> Value {
    let absent = value.is_undefined() || value.is_none() || (of_empty == Some(true) && !value.is_true());
    if absent { other.unwrap_or_else(|| Value::from("")) } else { value.clone() }
}

/// The beginning of a text, with an ellipsis where there is more of it.
fn truncate(text: String, chars: Option<usize>) -> String {
    let chars = chars.unwrap_or(TRUNCATED_CHARS).max(1);
    match text.char_indices().nth(chars) {
        None => text,
        Some(_) => {
            let kept: String = text.chars().take(chars - 1).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn rendered(source: &str) -> Result<String, String> {
        let mut environment = environment();
        environment.add_template_owned("t.text", source.to_owned()).map_err(|error| error.to_string())?;
        let data = context! { long => "a long text", none => (), list => vec![1, 2] };
        environment.get_template("t.text").unwrap().render(data).map_err(|error| TemplateFault::of(&error).detail)
    }

    #[test]
    fn what_may_be_absent_has_a_default_and_texts_are_cut() {
        assert_eq!(rendered("{{ none | default('-') }}{{ no | d('+') }}{{ '' | default('e', true) }}").unwrap(), "-+e");
        assert_eq!(rendered("{{ long | truncate(7) }}|{{ long | truncate }}").unwrap(), "a long…|a long text");
    }

    #[test]
    fn nothing_is_written_that_says_nothing_to_people() {
        for (source, says) in [
            ("{{ none }}", "null would be written"),
            ("{{ list }}", "an object or a list"),
            ("{{ missing }}", "is not there"),
            ("{{ debug() }}", "unknown function"),
            ("{{ list | pprint }}", "unknown filter"),
            ("{% include 'x' %}", "unknown statement"),
            ("{% macro m() %}{% endmacro %}", "unknown statement"),
            ("{% extends 'x' %}", "unknown statement"),
        ] {
            let refused = rendered(source).unwrap_err();
            assert!(refused.contains(says), "{source}: {refused}");
        }
    }

    #[test]
    fn a_template_that_would_eat_time_or_memory_is_stopped() {
        for source in [
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
            "{% set ns = namespace(x='xxxxxxxx') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{{ 'x' * 100000000 }}",
            "{% set x %}{% for a in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endset %}",
        ] {
            let refused = rendered(source).unwrap_err();
            assert!(refused.contains("more work"), "{source}: {refused}");
        }
    }

    /// Compiled on a thread as small as those that requests run on.
    #[test]
    fn what_is_nested_as_deep_as_it_may_be_ends_no_process() {
        let allowed = [
            format!("{{{{ 1{} }}}}", "+1".repeat(99)),
            format!("{{{{ {}1 }}}}", "-".repeat(198)),
            format!("{{{{ long{} }}}}", "|e".repeat(99)),
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(ELIFS_MAX)),
        ];
        for source in allowed {
            assert_eq!(judge_nesting(&source), Ok(()), "{source}");
            std::thread::Builder::new()
                .stack_size(2 << 20)
                .spawn(move || rendered(&source))
                .unwrap()
                .join()
                .unwrap()
                .ok();
        }
        for source in [
            format!("{{{{ 1{} }}}}", "+1".repeat(30_000)),
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(5_000)),
            format!("{{% set x = {}1 %}}", "not ".repeat(16_000)),
        ] {
            assert!(judge_nesting(&source).is_err());
        }
        assert_eq!(judge_nesting(&"a {{ data.b }} {% if data.c %} d {% endif %}".repeat(1_000)), Ok(()));
    }
}
