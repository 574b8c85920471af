//! Conditions: whether somebody is among those whom something is for, by what is known of them.

use minijinja::{Environment, Expression, context};

use super::{
    compiled::{Data, Told},
    engine::{TemplateFault, environment, judge_nesting},
};

/// Bytes of a condition.
pub const CONDITION_BYTES_MAX: usize = 1024;
/// What it may name.
const NAMES: [&str; 2] = ["data", "recipient"];
/// In which it is rendered.
const TEMPLATE: &str = "condition.text";

/// An expression that holds for somebody or does not. To be kept for as long as it is asked.
#[derive(Debug)]
pub struct Condition {
    environment: Environment<'static>,
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    #[error("it has {0} bytes; a condition may have 1 to {CONDITION_BYTES_MAX}")]
    Length(usize),
    #[error("it is no expression: {0}")]
    Expression(String),
    #[error("it names {0:?}; a condition knows `recipient` and `data`")]
    Name(String),
}

impl Condition {
    /// # Errors
    /// When it is no expression of `recipient` and `data`.
    pub fn new(source: &str) -> Result<Self, ConditionError> {
        if !(1..=CONDITION_BYTES_MAX).contains(&source.len()) {
            return Err(ConditionError::Length(source.len()));
        }
        let refused = |fault: TemplateFault| ConditionError::Expression(fault.detail);
        let template = format!("{{% if ({source}) %}}1{{% endif %}}");
        judge_nesting(&template).map_err(refused)?;
        let mut environment = environment();
        let names = environment
            .compile_expression(source)
            .map(|expression: Expression<'_, '_>| expression.undeclared_variables(false))
            .map_err(|error| refused(TemplateFault::of(&error)))?;
        if let Some(name) = names.into_iter().filter(|name| !NAMES.contains(&name.as_str())).min() {
            return Err(ConditionError::Name(name));
        }
        let added = environment.add_template_owned(TEMPLATE, template);
        added.map_err(|error| refused(TemplateFault::of(&error)))?;
        Ok(Self { environment })
    }

    /// Whether it holds. Where it names what is not there, it does not.
    #[must_use]
    pub fn holds(&self, data: &Data, told: &Told<'_>) -> bool {
        let context = context! { data => data.value(), recipient => told.value(None) };
        let rendered = self.environment.get_template(TEMPLATE).and_then(|template| template.render(context));
        rendered.is_ok_and(|text| text == "1")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::recipient::Attributes;

    fn holds(source: &str) -> bool {
        let attributes: Attributes = serde_json::from_value(json!({ "plan": "pro", "age": 30 })).unwrap();
        let locale = "de-AT".parse().unwrap();
        let told = Told { key: "anna", locale: Some(&locale), time_zone: None, attributes: &attributes };
        let data = json!({ "post": { "min_age": 18, "tags": ["rust"] } });
        Condition::new(source).unwrap().holds(&Data::new(data.as_object().unwrap().clone()), &told)
    }

    #[test]
    fn it_holds_by_attributes_and_data_and_not_by_what_is_not_there() {
        for source in [
            "recipient.attributes.plan == 'pro'",
            "recipient.attributes.age >= data.post.min_age and 'rust' in data.post.tags",
            "recipient.locale is startingwith('de')",
            "recipient.attributes.team is undefined or recipient.attributes.team == 1",
            "not (recipient.key == 'bob')",
        ] {
            assert!(holds(source), "{source}");
        }
        for source in [
            "recipient.attributes.plan == 'free'",
            "recipient.attributes.team.name == 'x'",
            "data.post.max_age > 3",
            "recipient.time_zone == 'Europe/Warsaw'",
            "[] ",
        ] {
            assert!(!holds(source), "{source}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_reason() {
        let refused = |source: &str| Condition::new(source).unwrap_err();
        assert_eq!(refused(""), ConditionError::Length(0));
        assert_eq!(refused(&"1".repeat(1025)), ConditionError::Length(1025));
        assert_eq!(refused("user.plan == 'pro'"), ConditionError::Name("user".to_owned()));
        for source in ["recipient.", "1) %}{{ data }}{% if (1", "recipient.key ==", "{% if 1 %}"] {
            assert!(matches!(refused(source), ConditionError::Expression(_)), "{source}: {:?}", refused(source));
        }
    }
}
