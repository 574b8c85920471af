CREATE TABLE vapid_keys (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    subject TEXT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT vapid_keys_pk PRIMARY KEY (tenant_id),
    CONSTRAINT vapid_keys_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE vapid_keys IS 'Who a tenant is to push services.';
COMMENT ON COLUMN vapid_keys.tenant_id IS 'owner';
COMMENT ON COLUMN vapid_keys.id IS 'UUIDv7; another with each change';
COMMENT ON COLUMN vapid_keys.sealed IS 'private key, encrypted for this id';
COMMENT ON COLUMN vapid_keys.key_id IS 'encryption key';
COMMENT ON COLUMN vapid_keys.subject IS 'whom push services turn to; NULL: nobody has said';
COMMENT ON COLUMN vapid_keys.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN vapid_keys.updated_at IS 'milliseconds since 1970 UTC';

CREATE TABLE push_subscriptions (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    recipient_id UUID NOT NULL,
    endpoint TEXT NOT NULL,
    p256dh BYTEA NOT NULL,
    auth BYTEA NOT NULL,
    expires_at BIGINT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT push_subscriptions_pk PRIMARY KEY (id),
    CONSTRAINT push_subscriptions_endpoint_unique UNIQUE (tenant_id, endpoint),
    CONSTRAINT push_subscriptions_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT push_subscriptions_recipient FOREIGN KEY (recipient_id) REFERENCES recipients (id) ON DELETE CASCADE
);
COMMENT ON TABLE push_subscriptions IS 'Browsers of recipients. One that somebody else uses by now is theirs.';
COMMENT ON COLUMN push_subscriptions.id IS 'UUIDv7';
COMMENT ON COLUMN push_subscriptions.tenant_id IS 'owner';
COMMENT ON COLUMN push_subscriptions.recipient_id IS 'who uses it';
COMMENT ON COLUMN push_subscriptions.endpoint IS 'where its push service takes pushes for it';
COMMENT ON COLUMN push_subscriptions.p256dh IS 'its public key';
COMMENT ON COLUMN push_subscriptions.auth IS 'what it shares with whoever pushes to it';
COMMENT ON COLUMN push_subscriptions.expires_at IS 'milliseconds since 1970 UTC; NULL: the browser names no end';
COMMENT ON COLUMN push_subscriptions.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN push_subscriptions.updated_at IS 'milliseconds since 1970 UTC; when it was last handed in';
CREATE INDEX push_subscriptions_by_recipient ON push_subscriptions (recipient_id, updated_at);
