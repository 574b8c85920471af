//! Tickets and verdicts as scripts' arguments, and scripts' answers as values. Does no I/O.

use std::{str, time::Duration};

use redis::{FromRedisValue, Value};
use uuid::Uuid;

use super::super::{
    Health, LaneView, Lease, LostLease, Next, Places, Rest, Room, SpilledLane, Ticket, Verdict, WorkerId, WorkerView,
    rank::Rank,
};
use crate::domain::{
    Id, UnixMs,
    job::{Job, Priority},
    lane::{Breaker, LaneKey, LaneSettings, Standing},
    tenant::Tenant,
};

const ID_BYTES: usize = 16;

/// 16 bytes of tenant, then the name: what stands in keys and sorted sets.
pub(super) fn lane_bytes(key: &LaneKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ID_BYTES + key.name.as_str().len());
    bytes.extend_from_slice(key.tenant.uuid().as_bytes());
    bytes.extend_from_slice(key.name.as_str().as_bytes());
    bytes
}

pub(super) fn job_bytes(job: Id<Job>) -> Vec<u8> {
    job.uuid().as_bytes().to_vec()
}

/// Which shard a lane lives in: FNV-1a over its bytes, the same in every version.
pub(super) fn shard_of(key: &LaneKey, shards: usize) -> usize {
    let name = key.name.as_str().as_bytes();
    let hash = key
        .tenant
        .uuid()
        .as_bytes()
        .iter()
        .chain(name)
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % shards.max(1) as u64).unwrap_or_default()
}

pub(super) fn number(number: impl ToString + Copy) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn millis(duration: Duration) -> Vec<u8> {
    // Past this, every time is cut to the last one that a score can hold.
    number(duration.as_millis().min(1 << 43))
}

pub(super) fn ticket_args(ticket: &Ticket) -> [Vec<u8>; 5] {
    let below_max = Priority::MAX.get() - ticket.priority.get();
    // A rank in front is what tells the script that the lane waits with it.
    let rank = if ticket.leads { Rank::front(ticket.order) } else { Rank::new(ticket.priority, ticket.order) };
    [lane_bytes(&ticket.lane), job_bytes(ticket.job), number(rank.0), number(below_max), millis(ticket.delay)]
}

pub(super) fn verdict_args(verdict: &Verdict) -> [Vec<u8>; 10] {
    let health = match verdict.health {
        Health::Good => "good",
        Health::Bad => "bad",
        Health::Neutral => "neutral",
    };
    let none = Vec::new;
    let (next, [delay, rank, front, below_max]) = match &verdict.next {
        Next::Done => ("done", [none(), none(), none(), none()]),
        Next::Release => ("release", [none(), none(), none(), none()]),
        Next::InTurn { order, priority } => {
            ("in turn", [none(), number(Rank::new(*priority, *order).0), none(), none()])
        }
        Next::Later { delay, order, priority } => {
            let (rank, front) = (Rank::new(*priority, *order), Rank::front(*order));
            let below_max = Priority::MAX.get() - priority.get();
            ("later", [millis(*delay), number(rank.0), number(front.0), number(below_max)])
        }
    };
    let Lease { job, lane, fence, .. } = &verdict.lease;
    [
        lane_bytes(lane),
        job_bytes(*job),
        number(fence),
        health.into(),
        millis(verdict.took),
        next.into(),
        delay,
        rank,
        front,
        below_max,
    ]
}

/// The room for a claim of at most `count` jobs.
pub(super) fn room_args(room: &Room, count: usize) -> Vec<Vec<u8>> {
    let places = |Places { all, unknown, failing }: Places| [all, unknown, failing].map(number);
    let own = |(tenant, left): &(Id<Tenant>, Places)| {
        std::iter::once(tenant.uuid().as_bytes().to_vec()).chain(places(*left)).collect::<Vec<_>>()
    };
    let fixed = [places(Places { all: count, ..room.all }), places(room.tenant)].concat();
    fixed.into_iter().chain(room.tenants.iter().flat_map(own)).collect()
}

/// What a claim's script answered.
#[derive(Debug)]
pub(super) struct Claimed {
    /// Until the next lane's time comes, if one waits for a time.
    pub(super) next_due: Option<Duration>,
    pub(super) rest: Rest,
    pub(super) leases: Vec<Lease>,
}

/// `None` where an answer is not of the form that its script gives.
pub(super) fn claimed(answer: Value) -> Option<Claimed> {
    let fields: Vec<Vec<u8>> = parsed(answer)?;
    let ([now, next_due, rest, first_fence], rows) = fields.split_first_chunk()?;
    let (now, next_due): (i64, i64) = (ascii(now)?, ascii(next_due)?);
    let rest = match ascii(rest)? {
        0 => Rest::Nothing,
        1 => Rest::More,
        -1 => Rest::HeldBack,
        _ => return None,
    };
    let fences = ascii::<u64>(first_fence)?..;
    let lease = |(row, fence): (&Vec<u8>, u64)| {
        let (job, row) = row.split_at_checked(ID_BYTES)?;
        let (ring, lane) = row.split_at_checked(1)?;
        let standing = *Standing::ALL.get(ascii::<usize>(ring)?.checked_sub(1)?)?;
        Some(Lease { job: job_id(job)?, lane: lane_key(lane)?, fence, standing })
    };
    Some(Claimed {
        next_due: (next_due > 0).then(|| UnixMs(next_due).since(UnixMs(now))),
        rest,
        leases: rows.iter().zip(fences).map(lease).collect::<Option<_>>()?,
    })
}

