CREATE TABLE settings_clock (
    id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    CONSTRAINT settings_clock_pk PRIMARY KEY (id),
    CONSTRAINT settings_clock_one_row CHECK (id = 1)
);
COMMENT ON TABLE settings_clock IS 'The settings'' clock: every change of an endpoint, lane or token moves it on, so that other processes notice.';
COMMENT ON COLUMN settings_clock.id IS 'always 1';
COMMENT ON COLUMN settings_clock.epoch IS 'moves on with every change of settings';

CREATE TABLE tenants (
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    settings_epoch BIGINT NOT NULL,
    portal_epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT tenants_pk PRIMARY KEY (id),
    CONSTRAINT tenants_slug_unique UNIQUE (slug)
);
COMMENT ON TABLE tenants IS 'Customers of this installation; everything else belongs to exactly one.';
COMMENT ON COLUMN tenants.id IS 'UUIDv7';
COMMENT ON COLUMN tenants.slug IS 'short name in the header Postrider-Tenant';
COMMENT ON COLUMN tenants.name IS 'name for people';
COMMENT ON COLUMN tenants.settings_epoch IS 'settings_clock at the last change of this tenant''s settings';
COMMENT ON COLUMN tenants.portal_epoch IS 'when all links to the portal were revoked last, milliseconds since 1970 UTC; those that work carry it; 0: never';
COMMENT ON COLUMN tenants.created_at IS 'milliseconds since 1970 UTC';
CREATE INDEX tenants_settings_epoch ON tenants (settings_epoch);

