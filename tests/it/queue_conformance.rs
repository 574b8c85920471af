//! What every queue must do. Each test is one sentence and runs on the embedded queue, on one Redis, and on a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it is surprised")]

mod at_scale;
mod failover;
mod leases;
mod model;
mod order;
mod outages;
mod room;
mod setup;
mod spill;
mod turns;

/// Makes tests of each function, with the limits it names: one for each backend, and one for Redis in a cluster. Those
/// behind `in_one_shard` claim one order over all lanes, which a queue of several shards does not have.
macro_rules! on_both {
    (
        $($name:ident($limits:ident)),+ $(,)?
        $(; in_one_shard: $($alone:ident($alone_limits:ident)),+ $(,)?)?
    ) => {
        mod embedded {
            use crate::queue_conformance::setup;
            crate::queue_conformance::each!(setup::embedded, $($name($limits),)+ $($($alone($alone_limits),)+)?);
        }
        mod redis {
            use crate::queue_conformance::setup;
            crate::queue_conformance::each!(setup::redis, $($name($limits),)+ $($($alone($alone_limits),)+)?);
        }
        mod cluster {
            use crate::queue_conformance::setup;
            crate::queue_conformance::each!(setup::cluster, $($name($limits),)+);
        }
    };
}
use on_both;

/// One test of each function, on a queue of its own that `$queue` makes.
macro_rules! each {
    ($queue:path, $($name:ident($limits:ident),)+) => {
        $(#[tokio::test]
        async fn $name() {
            super::$name($queue(super::$limits).await).await;
        })+
    };
}
use each;
