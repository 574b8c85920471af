//! What made-up events say.

use postrider_core::domain::{UnixMs, event::EventType};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

/// Types of events with how often they come, the commonest first.
const TYPES: [(&str, u32); 12] = [
    ("order.created", 24),
    ("order.updated", 20),
    ("invoice.paid", 12),
    ("shipment.dispatched", 10),
    ("customer.updated", 9),
    ("invoice.created", 8),
    ("order.cancelled", 5),
    ("subscription.renewed", 4),
    ("customer.created", 3),
    ("product.stock_low", 2),
    ("subscription.cancelled", 2),
    ("payout.failed", 1),
];
const PEOPLE: [&str; 8] =
    ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Zoë Müller", "李 明", "Nils Åberg", "O’Neil, Pat", "Mária Szabó"];
const CITIES: [&str; 6] = ["Antwerp", "Kraków", "Osaka", "São Paulo", "Tallinn", "Wellington"];
/// Bytes of one line of an order, about.
const LINE_BYTES: usize = 90;

/// Each of them once.
pub(crate) fn kinds() -> impl Iterator<Item = EventType> {
    TYPES.iter().filter_map(|(name, _)| name.parse().ok())
}

pub(crate) fn kind(dice: &mut StdRng) -> Option<EventType> {
    let (name, _) = TYPES.choose_weighted(dice, |(_, weight)| *weight).ok()?;
    name.parse().ok()
}

/// Most are some hundred bytes, one in fifty some kilobytes, one in two thousand sixty.
pub(crate) fn payload(kind: &EventType, at: UnixMs, dice: &mut StdRng) -> Vec<u8> {
    let bytes = match dice.random_range(0..2_000) {
        0 => 60_000,
        1..40 => dice.random_range(2_000..12_000),
        _ => dice.random_range(0..700),
    };
    let number: u32 = dice.random_range(10_000..10_000_000);
    let mut text = format!(
        r#"{{"type":"{kind}","timestamp":"{at}","data":{{"id":"{number}","customer":{{"name":"{}","city":"{}"}},"currency":"EUR","total":{}.{:02},"lines":["#,
        PEOPLE.choose(dice).unwrap_or(&""),
        CITIES.choose(dice).unwrap_or(&""),
        dice.random_range(1..5_000),
        dice.random_range(0..100),
    );
    for line in 0..=bytes / LINE_BYTES {
        let comma = if line == 0 { "" } else { "," };
        let (sku, quantity) = (dice.random_range(1_000_000..9_999_999), dice.random_range(1..20));
        text.push_str(&format!(
            r#"{comma}{{"line":{line},"sku":"SKU-{sku}","quantity":{quantity},"note":null,"gift":false}}"#
        ));
    }
    text.push_str("]}}");
    text.into_bytes()
}