/// Whether there may be more, and what was lost.
pub(super) fn lost(answer: Value) -> Option<(bool, Vec<LostLease>)> {
    let fields: Vec<Vec<u8>> = parsed(answer)?;
    let ([more, vanished], rows) = fields.split_first_chunk()?;
    let (rows, []) = rows.as_chunks::<3>() else { return None };
    let vanished = WorkerId::known(str::from_utf8(vanished).ok()?);
    let lost = |[job, lane, fence]: &[Vec<u8>; 3]| {
        let (job, lane, fence) = (job_id(job)?, lane_key(lane)?, ascii(fence)?);
        let lease = Lease { job, lane, fence, standing: Standing::Failing };
        Some(LostLease { lease, vanished: vanished.clone() })
    };
    Some((more == b"1", rows.iter().map(lost).collect::<Option<_>>()?))
}

pub(super) fn spilled(answer: Value) -> Option<Vec<SpilledLane>> {
    let fields: Vec<Vec<u8>> = parsed(answer)?;
    let (rows, []) = fields.as_chunks::<3>() else { return None };
    let lane = |[key, generation, depth]: &[Vec<u8>; 3]| {
        Some(SpilledLane { key: lane_key(key)?, generation: ascii(generation)?, depth: ascii(depth)? })
    };
    rows.iter().map(lane).collect()
}

/// One shard's part of the view.
#[derive(Debug)]
pub(super) struct ShardView {
    pub(super) lanes_total: u64,
    pub(super) tickets: u64,
    pub(super) workers: Vec<WorkerView>,
    pub(super) lanes: Vec<LaneView>,
}

pub(super) fn view(answer: Value, lease: Duration) -> Option<ShardView> {
    type Rows = Vec<Vec<Value>>;
    let (totals, workers, lanes): (Vec<u64>, Rows, Rows) = parsed(answer)?;
    let &[lanes_total, tickets] = totals.as_slice() else { return None };
    let worker = |row: Vec<Value>| {
        let [id, in_flight, expires_at, about] = row.try_into().ok()?;
        // Another version may say other things of itself.
        let about = serde_json::from_slice(&parsed::<Vec<u8>>(about)?).ok();
        let expires_at = UnixMs(ascii(&parsed::<Vec<u8>>(expires_at)?)?);
        let id = WorkerId::known(&parsed::<String>(id)?);
        Some(WorkerView { id, about, in_flight: parsed(in_flight)?, last_seen: expires_at - lease, expires_at })
    };
    Some(ShardView {
        lanes_total,
        tickets,
        workers: workers.into_iter().map(worker).collect::<Option<_>>()?,
        lanes: lanes.into_iter().map(lane_view).collect::<Option<_>>()?,
    })
}

pub(super) fn held_by(answer: Value) -> Option<Vec<(LaneKey, Id<Job>)>> {
    let members: Vec<Vec<u8>> = parsed(answer)?;
    let held = |member: Vec<u8>| {
        let (job, lane) = member.split_at_checked(ID_BYTES)?;
        Some((lane_key(lane)?, job_id(job)?))
    };
    members.into_iter().map(held).collect()
}

fn lane_view(row: Vec<Value>) -> Option<LaneView> {
    let mut row = row.into_iter();
    let key = lane_key(&parsed::<Vec<u8>>(row.next()?)?)?;
    let numbers: Vec<i64> = row.map(parsed).collect::<Option<_>>()?;
    let &[ready, delayed, in_flight, limit, rest, paused, spilled, oldest, concurrency, rate, ordered, seat] =
        numbers.as_slice()
    else {
        return None;
    };
    let count = |number: i64| u64::try_from(number).ok();
    let settings = LaneSettings {
        concurrency_max: u32::try_from(concurrency).ok(),
        rate_per_second: u32::try_from(rate).ok().filter(|&rate| rate > 0),
        ordered: ordered == 1,
        paused: paused == 1,
    };
    Some(LaneView {
        key,
        ready: count(ready)?,
        delayed: count(delayed)?,
        in_flight: count(in_flight)?,
        limit: u32::try_from(limit).ok()?,
        breaker: if rest > 0 { Breaker::Open { rest_until: UnixMs(rest) } } else { Breaker::Closed },
        paused: settings.paused,
        spilled: spilled == 1,
        seat: usize::try_from(seat - 1).ok().and_then(|seat| Standing::ALL.get(seat).copied()),
        oldest: (oldest >= 0).then_some(UnixMs(oldest)),
        settings,
    })
}

pub(super) fn parsed<T: FromRedisValue>(value: Value) -> Option<T> {
    T::from_redis_value(value).ok()
}

fn ascii<T: str::FromStr>(bytes: &[u8]) -> Option<T> {
    str::from_utf8(bytes).ok()?.parse().ok()
}

fn job_id(bytes: &[u8]) -> Option<Id<Job>> {
    Uuid::from_slice(bytes).ok().map(Id::from_uuid)
}

fn lane_key(bytes: &[u8]) -> Option<LaneKey> {
    let (tenant, name) = bytes.split_at_checked(ID_BYTES)?;
    let tenant = Id::from_uuid(Uuid::from_slice(tenant).ok()?);
    Some(LaneKey { tenant, name: ascii(name)? })
}
