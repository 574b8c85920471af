//! Who takes part in a made-up past: tenants of skewed sizes, and their endpoints in all states.

use std::{ops::Range, time::Duration};

use anyhow::Context;
use postrider_core::{
    domain::{
        Id, UnixMs,
        egress::EndpointUrl,
        endpoint::{Endpoint, EndpointSettings, EndpointState},
        retry::RetrySchedule,
        signature::SigningSecret,
        tenant::{Tenant, TenantSlug},
    },
    store::Store,
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::failures::{self, Failure};

const NAMES: [&str; 24] = [
    "northwind",
    "bluefin",
    "copperhill",
    "driftwood",
    "eastgate",
    "fernway",
    "granite",
    "harbour",
    "ironbark",
    "juniper",
    "kestrel",
    "lakeside",
    "meridian",
    "nightjar",
    "oakfield",
    "pinecrest",
    "quarry",
    "redwood",
    "saltmarsh",
    "tideline",
    "umber",
    "violet",
    "westbrook",
    "yarrow",
];
const TRADES: [&str; 7] = ["shop", "logistics", "labs", "travel", "health", "media", "energy"];
const USES: [&str; 6] = ["orders", "billing", "warehouse", "crm", "analytics", "notify"];
const SCHEDULES_S: [&[f64]; 4] =
    [&[5.0, 300.0, 1_800.0], &[5.0, 60.0], &[5.0, 300.0, 1_800.0, 7_200.0], &[2.0, 10.0, 60.0, 300.0, 900.0]];
/// The part of all jobs that the tenant `default` has.
const DEFAULT_SHARE: f64 = 1.0 / 3.0;
/// Endpoints of the tenant `default`; the others have fewer by their share.
const ENDPOINTS_MAX: f64 = 40.0;
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) struct World {
    pub(super) places: Vec<Place>,
}

/// A tenant.
pub(super) struct Place {
    pub(super) tenant: Tenant,
    /// Its part of all jobs.
    pub(super) share: f64,
    pub(super) receivers: Vec<Receiver>,
    /// Where its jobs `http.request` go.
    pub(super) host: String,
}

pub(super) struct Receiver {
    pub(super) endpoint: Endpoint,
    pub(super) habit: Failure,
    /// How often its deliveries die, beside others'.
    pub(super) badness: f64,
    /// Milliseconds that a good answer takes at least.
    pub(super) pace_ms: u32,
}

impl World {
    /// Makes the tenants that are not there, and endpoints of their own for what is made up: none that was there before is
    /// written to or called.
    pub(super) async fn make(
        store: &Store,
        tenants: u16,
        time: Range<UnixMs>,
        dice: &mut StdRng,
    ) -> anyhow::Result<Self> {
        let weights: f64 = (1..tenants).map(|place| 1.0 / f64::from(place)).sum();
        let mut places = Vec::new();
        for number in 0..tenants {
            let share = match number {
                0 if tenants == 1 => 1.0,
                0 => DEFAULT_SHARE,
                _ => (1.0 - DEFAULT_SHARE) / f64::from(number) / weights,
            };
            let tenant = tenant(store, number, time.start).await?;
            let place = place(tenant, share, &time, dice)?;
            let secret = |receiver: &Receiver, dice: &mut StdRng| {
                (receiver.endpoint.clone(), SigningSecret::from_random(dice.random()))
            };
            let made: Vec<_> = place.receivers.iter().map(|receiver| secret(receiver, dice)).collect();
            store.seed_endpoints(&made).await?;
            places.push(place);
        }
        Ok(Self { places })
    }
}

async fn tenant(store: &Store, number: u16, at: UnixMs) -> anyhow::Result<Tenant> {
    if number == 0 {
        return Ok(store.default_tenant(at).await?);
    }
    let place = usize::from(number) - 1;
    let (name, trade) = (NAMES[place % NAMES.len()], TRADES[place % TRADES.len()]);
    let turn = place / (NAMES.len() * TRADES.len());
    let again = if turn == 0 { String::new() } else { format!("-{}", turn + 1) };
    let slug: TenantSlug = format!("{name}-{trade}{again}").parse().context("a name that is made up")?;
    if let Some(tenant) = store.tenant_by_slug(&slug).await? {
        return Ok(tenant);
    }
    let (first, rest) = name.split_at(1);
    let shown = format!("{}{rest} {trade}{again}", first.to_uppercase());
    Ok(store.create_tenant(&slug, &shown, at).await?)
}

fn place(tenant: Tenant, share: f64, time: &Range<UnixMs>, dice: &mut StdRng) -> anyhow::Result<Place> {
    let host = format!("{}.example", tenant.slug);
    let count = (ENDPOINTS_MAX * (share / DEFAULT_SHARE).min(1.0)).ceil().max(2.0);
    let mut receivers = Vec::new();
    for number in 0.. {
        if f64::from(number) >= count {
            break;
        }
        receivers.push(receiver(&tenant, number, time, dice)?);
    }
    Ok(Place { tenant, share, receivers, host })
}

fn receiver(tenant: &Tenant, number: u16, time: &Range<UnixMs>, dice: &mut StdRng) -> anyhow::Result<Receiver> {
    let state = match (number, dice.random_range(0..100)) {
        // The first of each tenant is well, so that there is always somewhere to deliver to.
        (0, _) => EndpointState::Active,
        (_, 0..8) => EndpointState::Failing,
        (_, 8..15) => EndpointState::Paused,
        (_, 15..20) => EndpointState::Disabled,
        _ => EndpointState::Active,
    };
    let life = time.end.since(time.start);
    let ago = |hours: f64| time.end - HOUR.mul_f64(hours).min(life.mul_f64(0.5));
    let (state_since, reason) = match state {
        EndpointState::Active => (time.start, None),
        EndpointState::Failing => (ago(dice.random_range(0.5..40.0)), None),
        EndpointState::Paused => (ago(dice.random_range(0.2..6.0)), None),
        EndpointState::Disabled => (ago(dice.random_range(2.0..200.0)), Some("every attempt failed for 120 hours")),
    };
    let usage = USES[usize::from(number) % USES.len()];
    let (slug, sides) = (&tenant.slug, ["hooks", "api", "in", "events"]);
    let side = sides.choose(dice).copied().unwrap_or("hooks");
    let schedule = SCHEDULES_S.choose(dice).copied().unwrap_or_default();
    let url = EndpointUrl::stored(format!("https://{side}.{slug}.example/{usage}/{number}"));
    let settings = EndpointSettings {
        description: format!("{usage}, made up by postrider seed"),
        channels: vec![format!("project-{}", number / 2 + 1).parse()?],
        rate_per_second: dice.random_bool(0.1).then_some(50),
        concurrency_max: dice.random_bool(0.1).then_some(4),
        ordered: dice.random_bool(0.05),
        ..EndpointSettings::new(url, RetrySchedule::from_seconds(schedule)?)
    };
    let endpoint = Endpoint {
        id: Id::at(time.start, dice.random()),
        tenant_id: tenant.id,
        settings,
        state,
        state_since,
        state_reason: reason.map(str::to_owned),
        failing_since: (state == EndpointState::Failing).then_some(state_since),
        created_at: time.start,
        updated_at: state_since,
    };
    let badness = match state {
        EndpointState::Failing | EndpointState::Disabled => 3.0,
        EndpointState::Paused | EndpointState::Active => dice.random_range(0.1..1.2),
    };
    Ok(Receiver { endpoint, habit: failures::habit(dice), badness, pace_ms: dice.random_range(2..250) })
}
