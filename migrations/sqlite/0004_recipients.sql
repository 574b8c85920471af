-- People whom a product tells things, by the product's own ids.
CREATE TABLE recipients (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    key TEXT NOT NULL, -- what the product calls them
    email TEXT NULL, -- e-mail address; NULL: none is known
    email_state TEXT NULL, -- unverified or verified; NULL: there is no address
    locale TEXT NULL, -- language tag (BCP 47); NULL: nobody has said
    time_zone TEXT NULL, -- name in the IANA database; NULL: nobody has said
    preferences TEXT NOT NULL, -- by category and channel, whether they want it, as JSON
    quiet_hours TEXT NULL, -- when they are left alone, by their clocks, as JSON; NULL: never
    attributes TEXT NOT NULL, -- what else the product says of them, as JSON
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT recipients_pk PRIMARY KEY (id),
    CONSTRAINT recipients_key_unique UNIQUE (tenant_id, key),
    CONSTRAINT recipients_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;
CREATE INDEX recipients_by_email ON recipients (tenant_id, email, key) WHERE email IS NOT NULL;

-- Addresses that nothing is sent to, whosever they are.
CREATE TABLE email_suppressions (
    tenant_id BLOB NOT NULL, -- owner
    address TEXT NOT NULL, -- e-mail address
    cause TEXT NOT NULL, -- bounce, complaint or manual
    reason TEXT NOT NULL, -- why, in words
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT email_suppressions_pk PRIMARY KEY (tenant_id, address),
    CONSTRAINT email_suppressions_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT, WITHOUT ROWID;

-- What people subscribe to: a member, a channel, a product.
CREATE TABLE topics (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    key TEXT NOT NULL, -- what the product calls it
    name TEXT NOT NULL, -- for people
    condition TEXT NULL, -- for whom of its subscribers notifications are, as an expression; NULL: for all
    subscribers INTEGER NOT NULL, -- how many subscriptions it has
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT topics_pk PRIMARY KEY (id),
    CONSTRAINT topics_key_unique UNIQUE (tenant_id, key),
    CONSTRAINT topics_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;

-- Who subscribes to what. A topic is walked in the order of its recipients' ids.
CREATE TABLE topic_subscriptions (
    topic_id BLOB NOT NULL, -- the topic
    recipient_id BLOB NOT NULL, -- the recipient
    CONSTRAINT topic_subscriptions_pk PRIMARY KEY (topic_id, recipient_id),
    CONSTRAINT topic_subscriptions_topic FOREIGN KEY (topic_id) REFERENCES topics (id) ON DELETE CASCADE,
    CONSTRAINT topic_subscriptions_recipient FOREIGN KEY (recipient_id) REFERENCES recipients (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX topic_subscriptions_by_recipient ON topic_subscriptions (recipient_id, topic_id);
