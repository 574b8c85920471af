-- Keys are searched by what they begin with, and listed in the same order in both databases: hence their collation.
CREATE TABLE recipients (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    email TEXT NULL,
    email_state TEXT NULL,
    locale TEXT NULL,
    time_zone TEXT NULL,
    preferences TEXT NOT NULL,
    quiet_hours TEXT NULL,
    attributes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT recipients_pk PRIMARY KEY (id),
    CONSTRAINT recipients_key_unique UNIQUE (tenant_id, key),
    CONSTRAINT recipients_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE recipients IS 'People whom a product tells things, by the product''s own ids.';
COMMENT ON COLUMN recipients.id IS 'UUIDv7';
COMMENT ON COLUMN recipients.tenant_id IS 'owner';
COMMENT ON COLUMN recipients.key IS 'what the product calls them';
COMMENT ON COLUMN recipients.email IS 'e-mail address; NULL: none is known';
COMMENT ON COLUMN recipients.email_state IS 'unverified or verified; NULL: there is no address';
COMMENT ON COLUMN recipients.locale IS 'language tag (BCP 47); NULL: nobody has said';
COMMENT ON COLUMN recipients.time_zone IS 'name in the IANA database; NULL: nobody has said';
COMMENT ON COLUMN recipients.preferences IS 'by category and channel, whether they want it, as JSON';
COMMENT ON COLUMN recipients.quiet_hours IS 'when they are left alone, by their clocks, as JSON; NULL: never';
COMMENT ON COLUMN recipients.attributes IS 'what else the product says of them, as JSON';
COMMENT ON COLUMN recipients.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN recipients.updated_at IS 'milliseconds since 1970 UTC';
CREATE INDEX recipients_by_email ON recipients (tenant_id, email, key) WHERE email IS NOT NULL;

CREATE TABLE email_suppressions (
    tenant_id UUID NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    cause TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT email_suppressions_pk PRIMARY KEY (tenant_id, address),
    CONSTRAINT email_suppressions_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE email_suppressions IS 'Addresses that nothing is sent to, whosever they are.';
COMMENT ON COLUMN email_suppressions.tenant_id IS 'owner';
COMMENT ON COLUMN email_suppressions.address IS 'e-mail address';
COMMENT ON COLUMN email_suppressions.cause IS 'bounce, complaint or manual';
COMMENT ON COLUMN email_suppressions.reason IS 'why, in words';
COMMENT ON COLUMN email_suppressions.created_at IS 'milliseconds since 1970 UTC';

CREATE TABLE topics (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    condition TEXT NULL,
    subscribers BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT topics_pk PRIMARY KEY (id),
    CONSTRAINT topics_key_unique UNIQUE (tenant_id, key),
    CONSTRAINT topics_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE topics IS 'What people subscribe to: a member, a channel, a product.';
COMMENT ON COLUMN topics.id IS 'UUIDv7';
COMMENT ON COLUMN topics.tenant_id IS 'owner';
COMMENT ON COLUMN topics.key IS 'what the product calls it';
COMMENT ON COLUMN topics.name IS 'for people';
COMMENT ON COLUMN topics.condition IS 'for whom of its subscribers notifications are, as an expression; NULL: for all';
COMMENT ON COLUMN topics.subscribers IS 'how many subscriptions it has';
COMMENT ON COLUMN topics.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN topics.updated_at IS 'milliseconds since 1970 UTC';

CREATE TABLE topic_subscriptions (
    topic_id UUID NOT NULL,
    recipient_id UUID NOT NULL,
    CONSTRAINT topic_subscriptions_pk PRIMARY KEY (topic_id, recipient_id),
    CONSTRAINT topic_subscriptions_topic FOREIGN KEY (topic_id) REFERENCES topics (id) ON DELETE CASCADE,
    CONSTRAINT topic_subscriptions_recipient FOREIGN KEY (recipient_id) REFERENCES recipients (id) ON DELETE CASCADE
);
COMMENT ON TABLE topic_subscriptions IS 'Who subscribes to what. A topic is walked in the order of its recipients'' ids.';
COMMENT ON COLUMN topic_subscriptions.topic_id IS 'the topic';
COMMENT ON COLUMN topic_subscriptions.recipient_id IS 'the recipient';
CREATE INDEX topic_subscriptions_by_recipient ON topic_subscriptions (recipient_id, topic_id);