CREATE TABLE tokens (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    name TEXT NOT NULL,
    role TEXT NULL,
    hash BYTEA NOT NULL,
    expires_at BIGINT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT tokens_pk PRIMARY KEY (id),
    CONSTRAINT tokens_hash_unique UNIQUE (hash),
    CONSTRAINT tokens_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE tokens IS 'API tokens; the text is shown once and only its hash is kept.';
COMMENT ON COLUMN tokens.id IS 'UUIDv7';
COMMENT ON COLUMN tokens.tenant_id IS 'the tenant it acts for';
COMMENT ON COLUMN tokens.name IS 'name for people';
COMMENT ON COLUMN tokens.role IS 'admin, publisher, operator or viewer; NULL: the installation''s administrator';
COMMENT ON COLUMN tokens.hash IS 'SHA-256 of the token''s text';
COMMENT ON COLUMN tokens.expires_at IS 'milliseconds since 1970 UTC; NULL: does not expire';
COMMENT ON COLUMN tokens.created_at IS 'milliseconds since 1970 UTC';
CREATE INDEX tokens_by_tenant ON tokens (tenant_id, id);

CREATE TABLE endpoints (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    settings TEXT NOT NULL,
    state TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    state_reason TEXT NULL,
    failing_since BIGINT NULL,
    settings_epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NULL,
    drained_at BIGINT NULL,
    CONSTRAINT endpoints_pk PRIMARY KEY (id),
    CONSTRAINT endpoints_state_known CHECK (state IN ('active', 'paused', 'failing', 'disabled')),
    CONSTRAINT endpoints_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE endpoints IS 'Receivers of events.';
COMMENT ON COLUMN endpoints.id IS 'UUIDv7';
COMMENT ON COLUMN endpoints.tenant_id IS 'owner';
COMMENT ON COLUMN endpoints.settings IS 'what the owner sets, as JSON (EndpointSettings)';
COMMENT ON COLUMN endpoints.state IS 'active, paused, failing or disabled';
COMMENT ON COLUMN endpoints.state_since IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN endpoints.state_reason IS 'why, in words; NULL: nothing to explain';
COMMENT ON COLUMN endpoints.failing_since IS 'first failure after the last success before it, whatever came since; NULL: it never failed';
COMMENT ON COLUMN endpoints.settings_epoch IS 'settings_clock at the last change of this endpoint or its secrets, deletion included';
COMMENT ON COLUMN endpoints.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN endpoints.updated_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN endpoints.deleted_at IS 'milliseconds since 1970 UTC; NULL: not deleted';
COMMENT ON COLUMN endpoints.drained_at IS 'when it was found without pending deliveries, milliseconds since 1970 UTC; NULL: not yet, or not deleted';
CREATE INDEX endpoints_by_tenant ON endpoints (tenant_id, id);
CREATE INDEX endpoints_by_state ON endpoints (tenant_id, state, id) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_by_settings_epoch ON endpoints (tenant_id, settings_epoch);
CREATE INDEX endpoints_undrained ON endpoints (id) WHERE deleted_at IS NOT NULL AND drained_at IS NULL;

CREATE TABLE lanes (
    tenant_id UUID NOT NULL,
    name TEXT NOT NULL,
    paused BIGINT NOT NULL,
    concurrency_max BIGINT NULL,
    rate_per_second BIGINT NULL,
    settings_epoch BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT lanes_pk PRIMARY KEY (tenant_id, name),
    CONSTRAINT lanes_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE lanes IS 'What is set for lanes that are no endpoint''s; a lane without a row has the defaults.';
COMMENT ON COLUMN lanes.tenant_id IS 'owner';
COMMENT ON COLUMN lanes.name IS 'the lane''s, within the tenant';
COMMENT ON COLUMN lanes.paused IS '1: nothing starts';
COMMENT ON COLUMN lanes.concurrency_max IS 'in flight at most; NULL: what the receiver bears';
COMMENT ON COLUMN lanes.rate_per_second IS 'starts in one second at most; NULL: any number';
COMMENT ON COLUMN lanes.settings_epoch IS 'settings_clock at the last change of this lane';
COMMENT ON COLUMN lanes.updated_at IS 'milliseconds since 1970 UTC';
CREATE INDEX lanes_by_settings_epoch ON lanes (tenant_id, settings_epoch);

CREATE TABLE endpoint_secrets (
    id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    expires_at BIGINT NULL,
    CONSTRAINT endpoint_secrets_pk PRIMARY KEY (id),
    CONSTRAINT endpoint_secrets_endpoint FOREIGN KEY (endpoint_id) REFERENCES endpoints (id)
);
COMMENT ON TABLE endpoint_secrets IS 'Signing secrets of endpoints, encrypted; during a rotation an endpoint has several.';
COMMENT ON COLUMN endpoint_secrets.id IS 'UUIDv7; the newest is the current secret';
COMMENT ON COLUMN endpoint_secrets.endpoint_id IS 'the endpoint whose deliveries it signs';
COMMENT ON COLUMN endpoint_secrets.sealed IS 'nonce and AES-256-GCM ciphertext, bound to this row''s id';
COMMENT ON COLUMN endpoint_secrets.key_id IS 'which encryption key sealed it';
COMMENT ON COLUMN endpoint_secrets.expires_at IS 'milliseconds since 1970 UTC, then it signs no more; NULL: current';
CREATE INDEX endpoint_secrets_by_endpoint ON endpoint_secrets (endpoint_id, id);

CREATE TABLE events (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    own_id TEXT NULL,
    kind TEXT NOT NULL,
    channels TEXT NOT NULL,
    payload BYTEA NULL,
    deliver_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    trace TEXT NULL,
    CONSTRAINT events_pk PRIMARY KEY (id)
);
COMMENT ON TABLE events IS 'What products published.';
COMMENT ON COLUMN events.id IS 'UUIDv7';
COMMENT ON COLUMN events.tenant_id IS 'owner';
COMMENT ON COLUMN events.own_id IS 'the publisher''s own id; NULL: it gave none';
COMMENT ON COLUMN events.kind IS 'event type';
COMMENT ON COLUMN events.channels IS 'JSON list of texts';
COMMENT ON COLUMN events.payload IS 'the bytes as they came; NULL: removed by retention';
COMMENT ON COLUMN events.deliver_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN events.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN events.trace IS 'traceparent that its deliveries are children of, and tracestate behind a space; NULL: not traced';
CREATE INDEX events_by_tenant ON events (tenant_id, id);
CREATE INDEX events_by_own_id ON events (tenant_id, own_id) WHERE own_id IS NOT NULL;

CREATE TABLE jobs (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    args BYTEA NULL,
    message_id TEXT NULL,
    event_id UUID NULL,
    endpoint_id UUID NULL,
    unique_key TEXT NULL,
    lost_workers BIGINT NOT NULL,
    replay_of UUID NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL,
    last_error TEXT NULL,
    fingerprint TEXT NULL,
    trace TEXT NULL,
    tags TEXT NULL,
    CONSTRAINT jobs_pk PRIMARY KEY (id),
    CONSTRAINT jobs_state_known CHECK (state IN ('pending', 'succeeded', 'dead', 'cancelled'))
);
COMMENT ON TABLE jobs IS 'Accepted work.';
COMMENT ON COLUMN jobs.id IS 'UUIDv7';
COMMENT ON COLUMN jobs.tenant_id IS 'owner';
COMMENT ON COLUMN jobs.kind IS 'which executor runs it';
COMMENT ON COLUMN jobs.lane IS 'what it shares limits with, within the tenant';
COMMENT ON COLUMN jobs.state IS 'pending, succeeded, dead or cancelled';
COMMENT ON COLUMN jobs.attempt IS 'attempts that have ended';
COMMENT ON COLUMN jobs.max_attempts IS 'attempts in all';
COMMENT ON COLUMN jobs.priority IS '9 goes before 0 within a lane';
COMMENT ON COLUMN jobs.run_at IS 'when the next attempt is due, milliseconds since 1970 UTC';
COMMENT ON COLUMN jobs.args IS 'arguments, or the payload to send in the event''s place; NULL: the event''s payload';
COMMENT ON COLUMN jobs.message_id IS 'webhook-id of a replayed delivery; NULL: the event''s id';
COMMENT ON COLUMN jobs.event_id IS 'the event to deliver; NULL: another kind of job';
COMMENT ON COLUMN jobs.endpoint_id IS 'where to deliver it; NULL: another kind of job';
COMMENT ON COLUMN jobs.unique_key IS 'one pending job of a kind at most has it; NULL: any number';
COMMENT ON COLUMN jobs.lost_workers IS 'workers that vanished while they ran it';
COMMENT ON COLUMN jobs.replay_of IS 'the dead letter that it replays; NULL: no replay';
COMMENT ON COLUMN jobs.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN jobs.finished_at IS 'milliseconds since 1970 UTC; NULL: pending';
COMMENT ON COLUMN jobs.last_error IS 'of the last failed attempt; NULL: none has failed';
COMMENT ON COLUMN jobs.fingerprint IS 'of the last failed attempt; NULL: none has failed';
COMMENT ON COLUMN jobs.trace IS 'as in events, of this job alone; NULL: its event''s, or not traced';
COMMENT ON COLUMN jobs.tags IS 'JSON list of texts; NULL: none';
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'pending';
CREATE INDEX jobs_in_lane ON jobs (tenant_id, lane, run_at, id) WHERE state = 'pending';
CREATE INDEX jobs_retrying ON jobs (tenant_id, lane, run_at, id) WHERE state = 'pending' AND attempt > 0;
CREATE INDEX jobs_retrying_by_id ON jobs (tenant_id, state, id) WHERE state = 'pending' AND attempt > 0;
CREATE INDEX jobs_by_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_ended_badly ON jobs (tenant_id, state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX jobs_by_event ON jobs (event_id) WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX jobs_unique_key ON jobs (tenant_id, kind, unique_key) WHERE unique_key IS NOT NULL AND state = 'pending';

CREATE TABLE attempts (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    job_id UUID NOT NULL,
    endpoint_id UUID NULL,
    n BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    class TEXT NOT NULL,
    status_code BIGINT NULL,
    error TEXT NULL,
    response_body BYTEA NULL,
    address TEXT NULL,
    worker TEXT NOT NULL,
    late BIGINT NOT NULL,
    CONSTRAINT attempts_pk PRIMARY KEY (job_id, id)
);
COMMENT ON TABLE attempts IS 'Tries of jobs.';
COMMENT ON COLUMN attempts.id IS 'UUIDv7';
COMMENT ON COLUMN attempts.tenant_id IS 'owner';
COMMENT ON COLUMN attempts.job_id IS 'the job that was tried';
COMMENT ON COLUMN attempts.endpoint_id IS 'where it was to be delivered; NULL: another kind of job';
COMMENT ON COLUMN attempts.n IS '1 for the first';
COMMENT ON COLUMN attempts.started_at IS 'milliseconds since 1970 UTC; of a lost attempt: when it was missed';
COMMENT ON COLUMN attempts.duration_ms IS 'milliseconds';
COMMENT ON COLUMN attempts.class IS 'succeeded, or the class of the error';
COMMENT ON COLUMN attempts.status_code IS 'of the receiver''s answer; NULL: there was none';
COMMENT ON COLUMN attempts.error IS 'in words; NULL: it succeeded';
COMMENT ON COLUMN attempts.response_body IS 'the first 4 KiB of the answer; NULL: there was none';
COMMENT ON COLUMN attempts.address IS 'address and port that were dialled; NULL: it did not come to that';
COMMENT ON COLUMN attempts.worker IS 'the worker that ran it';
COMMENT ON COLUMN attempts.late IS '1: its outcome came too late and changed nothing';
CREATE INDEX attempts_by_endpoint ON attempts (endpoint_id, id) WHERE endpoint_id IS NOT NULL;

CREATE TABLE dead_letters (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    job_id UUID NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    priority BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL,
    message_id TEXT NULL,
    event_id UUID NULL,
    event_type TEXT NULL,
    endpoint_id UUID NULL,
    endpoint_url TEXT NULL,
    request_headers TEXT NULL,
    payload BYTEA NOT NULL,
    attempts BIGINT NOT NULL,
    history TEXT NOT NULL,
    first_error TEXT NULL,
    last_error TEXT NULL,
    status_code BIGINT NULL,
    fingerprint TEXT NULL,
    replay_of UUID NULL,
    replayed_as UUID NULL,
    created_at BIGINT NOT NULL,
    resolved_at BIGINT NULL,
    resolved_reason TEXT NULL,
    tags TEXT NULL,
    CONSTRAINT dead_letters_pk PRIMARY KEY (id),
    CONSTRAINT dead_letters_state_known CHECK (state IN ('open', 'replayed', 'discarded'))
);
COMMENT ON TABLE dead_letters IS 'Snapshots of work that ended without success, kept until a person has dealt with them.';
COMMENT ON COLUMN dead_letters.id IS 'UUIDv7';
COMMENT ON COLUMN dead_letters.tenant_id IS 'owner';
COMMENT ON COLUMN dead_letters.job_id IS 'the job that died; its row may be gone';
COMMENT ON COLUMN dead_letters.kind IS 'the job''s kind';
COMMENT ON COLUMN dead_letters.lane IS 'the job''s lane';
COMMENT ON COLUMN dead_letters.priority IS 'the job''s priority';
COMMENT ON COLUMN dead_letters.max_attempts IS 'the job''s';
COMMENT ON COLUMN dead_letters.cause IS 'why it is dead';
COMMENT ON COLUMN dead_letters.state IS 'open, replayed or discarded';
COMMENT ON COLUMN dead_letters.message_id IS 'webhook-id; NULL: another kind of job';
COMMENT ON COLUMN dead_letters.event_id IS 'the event; NULL: another kind of job';
COMMENT ON COLUMN dead_letters.event_type IS 'the event''s type; NULL: another kind of job';
COMMENT ON COLUMN dead_letters.endpoint_id IS 'the endpoint; NULL: another kind of job';
COMMENT ON COLUMN dead_letters.endpoint_url IS 'where the last call went, or the endpoint''s address when it died without one; NULL: another kind of job';
COMMENT ON COLUMN dead_letters.request_headers IS 'of a delivery''s last call, as a JSON list of names and values, null for what may be secret; NULL: not known';
COMMENT ON COLUMN dead_letters.payload IS 'the bytes that were to be sent, or the job''s arguments';
COMMENT ON COLUMN dead_letters.attempts IS 'attempts that had ended';
COMMENT ON COLUMN dead_letters.history IS 'the attempts as JSON, oldest first';
COMMENT ON COLUMN dead_letters.first_error IS 'of the first failed attempt; NULL: none ran';
COMMENT ON COLUMN dead_letters.last_error IS 'of the last failed attempt; NULL: none ran';
COMMENT ON COLUMN dead_letters.status_code IS 'of the last answer; NULL: there was none';
COMMENT ON COLUMN dead_letters.fingerprint IS 'of the last failure; NULL: none ran';
COMMENT ON COLUMN dead_letters.replay_of IS 'the dead letter that the dead job replayed; NULL: no replay';
COMMENT ON COLUMN dead_letters.replayed_as IS 'the job that replays this one; NULL: not replayed';
COMMENT ON COLUMN dead_letters.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN dead_letters.resolved_at IS 'milliseconds since 1970 UTC; NULL: open';
COMMENT ON COLUMN dead_letters.resolved_reason IS 'why it was discarded; NULL: it was not';
COMMENT ON COLUMN dead_letters.tags IS 'the job''s, as a JSON list of texts; NULL: none';
CREATE INDEX dead_letters_by_tenant ON dead_letters (tenant_id, id);
CREATE INDEX dead_letters_by_state ON dead_letters (tenant_id, state, id);
CREATE INDEX dead_letters_by_fingerprint ON dead_letters (tenant_id, fingerprint, id);
CREATE INDEX dead_letters_by_endpoint ON dead_letters (tenant_id, endpoint_id, id);
CREATE INDEX dead_letters_by_job ON dead_letters (job_id);

CREATE TABLE failure_groups (
    tenant_id UUID NOT NULL,
    fingerprint TEXT NOT NULL,
    kind TEXT NOT NULL,
    class TEXT NOT NULL,
    status_code BIGINT NULL,
    error TEXT NOT NULL,
    job_id UUID NOT NULL,
    count BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    state_at BIGINT NULL,
    state_by TEXT NULL,
    note TEXT NULL,
    CONSTRAINT failure_groups_pk PRIMARY KEY (tenant_id, fingerprint),
    CONSTRAINT failure_groups_state_known CHECK (state IN ('open', 'acknowledged', 'resolved'))
);
COMMENT ON TABLE failure_groups IS 'Failures that are one failure.';
COMMENT ON COLUMN failure_groups.tenant_id IS 'owner';
COMMENT ON COLUMN failure_groups.fingerprint IS '16 hex digits';
COMMENT ON COLUMN failure_groups.kind IS 'kind of the jobs';
COMMENT ON COLUMN failure_groups.class IS 'class of the error';
COMMENT ON COLUMN failure_groups.status_code IS 'of the answers; NULL: there were none';
COMMENT ON COLUMN failure_groups.error IS 'an example of the message';
COMMENT ON COLUMN failure_groups.job_id IS 'the job of the example';
COMMENT ON COLUMN failure_groups.count IS 'failed attempts';
COMMENT ON COLUMN failure_groups.first_seen_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN failure_groups.last_seen_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN failure_groups.state IS 'open, acknowledged or resolved';
COMMENT ON COLUMN failure_groups.state_at IS 'when somebody said so, milliseconds since 1970 UTC; NULL: nobody has';
COMMENT ON COLUMN failure_groups.state_by IS 'the user who said so; NULL: nobody has';
COMMENT ON COLUMN failure_groups.note IS 'what somebody wrote for the others; NULL: nothing';
CREATE INDEX failure_groups_by_last_seen ON failure_groups (tenant_id, last_seen_at, fingerprint);

CREATE TABLE failure_hours (
    tenant_id UUID NOT NULL,
    fingerprint TEXT NOT NULL,
    hour BIGINT NOT NULL,
    endpoint_id UUID NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT failure_hours_pk PRIMARY KEY (tenant_id, fingerprint, hour, endpoint_id)
);
COMMENT ON TABLE failure_hours IS 'How often a failure happened in each hour, and at whom.';
COMMENT ON COLUMN failure_hours.tenant_id IS 'owner';
COMMENT ON COLUMN failure_hours.fingerprint IS 'the group';
COMMENT ON COLUMN failure_hours.hour IS 'hours since 1970 UTC';
COMMENT ON COLUMN failure_hours.endpoint_id IS 'the endpoint; the nil UUID: another kind of job';
COMMENT ON COLUMN failure_hours.count IS 'failed attempts';
CREATE INDEX failure_hours_by_hour ON failure_hours (hour);

CREATE TABLE job_stats (
    minute BIGINT NOT NULL,
    tenant_id UUID NOT NULL,
    kind TEXT NOT NULL,
    node TEXT NOT NULL,
    metric TEXT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT job_stats_pk PRIMARY KEY (minute, tenant_id, kind, node, metric)
);
COMMENT ON TABLE job_stats IS 'Counts by minute, so that no page counts a big table. Sum over nodes.';
COMMENT ON COLUMN job_stats.minute IS 'minutes since 1970 UTC';
COMMENT ON COLUMN job_stats.tenant_id IS 'owner';
COMMENT ON COLUMN job_stats.kind IS 'kind of the jobs; empty: any';
COMMENT ON COLUMN job_stats.node IS 'the process that counted, so that processes do not wait for each other''s rows';
COMMENT ON COLUMN job_stats.metric IS 'accepted, succeeded, failed, dead, repaired, le_N: attempts of at most N milliseconds, or wait_le_N: that waited so long at most';
COMMENT ON COLUMN job_stats.count IS 'how many';

CREATE TABLE idempotency_keys (
    tenant_id UUID NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash BYTEA NOT NULL,
    answer TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT idempotency_keys_pk PRIMARY KEY (tenant_id, scope, key)
);
COMMENT ON TABLE idempotency_keys IS 'Answers that were given to requests with an idempotency key or an event''s own id.';
COMMENT ON COLUMN idempotency_keys.tenant_id IS 'owner';
COMMENT ON COLUMN idempotency_keys.scope IS 'the call, own_id, or form';
COMMENT ON COLUMN idempotency_keys.key IS 'as the caller gave it';
COMMENT ON COLUMN idempotency_keys.body_hash IS 'SHA-256 of the request''s body';
COMMENT ON COLUMN idempotency_keys.answer IS 'the first answer''s body';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'milliseconds since 1970 UTC';
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

CREATE TABLE operations (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    kind TEXT NOT NULL,
    params TEXT NOT NULL,
    state TEXT NOT NULL,
    total BIGINT NULL,
    seen BIGINT NOT NULL,
    replayed BIGINT NOT NULL,
    discarded BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    skipped_because TEXT NOT NULL,
    position UUID NULL,
    rate_per_second BIGINT NULL,
    owner TEXT NULL,
    owner_until BIGINT NOT NULL,
    error TEXT NULL,
    created_by TEXT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL,
    CONSTRAINT operations_pk PRIMARY KEY (id),
    CONSTRAINT operations_state_known CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled'))
);
COMMENT ON TABLE operations IS 'Long work that a person asked for: recoveries and bulk replays.';
COMMENT ON COLUMN operations.id IS 'UUIDv7';
COMMENT ON COLUMN operations.tenant_id IS 'owner';
COMMENT ON COLUMN operations.kind IS 'recover_endpoint, replay_dead_letters or discard_dead_letters';
COMMENT ON COLUMN operations.params IS 'what to do, as JSON';
COMMENT ON COLUMN operations.state IS 'running, succeeded, failed or cancelled';
COMMENT ON COLUMN operations.total IS 'how much there is to look at; NULL: not counted';
COMMENT ON COLUMN operations.seen IS 'how much was looked at';
COMMENT ON COLUMN operations.replayed IS 'jobs made';
COMMENT ON COLUMN operations.discarded IS 'dead letters discarded';
COMMENT ON COLUMN operations.skipped IS 'what needed nothing';
COMMENT ON COLUMN operations.skipped_because IS 'JSON object: how many of those for each reason';
COMMENT ON COLUMN operations.position IS 'the last id looked at; NULL: at the start';
COMMENT ON COLUMN operations.rate_per_second IS 'jobs a second at most; NULL: as fast as it goes';
COMMENT ON COLUMN operations.owner IS 'the process that works on it; NULL: none';
COMMENT ON COLUMN operations.owner_until IS 'until when it is the owner''s, milliseconds since 1970 UTC';
COMMENT ON COLUMN operations.error IS 'why it failed; NULL: it did not';
COMMENT ON COLUMN operations.created_by IS 'the user who asked for it; NULL: a token did';
COMMENT ON COLUMN operations.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN operations.finished_at IS 'milliseconds since 1970 UTC; NULL: running';
CREATE INDEX operations_running ON operations (owner_until) WHERE state = 'running';
CREATE INDEX operations_by_tenant ON operations (tenant_id, id);

INSERT INTO settings_clock (id, epoch) VALUES (1, 0);
