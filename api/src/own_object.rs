//! Objects of the caller's own within a body, in which no name is there twice.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::json::Object;

/// Any object, whose objects have each name once at every depth. [`Value`]'s own reader keeps the last of two and says
/// nothing of the other, which would be lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OwnObject(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for OwnObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = OwnObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<OwnObject, A::Error> {
                read_members(members).map(OwnObject)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Objects of one form by names of the caller's own, each of which is there once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Named<T>(pub(crate) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut read = BTreeMap::new();
                while let Some(name) = members.next_key::<String>()? {
                    if read.contains_key(&name) {
                        return Err(Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    let Object(value) = members.next_value()?;
                    read.insert(name, value);
                }
                Ok(read)
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

fn read_members<'de, A: MapAccess<'de>>(mut members: A) -> Result<Map<String, Value>, A::Error> {
    let mut read = Map::new();
    while let Some(name) = members.next_key::<String>()? {
        if read.contains_key(&name) {
            // In the words of a derived reader, which refusals are told by.
            return Err(Error::custom(format_args!("duplicate field `{name}`")));
        }
        let Any(value) = members.next_value()?;
        read.insert(name, value);
    }
    Ok(read)
}

/// Any value that keeps the rule.
struct Any(Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Any(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        read_members(members).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_each_name_once_is_read_as_it_stands() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"x\n",{"a":{}}],"b":{"a":1}}"#;
        let OwnObject(read) = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(read), serde_json::from_str::<Value>(text).unwrap());
        for text in ["[]", "1", r#"{"a":1,"a":1}"#, r#"{"a":[{"b":1,"b":1}]}"#] {
            assert!(serde_json::from_str::<OwnObject>(text).is_err(), "{text}");
        }
    }
}
