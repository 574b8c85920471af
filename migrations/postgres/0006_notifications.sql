CREATE TABLE notifications (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    type_id UUID NOT NULL,
    type_key TEXT NOT NULL,
    type_version BIGINT NOT NULL,
    category TEXT NOT NULL,
    urgency TEXT NOT NULL,
    channels TEXT NOT NULL,
    event_type TEXT NULL,
    collapse_key TEXT NULL,
    data BYTEA NOT NULL,
    recipients TEXT NOT NULL,
    topics TEXT NOT NULL,
    actor TEXT NULL,
    plan_job_id UUID NOT NULL,
    deliver_at BIGINT NOT NULL,
    planned_to UUID NULL,
    chunks BIGINT NOT NULL,
    planned_at BIGINT NULL,
    event_id UUID NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT notifications_pk PRIMARY KEY (id),
    CONSTRAINT notifications_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE notifications IS 'What people are told: one row, however many they are.';
COMMENT ON COLUMN notifications.id IS 'UUIDv7';
COMMENT ON COLUMN notifications.tenant_id IS 'owner';
COMMENT ON COLUMN notifications.type_id IS 'notification type';
COMMENT ON COLUMN notifications.type_key IS 'what the product calls it';
COMMENT ON COLUMN notifications.type_version IS 'version of the type by which it is shown, now and later';
COMMENT ON COLUMN notifications.category IS 'by which people prefer';
COMMENT ON COLUMN notifications.urgency IS 'high, normal or low';
COMMENT ON COLUMN notifications.channels IS 'how people are told, as a list in JSON';
COMMENT ON COLUMN notifications.event_type IS 'type of the event by which endpoints are told; NULL: they are not';
COMMENT ON COLUMN notifications.collapse_key IS 'of those with the same one only the newest stands before a person; NULL: it takes no other''s place';
COMMENT ON COLUMN notifications.data IS 'what templates are filled with: the JSON that was handed in';
COMMENT ON COLUMN notifications.recipients IS 'keys of those who are named, as a list in JSON';
COMMENT ON COLUMN notifications.topics IS 'topics whose subscribers are told, as a list of ids and keys in JSON';
COMMENT ON COLUMN notifications.actor IS 'key of whoever did it and is not told; NULL: nobody';
COMMENT ON COLUMN notifications.plan_job_id IS 'the job that plans it';
COMMENT ON COLUMN notifications.deliver_at IS 'milliseconds since 1970 UTC; not told before';
COMMENT ON COLUMN notifications.planned_to IS 'id of the last subscriber who stands in a chunk; NULL: none does';
COMMENT ON COLUMN notifications.chunks IS 'number of the next one';
COMMENT ON COLUMN notifications.planned_at IS 'milliseconds since 1970 UTC; NULL: there may be more chunks';
COMMENT ON COLUMN notifications.event_id IS 'the event, which may be removed before; NULL: there is none yet, or none at all';
COMMENT ON COLUMN notifications.created_at IS 'milliseconds since 1970 UTC';
CREATE INDEX notifications_by_tenant ON notifications (tenant_id, id);
CREATE INDEX notifications_by_type ON notifications (tenant_id, type_key, id);
CREATE INDEX notifications_by_event ON notifications (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE notification_chunks (
    notification_id UUID NOT NULL,
    n BIGINT NOT NULL,
    job_id UUID NOT NULL,
    first_id UUID NOT NULL,
    planned BIGINT NOT NULL,
    recipients BYTEA NOT NULL,
    fates BYTEA NULL,
    counts TEXT NULL,
    done_at BIGINT NULL,
    CONSTRAINT notification_chunks_pk PRIMARY KEY (notification_id, n),
    CONSTRAINT notification_chunks_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
);
COMMENT ON TABLE notification_chunks IS 'Some of those who are told, and what became of it for each. What is counted here is the receipt.';
COMMENT ON COLUMN notification_chunks.notification_id IS 'the notification';
COMMENT ON COLUMN notification_chunks.n IS '0 for those who are named; subscribers follow by their ids';
COMMENT ON COLUMN notification_chunks.job_id IS 'the job that tells them';
COMMENT ON COLUMN notification_chunks.first_id IS 'id of the first of them';
COMMENT ON COLUMN notification_chunks.planned IS 'how many they are';
COMMENT ON COLUMN notification_chunks.recipients IS 'ids, 16 bytes each, in order';
COMMENT ON COLUMN notification_chunks.fates IS 'a byte for each recipient, of their inboxes; NULL: nobody was told yet';
COMMENT ON COLUMN notification_chunks.counts IS 'how many came to what, by channel, as JSON; NULL as fates';
COMMENT ON COLUMN notification_chunks.done_at IS 'milliseconds since 1970 UTC; NULL as fates';

CREATE TABLE inbox_items (
    recipient_id UUID NOT NULL,
    notification_id UUID NOT NULL,
    collapse_key TEXT NULL,
    seq BIGINT NOT NULL,
    delivered_at BIGINT NOT NULL,
    seen_at BIGINT NULL,
    read_at BIGINT NULL,
    archived_at BIGINT NULL,
    CONSTRAINT inbox_items_pk PRIMARY KEY (recipient_id, notification_id)
);
COMMENT ON TABLE inbox_items IS 'What somebody has in their inbox. Whoever writes this writes their counts first.';
COMMENT ON COLUMN inbox_items.recipient_id IS 'whose; without a foreign key, which would write to them at each item';
COMMENT ON COLUMN inbox_items.notification_id IS 'what it tells';
COMMENT ON COLUMN inbox_items.collapse_key IS 'that of the notification; NULL: it has none';
COMMENT ON COLUMN inbox_items.seq IS 'place in the order in which they were told';
COMMENT ON COLUMN inbox_items.delivered_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN inbox_items.seen_at IS 'milliseconds since 1970 UTC; NULL: not seen';
COMMENT ON COLUMN inbox_items.read_at IS 'milliseconds since 1970 UTC; NULL: not read';
COMMENT ON COLUMN inbox_items.archived_at IS 'milliseconds since 1970 UTC; NULL: not put away';
CREATE INDEX inbox_items_by_collapse_key ON inbox_items (recipient_id, collapse_key) WHERE collapse_key IS NOT NULL;

CREATE TABLE inbox_replaced (
    recipient_id UUID NOT NULL,
    notification_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    seen_at BIGINT NULL,
    replaced_by UUID NOT NULL,
    replaced_seq BIGINT NOT NULL,
    replaced_at BIGINT NOT NULL,
    CONSTRAINT inbox_replaced_pk PRIMARY KEY (recipient_id, notification_id)
);
COMMENT ON TABLE inbox_replaced IS 'What somebody had in their inbox unread until a newer notification with the same collapse key took its place.';
COMMENT ON COLUMN inbox_replaced.recipient_id IS 'whose';
COMMENT ON COLUMN inbox_replaced.notification_id IS 'what it told';
COMMENT ON COLUMN inbox_replaced.seq IS 'its place in the order in which they were told';
COMMENT ON COLUMN inbox_replaced.seen_at IS 'milliseconds since 1970 UTC; NULL: not seen';
COMMENT ON COLUMN inbox_replaced.replaced_by IS 'the newer notification, which may be removed before';
COMMENT ON COLUMN inbox_replaced.replaced_seq IS 'the place of that';
COMMENT ON COLUMN inbox_replaced.replaced_at IS 'milliseconds since 1970 UTC';

CREATE TABLE inbox_counts (
    recipient_id UUID NOT NULL,
    last_seq BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    unread BIGINT NOT NULL,
    unseen BIGINT NOT NULL,
    CONSTRAINT inbox_counts_pk PRIMARY KEY (recipient_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE inbox_counts IS 'How many of them are new to them.';
COMMENT ON COLUMN inbox_counts.recipient_id IS 'whose';
COMMENT ON COLUMN inbox_counts.last_seq IS 'that of the newest item';
COMMENT ON COLUMN inbox_counts.changes IS 'how often it was changed: of two counts, the later one has more';
COMMENT ON COLUMN inbox_counts.unread IS 'items that are not read';
COMMENT ON COLUMN inbox_counts.unseen IS 'items that are not seen';

CREATE TABLE notification_batches (
    notification_id UUID NOT NULL,
    n BIGINT NOT NULL,
    channel TEXT NOT NULL,
    job_id UUID NOT NULL,
    fates BYTEA NOT NULL,
    counts TEXT NOT NULL,
    version BIGINT NOT NULL,
    settled_at BIGINT NOT NULL,
    done_at BIGINT NULL,
    CONSTRAINT notification_batches_pk PRIMARY KEY (notification_id, n, channel),
    CONSTRAINT notification_batches_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
);
COMMENT ON TABLE notification_batches IS 'Those of a chunk on a channel that reaches one after the other, and what became of it for each. Made as the chunk is told.';
COMMENT ON COLUMN notification_batches.notification_id IS 'the notification';
COMMENT ON COLUMN notification_batches.n IS 'the chunk';
COMMENT ON COLUMN notification_batches.channel IS 'push or email';
COMMENT ON COLUMN notification_batches.job_id IS 'the job that reaches them';
COMMENT ON COLUMN notification_batches.fates IS 'a byte for each recipient; 3: it stands in notification_messages';
COMMENT ON COLUMN notification_batches.counts IS 'how many came to what, as JSON; without those that stand in notification_messages';
COMMENT ON COLUMN notification_batches.version IS 'how often it was written: who writes it has read the last one';
COMMENT ON COLUMN notification_batches.settled_at IS 'milliseconds since 1970 UTC of the last time';
COMMENT ON COLUMN notification_batches.done_at IS 'milliseconds since 1970 UTC; NULL: some are pending';

CREATE TABLE notification_messages (
    notification_id UUID NOT NULL,
    channel TEXT NOT NULL,
    recipient_id UUID NOT NULL,
    job_id UUID NOT NULL,
    fate BIGINT NULL,
    error TEXT NULL,
    subscriptions TEXT NULL,
    settled_at BIGINT NOT NULL,
    digest_id UUID NULL,
    CONSTRAINT notification_messages_pk PRIMARY KEY (notification_id, channel, recipient_id),
    CONSTRAINT notification_messages_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
);
COMMENT ON TABLE notification_messages IS 'Those who were not reached with the others and have a job of their own, or stand in a digest.';
COMMENT ON COLUMN notification_messages.notification_id IS 'the notification';
COMMENT ON COLUMN notification_messages.channel IS 'push or email';
COMMENT ON COLUMN notification_messages.recipient_id IS 'who';
COMMENT ON COLUMN notification_messages.job_id IS 'the job that reaches them';
COMMENT ON COLUMN notification_messages.fate IS 'as a byte of fates; NULL: as the job''s state says';
COMMENT ON COLUMN notification_messages.error IS 'why they were not reached, in words';
COMMENT ON COLUMN notification_messages.subscriptions IS 'push subscriptions that are tried again, as a list of ids in JSON; NULL: whatever they have';
COMMENT ON COLUMN notification_messages.settled_at IS 'milliseconds since 1970 UTC of the last change';
COMMENT ON COLUMN notification_messages.digest_id IS 'the digest that it is in; NULL: it is sent by itself';
CREATE INDEX notification_messages_by_digest ON notification_messages (digest_id) WHERE digest_id IS NOT NULL;

CREATE TABLE digests (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    recipient_id UUID NOT NULL,
    type_id UUID NOT NULL,
    channel TEXT NOT NULL,
    digest_key TEXT NOT NULL,
    notification_id UUID NOT NULL,
    job_id UUID NOT NULL,
    opened_at BIGINT NOT NULL,
    closes_at BIGINT NOT NULL,
    closed_at BIGINT NULL,
    CONSTRAINT digests_pk PRIMARY KEY (id),
    CONSTRAINT digests_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE digests IS 'What is gathered for one person on a channel. What is in it stands in notification_messages.';
COMMENT ON COLUMN digests.id IS 'UUIDv7';
COMMENT ON COLUMN digests.tenant_id IS 'owner';
COMMENT ON COLUMN digests.recipient_id IS 'whose';
COMMENT ON COLUMN digests.type_id IS 'notification type';
COMMENT ON COLUMN digests.channel IS 'push or email';
COMMENT ON COLUMN digests.digest_key IS 'what all in it have in common';
COMMENT ON COLUMN digests.notification_id IS 'the newest in it';
COMMENT ON COLUMN digests.job_id IS 'the job that sends it';
COMMENT ON COLUMN digests.opened_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN digests.closes_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN digests.closed_at IS 'milliseconds since 1970 UTC; NULL: it is open';
CREATE UNIQUE INDEX digests_open_unique ON digests (recipient_id, type_id, channel, digest_key) WHERE closed_at IS NULL;
CREATE INDEX digests_by_closing ON digests (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE notification_throttles (
    recipient_id UUID NOT NULL,
    type_id UUID NOT NULL,
    channel TEXT NOT NULL,
    ends_at BIGINT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT notification_throttles_pk PRIMARY KEY (recipient_id, type_id, channel)
) WITH (fillfactor = 70);
COMMENT ON TABLE notification_throttles IS 'How often people were told of a type by a channel that may tell them only so often.';
COMMENT ON COLUMN notification_throttles.recipient_id IS 'who';
COMMENT ON COLUMN notification_throttles.type_id IS 'notification type';
COMMENT ON COLUMN notification_throttles.channel IS 'inbox, push or email';
COMMENT ON COLUMN notification_throttles.ends_at IS 'milliseconds since 1970 UTC; from then on it is counted anew';
COMMENT ON COLUMN notification_throttles.count IS 'how often, in this window';
CREATE INDEX notification_throttles_by_end ON notification_throttles (ends_at);

CREATE TABLE notification_newest (
    recipient_id UUID NOT NULL,
    channel TEXT NOT NULL,
    collapse_key TEXT NOT NULL,
    notification_id UUID NOT NULL,
    former_id UUID NULL,
    CONSTRAINT notification_newest_pk PRIMARY KEY (recipient_id, channel, collapse_key)
) WITH (fillfactor = 70);
COMMENT ON TABLE notification_newest IS 'Of notifications with a collapse key, the newest that somebody is told of by a channel. What they have in their inbox says so itself.';
COMMENT ON COLUMN notification_newest.recipient_id IS 'who';
COMMENT ON COLUMN notification_newest.channel IS 'push or email';
COMMENT ON COLUMN notification_newest.collapse_key IS 'what they have in common';
COMMENT ON COLUMN notification_newest.notification_id IS 'the newest';
COMMENT ON COLUMN notification_newest.former_id IS 'the one whose place that took; NULL: none''s';

CREATE TABLE notification_deliveries (
    notification_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    state TEXT NOT NULL,
    CONSTRAINT notification_deliveries_pk PRIMARY KEY (notification_id, endpoint_id),
    CONSTRAINT notification_deliveries_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
);
COMMENT ON TABLE notification_deliveries IS 'What became of the event of a notification at an endpoint, once jobs that delivered it there were removed by their age.';
COMMENT ON COLUMN notification_deliveries.notification_id IS 'the notification';
COMMENT ON COLUMN notification_deliveries.endpoint_id IS 'where it went';
COMMENT ON COLUMN notification_deliveries.state IS 'the best that one of these jobs came to: succeeded, dead or cancelled';
