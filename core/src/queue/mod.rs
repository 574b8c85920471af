//! Tickets and lanes.
