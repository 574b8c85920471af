-- What people are told of: its category, its templates by channel and language. One that was removed stays, since what was sent by
-- it can be explained by its versions.
CREATE TABLE notification_types (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    key TEXT NOT NULL, -- what the product calls it
    version INTEGER NOT NULL, -- 1 for the first; one more with each change
    name TEXT NOT NULL, -- for people
    category TEXT NOT NULL, -- what recipients' preferences are by
    urgency TEXT NOT NULL, -- high, normal or low
    definition TEXT NOT NULL, -- all of it, as JSON
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    deleted_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: it was not removed
    CONSTRAINT notification_types_pk PRIMARY KEY (id),
    CONSTRAINT notification_types_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;
CREATE UNIQUE INDEX notification_types_key_unique ON notification_types (tenant_id, key) WHERE deleted_at IS NULL;

-- What a type was at each of its versions: what began with one goes on with it.
CREATE TABLE notification_type_versions (
    type_id BLOB NOT NULL, -- the type
    version INTEGER NOT NULL, -- which
    definition TEXT NOT NULL, -- all of it, as JSON
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT notification_type_versions_pk PRIMARY KEY (type_id, version),
    CONSTRAINT notification_type_versions_type FOREIGN KEY (type_id) REFERENCES notification_types (id) ON DELETE CASCADE
) STRICT;
