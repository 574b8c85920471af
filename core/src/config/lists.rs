//! Settings that are lists: TOML's own in the file, separated by commas in a variable.

use std::{fmt::Display, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use crate::domain::redaction::Pointer;

/// A part of a list that is not what the setting takes.
#[derive(Debug, thiserror::Error)]
#[error("{part:?} is not {what}")]
pub(super) struct NotOne {
    part: String,
    what: &'static str,
}

pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, NotOne> {
    text.split(',').map(network).collect()
}

pub(super) fn ports(text: &str) -> Result<Vec<u16>, NotOne> {
    text.split(',').map(|part| read(part, "a port", |part| part.parse().ok())).collect()
}

pub(super) fn delays(text: &str) -> Result<Vec<f64>, NotOne> {
    text.split(',').map(|part| read(part, "a number of seconds", |part| part.parse().ok())).collect()
}

pub(super) fn pointers(text: &str) -> Result<Vec<Pointer>, NotOne> {
    text.split(',').map(pointer).collect()
}

pub(super) fn read_pointers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pointer>, D::Error> {
    let parts = Vec::<String>::deserialize(deserializer)?;
    parts.iter().map(|part| pointer(part)).collect::<Result<_, _>>().map_err(custom)
}

fn pointer(part: &str) -> Result<Pointer, NotOne> {
    read(part, "a JSON pointer like /customer/email", |part| part.parse().ok())
}

pub(super) fn read_networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let parts = Vec::<String>::deserialize(deserializer)?;
    parts.iter().map(|part| network(part)).collect::<Result<_, _>>().map_err(custom)
}

/// A single address is the network that has it alone.
fn network(part: &str) -> Result<IpNet, NotOne> {
    let parse = |part: &str| part.parse().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
    read(part, "a network", parse)
}

fn read<T>(part: &str, what: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, NotOne> {
    parse(part.trim()).ok_or_else(|| NotOne { part: part.to_owned(), what })
}

fn custom<E: de::Error>(error: impl Display) -> E {
    E::custom(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_its_own() {
        let read: Vec<String> =
            networks("10.20.0.0/16, 127.0.0.1,::1").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.20.0.0/16", "127.0.0.1/32", "::1/128"]);
        for text in ["", "10.0.0.0/33", "127.0.0.1,", "localhost"] {
            assert!(networks(text).is_err(), "{text}");
        }
    }
}
