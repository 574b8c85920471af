//! The integration tests: the real binary on real servers, seen from outside through HTTP. Start them with `tests/run`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says what is wrong by panicking, and a failed one prints the server's log"
)]

#[macro_use]
mod harness;

mod ambiguous_input;
mod architecture;
mod backoffs;
mod bad_input;
mod bench;
mod collapse;
mod commands;
mod dashboard;
mod dashboard_astray;
mod dashboard_bulk;
mod dashboard_endpoints;
mod dashboard_events;
mod dashboard_forms;
mod dashboard_guards;
mod dashboard_jobs;
mod dashboard_lanes;
mod dashboard_lists;
mod dashboard_notifications;
mod dashboard_portal;
mod dashboard_site_files;
mod dashboard_site_media;
mod dashboard_sites;
mod dashboard_stale;
mod dashboard_twice;
mod dashboard_users;
mod dead_letters;
mod deliveries;
mod deliveries_in_trouble;
mod demo;
mod doctor;
mod durability;
mod emails;
mod emails_in_trouble;
mod emails_signed;
mod endpoints;
mod faults;
mod idempotency;
mod in_chromium;
mod in_chromium_acts;
mod in_chromium_bell;
mod in_chromium_pages;
mod inbox_stream;
mod jobs;
mod large_bodies;
mod logs;
mod metrics;
mod notification_types;
mod notifications;
mod notifications_by_webhook;
mod notifications_in_trouble;
mod openapi;
mod order;
mod outages;
mod push;
mod push_sending;
mod pushes;
mod queue_conformance;
mod recipients;
mod redis_tls;
mod roles;
mod seed;
mod shapes;
mod site_bucket;
mod site_deaths;
mod site_gone;
mod site_links;
mod site_lists;
mod site_media;
mod site_pages;
mod site_settings;
mod site_zones;
mod sites;
mod sites_alerts;
mod sites_announced;
mod sites_emptied;
mod sites_feeds;
mod sites_held;
mod sites_import;
mod sites_lost;
mod sites_moved;
mod sites_outputs;
mod sites_refused;
mod sites_soak;
mod sites_wild;
mod standard_webhooks;
mod store;
mod tenancy;
mod the_harness;
mod topics;
mod topics_import;
mod traces;
mod workflows;
