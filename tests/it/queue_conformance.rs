//! What every queue must do. Each test is one sentence and runs on the embedded queue and on Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it is surprised")]

mod at_scale;
mod leases;
mod model;
mod order;
mod outages;
mod room;
mod setup;
mod spill;
mod turns;

/// Makes two tests of each function: one for each backend, with the limits it names.
macro_rules! on_both {
    ($($name:ident($limits:ident)),+ $(,)?) => {
        mod embedded {
            use crate::queue_conformance::setup;
            $(#[tokio::test]
            async fn $name() {
                super::$name(setup::embedded(super::$limits)).await;
            })+
        }
        mod redis {
            use crate::queue_conformance::setup;
            $(#[tokio::test]
            async fn $name() {
                super::$name(setup::redis(super::$limits).await).await;
            })+
        }
    };
}
use on_both;
