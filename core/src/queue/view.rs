//! What a queue shows of itself to operators and to the sweep. Knows no backend.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        UnixMs,
        lane::{Breaker, LaneKey, LaneSettings, Standing},
    },
    queue::WorkerId,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneView {
    pub key: LaneKey,
    pub ready: u64,
    pub delayed: u64,
    pub in_flight: u64,
    /// In flight at most, by what is set and by what the receiver bears now.
    pub limit: u32,
    pub breaker: Breaker,
    pub paused: bool,
    /// Some of the lane's jobs wait in SQL.
    pub spilled: bool,
    /// How it stands now, while it waits for its turn; `None` where something else must happen first.
    pub seat: Option<Standing>,
    /// The order of the oldest ready ticket, whatever its priority.
    pub oldest: Option<UnixMs>,
    pub settings: LaneSettings,
}

/// What a worker says of itself when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerAbout {
    pub host: String,
    pub version: String,
    /// Jobs that it holds at most.
    pub slots: u32,
    pub since: UnixMs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    pub id: WorkerId,
    /// `None` where it has not said so yet.
    pub about: Option<WorkerAbout>,
    pub in_flight: u64,
    pub last_seen: UnixMs,
    pub expires_at: UnixMs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTotals {
    /// Lanes with a ticket.
    pub lanes: u64,
    /// Ready, delayed and in flight.
    pub tickets: u64,
    pub in_flight: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueView {
    /// The deepest lanes, deepest first; at most as many as were asked for.
    pub lanes: Vec<LaneView>,
    pub workers: Vec<WorkerView>,
    pub totals: QueueTotals,
}

/// A lane with jobs waiting in SQL and room for them in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpilledLane {
    pub key: LaneKey,
    /// To be given to `unspill`, so that an offer which spilled meanwhile is not forgotten.
    pub generation: u64,
    /// Ready, delayed and in flight.
    pub depth: u64,
}
