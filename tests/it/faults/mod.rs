//! The fault suite: real processes that are killed, stopped, frozen and cut off at random moments, again and again, after
//! which the books must balance (`harness::Books`): accepted = delivered + dead + pending, nothing lost, and duplicates
//! only where the fault allows them. And strangers on both sides of them, who do what nobody should: what that costs the
//! process, and what others notice of it.
//!
//! A scenario says with `harness::rounds` how often it runs: few times in every test run, all of them in
//! `tests/run --full`.

mod abuse;
mod clocks;
mod kills;
mod leases;
mod poison;
mod postgres;
mod readiness;
mod receivers;
mod redis;
mod signals;
mod sqlite;
mod store;
