//! Which dead letters are meant, as conditions that an index finds and conditions that have to be looked for.

use super::{
    jobs::{like, tagged},
    sql::Sql,
};
use crate::domain::{
    Id, UnixMs,
    dead_letter::{DeadLetter, DeadLetterState},
    endpoint::Endpoint,
    tag::Tag,
    tenant::Tenant,
};

/// Rows that one page of a list is searched in, where no index finds what is asked for.
const SEARCHED_ROWS: u32 = 10_000;
/// The same where payloads have to be read for it.
const SEARCHED_PAYLOADS: u32 = 2_000;

/// Which dead letters a list or a bulk replay takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Id<Endpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// Part of the last error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Part of what was to be sent, letters as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// These, where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<Id<DeadLetter>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMs>,
    /// Replayed or discarded then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_since: Option<UnixMs>,
    /// Replayed or discarded before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_until: Option<UnixMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DeadLetterState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
}

impl DeadLetterFilter {
    /// The open ones among those that it takes.
    pub(super) fn open(&self) -> Self {
        Self { state: Some(DeadLetterState::Open), ..self.clone() }
    }

    /// All its conditions.
    pub(super) fn finish(&self, select: Sql, tenant: Id<Tenant>) -> Sql {
        self.searched(self.found(select, tenant))
    }

    /// How many rows a page is searched in; `None` where an index finds all that is asked for.
    pub(super) fn searched_rows(&self) -> Option<u32> {
        let indexed = [self.fingerprint.is_some(), self.endpoint.is_some(), self.state.is_some()];
        let resolved = self.resolved_since.is_some() || self.resolved_until.is_some();
        let written = self.event_type.is_some() || self.q.is_some() || self.tag.is_some();
        let others = resolved || written || self.kind.is_some() || self.status_code.is_some();
        match self {
            _ if !self.ids.is_empty() => None,
            _ if self.payload.is_some() => Some(SEARCHED_PAYLOADS),
            _ if others || indexed.into_iter().filter(|used| *used).count() > 1 => Some(SEARCHED_ROWS),
            _ => None,
        }
    }

    /// What one index finds.
    pub(super) fn found(&self, select: Sql, tenant: Id<Tenant>) -> Sql {
        let mut select = select.and(" WHERE tenant_id = ", tenant);
        if !self.ids.is_empty() {
            select = select.then(" AND id").any(self.ids.iter().copied());
        } else if let Some(fingerprint) = &self.fingerprint {
            select = select.and(" AND fingerprint = ", fingerprint.as_str());
        } else if let Some(endpoint) = self.endpoint {
            select = select.and(" AND endpoint_id = ", endpoint);
        } else if let Some(state) = self.state {
            select = select.and(" AND state = ", state.as_str());
        }
        // A dead letter's id is of the time at which it died.
        if let Some(since) = self.since {
            select = select.and(" AND id >= ", Id::<DeadLetter>::first_of(since));
        }
        if let Some(until) = self.until {
            select = select.and(" AND id < ", Id::<DeadLetter>::first_of(until));
        }
        select
    }

    /// What has to be looked for in what is found.
    pub(super) fn searched(&self, mut select: Sql) -> Sql {
        if let Some(state) = self.state {
            select = select.and(" AND state = ", state.as_str());
        }
        if let Some(kind) = &self.kind {
            select = select.and(" AND kind = ", kind.as_str());
        }
        if let Some(endpoint) = self.endpoint {
            select = select.and(" AND endpoint_id = ", endpoint);
        }
        if let Some(event_type) = &self.event_type {
            select = select.and(" AND event_type = ", event_type.as_str());
        }
        if let Some(fingerprint) = &self.fingerprint {
            select = select.and(" AND fingerprint = ", fingerprint.as_str());
        }
        if let Some(status) = self.status_code {
            select = select.and(" AND status_code = ", status);
        }
        if let Some(text) = &self.q {
            select = select.and(" AND LOWER(last_error) LIKE ", like(text)).then(" ESCAPE '\\'");
        }
        if let Some(since) = self.resolved_since {
            select = select.and(" AND resolved_at >= ", since);
        }
        if let Some(until) = self.resolved_until {
            select = select.and(" AND resolved_at < ", until);
        }
        if let Some(tag) = &self.tag {
            select = tagged(select, "tags", tag);
        }
        if let Some(text) = &self.payload {
            select = select.then(" AND ").holds("payload", text.as_bytes());
        }
        select
    }
}
