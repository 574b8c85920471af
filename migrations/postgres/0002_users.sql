CREATE TABLE users (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    password TEXT NOT NULL,
    role TEXT NOT NULL,
    every_tenant BIGINT NOT NULL,
    password_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT users_pk PRIMARY KEY (id),
    CONSTRAINT users_name_unique UNIQUE (name),
    CONSTRAINT users_role_known CHECK (role IN ('viewer', 'operator', 'admin'))
);
COMMENT ON TABLE users IS 'People who use the dashboard.';
COMMENT ON COLUMN users.id IS 'UUIDv7';
COMMENT ON COLUMN users.name IS 'what they sign in with, in lower case';
COMMENT ON COLUMN users.password IS 'Argon2id in the string format of PHC';
COMMENT ON COLUMN users.role IS 'viewer, operator or admin';
COMMENT ON COLUMN users.every_tenant IS '1: of all tenants, also of later ones; 0: of those in user_tenants';
COMMENT ON COLUMN users.password_at IS 'when the password was set, milliseconds since 1970 UTC';
COMMENT ON COLUMN users.created_at IS 'milliseconds since 1970 UTC';

CREATE TABLE user_tenants (
    user_id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    CONSTRAINT user_tenants_pk PRIMARY KEY (user_id, tenant_id),
    CONSTRAINT user_tenants_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT user_tenants_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE user_tenants IS 'The tenants of users who do not have all.';
COMMENT ON COLUMN user_tenants.user_id IS 'the user';
COMMENT ON COLUMN user_tenants.tenant_id IS 'a tenant that the user may see';

CREATE TABLE sessions (
    hash BYTEA NOT NULL,
    user_id UUID NOT NULL,
    address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    CONSTRAINT sessions_pk PRIMARY KEY (hash),
    CONSTRAINT sessions_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
COMMENT ON TABLE sessions IS 'Browsers that are signed in.';
COMMENT ON COLUMN sessions.hash IS 'SHA-256 of the cookie''s text';
COMMENT ON COLUMN sessions.user_id IS 'who signed in';
COMMENT ON COLUMN sessions.address IS 'from where';
COMMENT ON COLUMN sessions.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN sessions.seen_at IS 'when it was used last, to some minutes, milliseconds since 1970 UTC';
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_last_use ON sessions (seen_at);

CREATE TABLE audit_log (
    id UUID NOT NULL,
    tenant_id UUID NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT NULL,
    after TEXT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT audit_log_pk PRIMARY KEY (id)
);
COMMENT ON TABLE audit_log IS 'What people did. Never changed.';
COMMENT ON COLUMN audit_log.id IS 'UUIDv7';
COMMENT ON COLUMN audit_log.tenant_id IS 'whose things were acted on; NULL: the installation''s';
COMMENT ON COLUMN audit_log.actor IS 'the user''s name, which outlives the user';
COMMENT ON COLUMN audit_log.address IS 'from where';
COMMENT ON COLUMN audit_log.action IS 'what was done, as in dead_letter.replay';
COMMENT ON COLUMN audit_log.subject IS 'what it was done to: an id or a name';
COMMENT ON COLUMN audit_log.before IS 'what was there, as JSON; NULL: nothing that changed';
COMMENT ON COLUMN audit_log.after IS 'what is there now, as JSON; NULL: nothing that changed';
COMMENT ON COLUMN audit_log.created_at IS 'milliseconds since 1970 UTC';
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);

-- Charts of one tenant.
CREATE INDEX job_stats_by_tenant ON job_stats (tenant_id, minute);
