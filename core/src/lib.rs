//! What all of Postrider's roles share: nouns and rules, SQL, tickets and lanes, configuration.

pub mod config;
pub mod dispatch;
pub mod domain;
pub mod endpoint_test;
pub mod lane_control;
pub mod live;
pub mod notified;
pub mod notify;
pub mod queue;
pub mod running;
pub mod site;
pub mod store;
pub mod trace;
