-- The settings' clock: every change of an endpoint, lane or token moves it on, so that other processes notice.
CREATE TABLE settings_clock (
    id INTEGER NOT NULL, -- always 1
    epoch INTEGER NOT NULL, -- moves on with every change of settings
    CONSTRAINT settings_clock_pk PRIMARY KEY (id),
    CONSTRAINT settings_clock_one_row CHECK (id = 1)
) STRICT;

-- Customers of this installation; everything else belongs to exactly one.
CREATE TABLE tenants (
    id BLOB NOT NULL, -- UUIDv7
    slug TEXT NOT NULL, -- short name in the header Postrider-Tenant
    name TEXT NOT NULL, -- name for people
    settings_epoch INTEGER NOT NULL, -- settings_clock at the last change of this tenant's settings
    portal_epoch INTEGER NOT NULL, -- when all links to the portal were revoked last, milliseconds since 1970 UTC; those that work carry it; 0: never
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT tenants_pk PRIMARY KEY (id),
    CONSTRAINT tenants_slug_unique UNIQUE (slug)
) STRICT;
CREATE INDEX tenants_settings_epoch ON tenants (settings_epoch);

-- API tokens; the text is shown once and only its hash is kept.
CREATE TABLE tokens (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- the tenant it acts for
    name TEXT NOT NULL, -- name for people
    role TEXT NULL, -- admin, publisher, operator or viewer; NULL: the installation's administrator
    hash BLOB NOT NULL, -- SHA-256 of the token's text
    expires_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: does not expire
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT tokens_pk PRIMARY KEY (id),
    CONSTRAINT tokens_hash_unique UNIQUE (hash),
    CONSTRAINT tokens_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;
CREATE INDEX tokens_by_tenant ON tokens (tenant_id, id);

-- Receivers of events.
CREATE TABLE endpoints (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    settings TEXT NOT NULL, -- what the owner sets, as JSON (EndpointSettings)
    state TEXT NOT NULL, -- active, paused, failing or disabled
    state_since INTEGER NOT NULL, -- milliseconds since 1970 UTC
    state_reason TEXT NULL, -- why, in words; NULL: nothing to explain
    failing_since INTEGER NULL, -- first failure after the last success before it, whatever came since; NULL: it never failed
    settings_epoch INTEGER NOT NULL, -- settings_clock at the last change of this endpoint or its secrets, deletion included
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    deleted_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: not deleted
    drained_at INTEGER NULL, -- when it was found without pending deliveries, milliseconds since 1970 UTC; NULL: not yet, or not deleted
    CONSTRAINT endpoints_pk PRIMARY KEY (id),
    CONSTRAINT endpoints_state_known CHECK (state IN ('active', 'paused', 'failing', 'disabled')),
    CONSTRAINT endpoints_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;
CREATE INDEX endpoints_by_tenant ON endpoints (tenant_id, id);
CREATE INDEX endpoints_by_state ON endpoints (tenant_id, state, id) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_by_settings_epoch ON endpoints (tenant_id, settings_epoch);
CREATE INDEX endpoints_undrained ON endpoints (id) WHERE deleted_at IS NOT NULL AND drained_at IS NULL;

-- What is set for lanes that are no endpoint's; a lane without a row has the defaults.
CREATE TABLE lanes (
    tenant_id BLOB NOT NULL, -- owner
    name TEXT NOT NULL, -- the lane's, within the tenant
    paused INTEGER NOT NULL, -- 1: nothing starts
    concurrency_max INTEGER NULL, -- in flight at most; NULL: what the receiver bears
    rate_per_second INTEGER NULL, -- starts in one second at most; NULL: any number
    settings_epoch INTEGER NOT NULL, -- settings_clock at the last change of this lane
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT lanes_pk PRIMARY KEY (tenant_id, name),
    CONSTRAINT lanes_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;
CREATE INDEX lanes_by_settings_epoch ON lanes (tenant_id, settings_epoch);

-- Signing secrets of endpoints, encrypted; during a rotation an endpoint has several.
CREATE TABLE endpoint_secrets (
    id BLOB NOT NULL, -- UUIDv7; the newest is the current secret
    endpoint_id BLOB NOT NULL, -- the endpoint whose deliveries it signs
    sealed BLOB NOT NULL, -- nonce and AES-256-GCM ciphertext, bound to this row's id
    key_id TEXT NOT NULL, -- which encryption key sealed it
    expires_at INTEGER NULL, -- milliseconds since 1970 UTC, then it signs no more; NULL: current
    CONSTRAINT endpoint_secrets_pk PRIMARY KEY (id),
    CONSTRAINT endpoint_secrets_endpoint FOREIGN KEY (endpoint_id) REFERENCES endpoints (id)
) STRICT;
CREATE INDEX endpoint_secrets_by_endpoint ON endpoint_secrets (endpoint_id, id);

-- What products published.
CREATE TABLE events (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    own_id TEXT NULL, -- the publisher's own id; NULL: it gave none
    kind TEXT NOT NULL, -- event type
    channels TEXT NOT NULL, -- JSON list of texts
    payload BLOB NULL, -- the bytes as they came; NULL: removed by retention
    deliver_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    trace TEXT NULL, -- traceparent that its deliveries are children of, and tracestate behind a space; NULL: not traced
    CONSTRAINT events_pk PRIMARY KEY (id)
) STRICT;
CREATE INDEX events_by_tenant ON events (tenant_id, id);
CREATE INDEX events_by_own_id ON events (tenant_id, own_id) WHERE own_id IS NOT NULL;

-- Accepted work.
CREATE TABLE jobs (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    kind TEXT NOT NULL, -- which executor runs it
    lane TEXT NOT NULL, -- what it shares limits with, within the tenant
    state TEXT NOT NULL, -- pending, succeeded, dead or cancelled
    attempt INTEGER NOT NULL, -- attempts that have ended
    max_attempts INTEGER NOT NULL, -- attempts in all
    priority INTEGER NOT NULL, -- 9 goes before 0 within a lane
    run_at INTEGER NOT NULL, -- when the next attempt is due, milliseconds since 1970 UTC
    args BLOB NULL, -- arguments, or the payload to send in the event's place; NULL: the event's payload
    message_id TEXT NULL, -- webhook-id of a replayed delivery; NULL: the event's id
    event_id BLOB NULL, -- the event to deliver; NULL: another kind of job
    endpoint_id BLOB NULL, -- where to deliver it; NULL: another kind of job
    unique_key TEXT NULL, -- one pending job of a kind at most has it; NULL: any number
    lost_workers INTEGER NOT NULL, -- workers that vanished while they ran it
    replay_of BLOB NULL, -- the dead letter that it replays; NULL: no replay
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    finished_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: pending
    last_error TEXT NULL, -- of the last failed attempt; NULL: none has failed
    fingerprint TEXT NULL, -- of the last failed attempt; NULL: none has failed
    trace TEXT NULL, -- as in events, of this job alone; NULL: its event's, or not traced
    tags TEXT NULL, -- JSON list of texts; NULL: none
    CONSTRAINT jobs_pk PRIMARY KEY (id),
    CONSTRAINT jobs_state_known CHECK (state IN ('pending', 'succeeded', 'dead', 'cancelled'))
) STRICT;
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'pending';
CREATE INDEX jobs_in_lane ON jobs (tenant_id, lane, run_at, id) WHERE state = 'pending';
CREATE INDEX jobs_retrying ON jobs (tenant_id, lane, run_at, id) WHERE state = 'pending' AND attempt > 0;
CREATE INDEX jobs_retrying_by_id ON jobs (tenant_id, state, id) WHERE state = 'pending' AND attempt > 0;
CREATE INDEX jobs_by_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_ended_badly ON jobs (tenant_id, state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX jobs_by_event ON jobs (event_id) WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX jobs_unique_key ON jobs (tenant_id, kind, unique_key) WHERE unique_key IS NOT NULL AND state = 'pending';

-- Tries of jobs.
CREATE TABLE attempts (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    job_id BLOB NOT NULL, -- the job that was tried
    endpoint_id BLOB NULL, -- where it was to be delivered; NULL: another kind of job
    n INTEGER NOT NULL, -- 1 for the first
    started_at INTEGER NOT NULL, -- milliseconds since 1970 UTC; of a lost attempt: when it was missed
    duration_ms INTEGER NOT NULL, -- milliseconds
    class TEXT NOT NULL, -- succeeded, or the class of the error
    status_code INTEGER NULL, -- of the receiver's answer; NULL: there was none
    error TEXT NULL, -- in words; NULL: it succeeded
    response_body BLOB NULL, -- the first 4 KiB of the answer; NULL: there was none
    address TEXT NULL, -- address and port that were dialled; NULL: it did not come to that
    worker TEXT NOT NULL, -- the worker that ran it
    late INTEGER NOT NULL, -- 1: its outcome came too late and changed nothing
    CONSTRAINT attempts_pk PRIMARY KEY (job_id, id)
) STRICT;
CREATE INDEX attempts_by_endpoint ON attempts (endpoint_id, id) WHERE endpoint_id IS NOT NULL;

-- Snapshots of work that ended without success, kept until a person has dealt with them.
CREATE TABLE dead_letters (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    job_id BLOB NOT NULL, -- the job that died; its row may be gone
    kind TEXT NOT NULL, -- the job's kind
    lane TEXT NOT NULL, -- the job's lane
    priority INTEGER NOT NULL, -- the job's priority
    max_attempts INTEGER NOT NULL, -- the job's
    cause TEXT NOT NULL, -- why it is dead
    state TEXT NOT NULL, -- open, replayed or discarded
    message_id TEXT NULL, -- webhook-id; NULL: another kind of job
    event_id BLOB NULL, -- the event; NULL: another kind of job
    event_type TEXT NULL, -- the event's type; NULL: another kind of job
    endpoint_id BLOB NULL, -- the endpoint; NULL: another kind of job
    endpoint_url TEXT NULL, -- where the last call went, or the endpoint's address when it died without one; NULL: another kind of job
    request_headers TEXT NULL, -- of a delivery's last call, as a JSON list of names and values, null for what may be secret; NULL: not known
    payload BLOB NOT NULL, -- the bytes that were to be sent, or the job's arguments
    attempts INTEGER NOT NULL, -- attempts that had ended
    history TEXT NOT NULL, -- the attempts as JSON, oldest first
    first_error TEXT NULL, -- of the first failed attempt; NULL: none ran
    last_error TEXT NULL, -- of the last failed attempt; NULL: none ran
    status_code INTEGER NULL, -- of the last answer; NULL: there was none
    fingerprint TEXT NULL, -- of the last failure; NULL: none ran
    replay_of BLOB NULL, -- the dead letter that the dead job replayed; NULL: no replay
    replayed_as BLOB NULL, -- the job that replays this one; NULL: not replayed
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    resolved_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: open
    resolved_reason TEXT NULL, -- why it was discarded; NULL: it was not
    tags TEXT NULL, -- the job's, as a JSON list of texts; NULL: none
    CONSTRAINT dead_letters_pk PRIMARY KEY (id),
    CONSTRAINT dead_letters_state_known CHECK (state IN ('open', 'replayed', 'discarded'))
) STRICT;
CREATE INDEX dead_letters_by_tenant ON dead_letters (tenant_id, id);
CREATE INDEX dead_letters_by_state ON dead_letters (tenant_id, state, id);
CREATE INDEX dead_letters_by_fingerprint ON dead_letters (tenant_id, fingerprint, id);
CREATE INDEX dead_letters_by_endpoint ON dead_letters (tenant_id, endpoint_id, id);
CREATE INDEX dead_letters_by_job ON dead_letters (job_id);

-- Failures that are one failure.
CREATE TABLE failure_groups (
    tenant_id BLOB NOT NULL, -- owner
    fingerprint TEXT NOT NULL, -- 16 hex digits
    kind TEXT NOT NULL, -- kind of the jobs
    class TEXT NOT NULL, -- class of the error
    status_code INTEGER NULL, -- of the answers; NULL: there were none
    error TEXT NOT NULL, -- an example of the message
    job_id BLOB NOT NULL, -- the job of the example
    count INTEGER NOT NULL, -- failed attempts
    first_seen_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    last_seen_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    state TEXT NOT NULL, -- open, acknowledged or resolved
    state_at INTEGER NULL, -- when somebody said so, milliseconds since 1970 UTC; NULL: nobody has
    state_by TEXT NULL, -- the user who said so; NULL: nobody has
    note TEXT NULL, -- what somebody wrote for the others; NULL: nothing
    CONSTRAINT failure_groups_pk PRIMARY KEY (tenant_id, fingerprint),
    CONSTRAINT failure_groups_state_known CHECK (state IN ('open', 'acknowledged', 'resolved'))
) STRICT;
CREATE INDEX failure_groups_by_last_seen ON failure_groups (tenant_id, last_seen_at, fingerprint);

-- How often a failure happened in each hour, and at whom.
CREATE TABLE failure_hours (
    tenant_id BLOB NOT NULL, -- owner
    fingerprint TEXT NOT NULL, -- the group
    hour INTEGER NOT NULL, -- hours since 1970 UTC
    endpoint_id BLOB NOT NULL, -- the endpoint; the nil UUID: another kind of job
    count INTEGER NOT NULL, -- failed attempts
    CONSTRAINT failure_hours_pk PRIMARY KEY (tenant_id, fingerprint, hour, endpoint_id)
) STRICT;
CREATE INDEX failure_hours_by_hour ON failure_hours (hour);

-- Counts by minute, so that no page counts a big table. Sum over nodes.
CREATE TABLE job_stats (
    minute INTEGER NOT NULL, -- minutes since 1970 UTC
    tenant_id BLOB NOT NULL, -- owner
    kind TEXT NOT NULL, -- kind of the jobs; empty: any
    node TEXT NOT NULL, -- the process that counted, so that processes do not wait for each other's rows
    metric TEXT NOT NULL, -- accepted, succeeded, failed, dead, repaired, le_N: attempts of at most N milliseconds, or wait_le_N: that waited so long at most
    count INTEGER NOT NULL, -- how many
    CONSTRAINT job_stats_pk PRIMARY KEY (minute, tenant_id, kind, node, metric)
) STRICT;

-- Answers that were given to requests with an idempotency key or an event's own id.
CREATE TABLE idempotency_keys (
    tenant_id BLOB NOT NULL, -- owner
    scope TEXT NOT NULL, -- the call, own_id, or form
    key TEXT NOT NULL, -- as the caller gave it
    body_hash BLOB NOT NULL, -- SHA-256 of the request's body
    answer TEXT NOT NULL, -- the first answer's body
    expires_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT idempotency_keys_pk PRIMARY KEY (tenant_id, scope, key)
) STRICT;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

-- Long work that a person asked for: recoveries and bulk replays.
CREATE TABLE operations (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    kind TEXT NOT NULL, -- recover_endpoint, replay_dead_letters or discard_dead_letters
    params TEXT NOT NULL, -- what to do, as JSON
    state TEXT NOT NULL, -- running, succeeded, failed or cancelled
    total INTEGER NULL, -- how much there is to look at; NULL: not counted
    seen INTEGER NOT NULL, -- how much was looked at
    replayed INTEGER NOT NULL, -- jobs made
    discarded INTEGER NOT NULL, -- dead letters discarded
    skipped INTEGER NOT NULL, -- what needed nothing
    skipped_because TEXT NOT NULL, -- JSON object: how many of those for each reason
    position BLOB NULL, -- the last id looked at; NULL: at the start
    rate_per_second INTEGER NULL, -- jobs a second at most; NULL: as fast as it goes
    owner TEXT NULL, -- the process that works on it; NULL: none
    owner_until INTEGER NOT NULL, -- until when it is the owner's, milliseconds since 1970 UTC
    error TEXT NULL, -- why it failed; NULL: it did not
    created_by TEXT NULL, -- the user who asked for it; NULL: a token did
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    finished_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: running
    CONSTRAINT operations_pk PRIMARY KEY (id),
    CONSTRAINT operations_state_known CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled'))
) STRICT;
CREATE INDEX operations_running ON operations (owner_until) WHERE state = 'running';
CREATE INDEX operations_by_tenant ON operations (tenant_id, id);

INSERT INTO settings_clock (id, epoch) VALUES (1, 0);
