//! What is set now, and where: for people who look for the reason of what they see.

use std::path::Path;

use confique::{
    Config as _,
    meta::{Field, FieldKind, LeafKind},
};

use super::{FILE, Settings, refusal::SECRET_KEYS};

/// One setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    pub key: &'static str,
    /// As it is written where it is set, or its default. A secret is hidden.
    pub value: String,
    pub from: From,
    /// What it means.
    pub doc: String,
}

/// Where a setting is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    Default,
    /// The variable's name.
    Variable(&'static str),
    /// The file's path.
    File(String),
}

impl Settings {
    /// Every setting as [`Settings::load`] finds it, with the variables and the file as they are now.
    #[must_use]
    pub fn in_force(file: Option<&Path>) -> Vec<InForce> {
        let path = file.unwrap_or_else(|| Path::new(FILE));
        let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
        let table = table.unwrap_or_default();
        Self::META.fields.iter().map(|field| one(field, path, &table)).collect()
    }
}

fn one(field: &Field, path: &Path, table: &toml::Table) -> InForce {
    let (variable, default) = match &field.kind {
        FieldKind::Leaf { env, kind: LeafKind::Required { default } } => (*env, default.as_ref()),
        FieldKind::Leaf { env, kind: LeafKind::Optional } => (*env, None),
        FieldKind::Nested { .. } => (None, None),
    };
    let of_variable = variable.and_then(|name| Some((std::env::var(name).ok()?, From::Variable(name))));
    let of_file = || Some((table.get(field.name)?.to_string(), From::File(path.display().to_string())));
    let (value, from) = of_variable.or_else(of_file).unwrap_or_else(|| {
        let default = default.and_then(|default| serde_json::to_string(default).ok());
        (default.unwrap_or_else(|| "not set".to_owned()), From::Default)
    });
    let hidden = from != From::Default && SECRET_KEYS.contains(&field.name);
    InForce {
        key: field.name,
        value: if hidden { "(hidden)".to_owned() } else { value },
        from,
        doc: field.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_says_where_it_is_set_and_hides_what_is_secret() {
        let file = std::env::temp_dir().join(format!("postrider-{}.toml", uuid::Uuid::now_v7()));
        std::fs::write(
            &file,
            "redis_shards = 4\ndatabase_url = \"postgres://user:password@host/db\"\n\
            smtp_url = \"smtps://user:password@host\"\n",
        )
        .unwrap();
        let all = Settings::in_force(Some(&file));
        std::fs::remove_file(&file).unwrap();
        let of = |key: &str| all.iter().find(|setting| setting.key == key).unwrap();
        let path = From::File(file.display().to_string());
        assert_eq!((of("redis_shards").value.as_str(), &of("redis_shards").from), ("4", &path));
        for secret in ["database_url", "smtp_url"] {
            assert_eq!((of(secret).value.as_str(), &of(secret).from), ("(hidden)", &path));
        }
        assert_eq!((of("idempotency_hours").value.as_str(), &of("idempotency_hours").from), ("24", &From::Default));
        assert_eq!(of("otlp_url").value, "not set");
        assert!(of("listen").doc.starts_with("Address and port"));
    }
}
