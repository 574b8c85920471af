//! Runs Postrider's jobs.

pub mod egress;
