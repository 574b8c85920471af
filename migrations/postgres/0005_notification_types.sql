-- Keys are listed in the same order in both databases: hence their collation.
CREATE TABLE notification_types (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    urgency TEXT NOT NULL,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NULL,
    CONSTRAINT notification_types_pk PRIMARY KEY (id),
    CONSTRAINT notification_types_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE notification_types IS 'What people are told of: its category, its templates by channel and language. One that was removed stays, since what was sent by it can be explained by its versions.';
COMMENT ON COLUMN notification_types.id IS 'UUIDv7';
COMMENT ON COLUMN notification_types.tenant_id IS 'owner';
COMMENT ON COLUMN notification_types.key IS 'what the product calls it';
COMMENT ON COLUMN notification_types.version IS '1 for the first; one more with each change';
COMMENT ON COLUMN notification_types.name IS 'for people';
COMMENT ON COLUMN notification_types.category IS 'what recipients'' preferences are by';
COMMENT ON COLUMN notification_types.urgency IS 'high, normal or low';
COMMENT ON COLUMN notification_types.definition IS 'all of it, as JSON';
COMMENT ON COLUMN notification_types.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN notification_types.updated_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN notification_types.deleted_at IS 'milliseconds since 1970 UTC; NULL: it was not removed';
CREATE UNIQUE INDEX notification_types_key_unique ON notification_types (tenant_id, key) WHERE deleted_at IS NULL;

CREATE TABLE notification_type_versions (
    type_id UUID NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT notification_type_versions_pk PRIMARY KEY (type_id, version),
    CONSTRAINT notification_type_versions_type FOREIGN KEY (type_id) REFERENCES notification_types (id) ON DELETE CASCADE
);
COMMENT ON TABLE notification_type_versions IS 'What a type was at each of its versions: what began with one goes on with it.';
COMMENT ON COLUMN notification_type_versions.type_id IS 'the type';
COMMENT ON COLUMN notification_type_versions.version IS 'which';
COMMENT ON COLUMN notification_type_versions.definition IS 'all of it, as JSON';
COMMENT ON COLUMN notification_type_versions.created_at IS 'milliseconds since 1970 UTC';
