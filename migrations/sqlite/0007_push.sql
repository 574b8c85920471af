-- Who a tenant is to push services.
CREATE TABLE vapid_keys (
    tenant_id BLOB NOT NULL, -- owner
    id BLOB NOT NULL, -- UUIDv7; another with each change
    sealed BLOB NOT NULL, -- private key, encrypted for this id
    key_id TEXT NOT NULL, -- encryption key
    subject TEXT NULL, -- whom push services turn to; NULL: nobody has said
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT vapid_keys_pk PRIMARY KEY (tenant_id),
    CONSTRAINT vapid_keys_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;

-- Browsers of recipients. One that somebody else uses by now is theirs.
CREATE TABLE push_subscriptions (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    recipient_id BLOB NOT NULL, -- who uses it
    endpoint TEXT NOT NULL, -- where its push service takes pushes for it
    p256dh BLOB NOT NULL, -- its public key
    auth BLOB NOT NULL, -- what it shares with whoever pushes to it
    expires_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: the browser names no end
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC; when it was last handed in
    CONSTRAINT push_subscriptions_pk PRIMARY KEY (id),
    CONSTRAINT push_subscriptions_endpoint_unique UNIQUE (tenant_id, endpoint),
    CONSTRAINT push_subscriptions_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT push_subscriptions_recipient FOREIGN KEY (recipient_id) REFERENCES recipients (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX push_subscriptions_by_recipient ON push_subscriptions (recipient_id, updated_at);
