-- People who use the dashboard.
CREATE TABLE users (
    id BLOB NOT NULL, -- UUIDv7
    name TEXT NOT NULL, -- what they sign in with, in lower case
    password TEXT NOT NULL, -- Argon2id in the string format of PHC
    role TEXT NOT NULL, -- viewer, operator or admin
    every_tenant INTEGER NOT NULL, -- 1: of all tenants, also of later ones; 0: of those in user_tenants
    password_at INTEGER NOT NULL, -- when the password was set, milliseconds since 1970 UTC
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT users_pk PRIMARY KEY (id),
    CONSTRAINT users_name_unique UNIQUE (name),
    CONSTRAINT users_role_known CHECK (role IN ('viewer', 'operator', 'admin'))
) STRICT;

-- The tenants of users who do not have all.
CREATE TABLE user_tenants (
    user_id BLOB NOT NULL, -- the user
    tenant_id BLOB NOT NULL, -- a tenant that the user may see
    CONSTRAINT user_tenants_pk PRIMARY KEY (user_id, tenant_id),
    CONSTRAINT user_tenants_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT user_tenants_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;

-- Browsers that are signed in.
CREATE TABLE sessions (
    hash BLOB NOT NULL, -- SHA-256 of the cookie's text
    user_id BLOB NOT NULL, -- who signed in
    address TEXT NOT NULL, -- from where
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    seen_at INTEGER NOT NULL, -- when it was used last, to some minutes, milliseconds since 1970 UTC
    CONSTRAINT sessions_pk PRIMARY KEY (hash),
    CONSTRAINT sessions_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_last_use ON sessions (seen_at);

-- What people did. Never changed.
CREATE TABLE audit_log (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NULL, -- whose things were acted on; NULL: the installation's
    actor TEXT NOT NULL, -- the user's name, which outlives the user
    address TEXT NOT NULL, -- from where
    action TEXT NOT NULL, -- what was done, as in dead_letter.replay
    subject TEXT NOT NULL, -- what it was done to: an id or a name
    before TEXT NULL, -- what was there, as JSON; NULL: nothing that changed
    after TEXT NULL, -- what is there now, as JSON; NULL: nothing that changed
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT audit_log_pk PRIMARY KEY (id)
) STRICT;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);

-- Charts of one tenant.
CREATE INDEX job_stats_by_tenant ON job_stats (tenant_id, minute);
