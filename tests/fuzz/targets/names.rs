//! Names that are typed: ids, lanes' names, event types and tenants' slugs are kept as they were written, or not at all.
#![no_main]

use std::{fmt::Display, str::FromStr};

use libfuzzer_sys::fuzz_target;
use postrider_core::domain::{
    Id,
    attempt::Attempt,
    dead_letter::DeadLetter,
    endpoint::Endpoint,
    event::{Channel, Event, EventType},
    job::Job,
    lane::LaneName,
    tenant::{Tenant, TenantSlug, Token},
};

fuzz_target!(|text: &str| {
    let read = [
        kept::<Id<Attempt>>(text),
        kept::<Id<DeadLetter>>(text),
        kept::<Id<Endpoint>>(text),
        kept::<Id<Event>>(text),
        kept::<Id<Job>>(text),
        kept::<Id<Tenant>>(text),
        kept::<Id<Token>>(text),
    ];
    assert!(read.into_iter().filter(|read| *read).count() <= 1, "an id is of one noun");
    kept::<LaneName>(text);
    kept::<EventType>(text);
    kept::<Channel>(text);
    kept::<TenantSlug>(text);
});

fn kept<T: FromStr + Display>(text: &str) -> bool {
    let read = text.parse::<T>();
    if let Ok(read) = &read {
        assert_eq!(read.to_string(), text);
    }
    read.is_ok()
}
