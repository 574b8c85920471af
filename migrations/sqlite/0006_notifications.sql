-- What people are told: one row, however many they are.
CREATE TABLE notifications (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    type_id BLOB NOT NULL, -- notification type
    type_key TEXT NOT NULL, -- what the product calls it
    type_version INTEGER NOT NULL, -- version of the type by which it is shown, now and later
    category TEXT NOT NULL, -- by which people prefer
    urgency TEXT NOT NULL, -- high, normal or low
    channels TEXT NOT NULL, -- how people are told, as a list in JSON
    event_type TEXT NULL, -- type of the event by which endpoints are told; NULL: they are not
    collapse_key TEXT NULL, -- of those with the same one only the newest stands before a person; NULL: it takes no other's place
    data BLOB NOT NULL, -- what templates are filled with: the JSON that was handed in
    recipients TEXT NOT NULL, -- keys of those who are named, as a list in JSON
    topics TEXT NOT NULL, -- topics whose subscribers are told, as a list of ids and keys in JSON
    actor TEXT NULL, -- key of whoever did it and is not told; NULL: nobody
    plan_job_id BLOB NOT NULL, -- the job that plans it
    deliver_at INTEGER NOT NULL, -- milliseconds since 1970 UTC; not told before
    planned_to BLOB NULL, -- id of the last subscriber who stands in a chunk; NULL: none does
    chunks INTEGER NOT NULL, -- number of the next one
    planned_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: there may be more chunks
    event_id BLOB NULL, -- the event, which may be removed before; NULL: there is none yet, or none at all
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT notifications_pk PRIMARY KEY (id),
    CONSTRAINT notifications_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;
CREATE INDEX notifications_by_tenant ON notifications (tenant_id, id);
CREATE INDEX notifications_by_type ON notifications (tenant_id, type_key, id);
CREATE INDEX notifications_by_event ON notifications (event_id) WHERE event_id IS NOT NULL;

-- Some of those who are told, and what became of it for each. What is counted here is the receipt.
CREATE TABLE notification_chunks (
    notification_id BLOB NOT NULL, -- the notification
    n INTEGER NOT NULL, -- 0 for those who are named; subscribers follow by their ids
    job_id BLOB NOT NULL, -- the job that tells them
    first_id BLOB NOT NULL, -- id of the first of them
    planned INTEGER NOT NULL, -- how many they are
    recipients BLOB NOT NULL, -- ids, 16 bytes each, in order
    fates BLOB NULL, -- a byte for each recipient, of their inboxes; NULL: nobody was told yet
    counts TEXT NULL, -- how many came to what, by channel, as JSON; NULL as fates
    done_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL as fates
    CONSTRAINT notification_chunks_pk PRIMARY KEY (notification_id, n),
    CONSTRAINT notification_chunks_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
) STRICT;

-- What somebody has in their inbox. Whoever writes this writes their counts first.
CREATE TABLE inbox_items (
    recipient_id BLOB NOT NULL, -- whose; without a foreign key, which would write to them at each item
    notification_id BLOB NOT NULL, -- what it tells
    collapse_key TEXT NULL, -- that of the notification; NULL: it has none
    seq INTEGER NOT NULL, -- place in the order in which they were told
    delivered_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    seen_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: not seen
    read_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: not read
    archived_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: not put away
    CONSTRAINT inbox_items_pk PRIMARY KEY (recipient_id, notification_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_items_by_collapse_key ON inbox_items (recipient_id, collapse_key) WHERE collapse_key IS NOT NULL;

-- What somebody had in their inbox unread until a newer notification with the same collapse key took its place.
CREATE TABLE inbox_replaced (
    recipient_id BLOB NOT NULL, -- whose
    notification_id BLOB NOT NULL, -- what it told
    seq INTEGER NOT NULL, -- its place in the order in which they were told
    seen_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: not seen
    replaced_by BLOB NOT NULL, -- the newer notification, which may be removed before
    replaced_seq INTEGER NOT NULL, -- the place of that
    replaced_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT inbox_replaced_pk PRIMARY KEY (recipient_id, notification_id)
) STRICT, WITHOUT ROWID;

-- How many of them are new to them.
CREATE TABLE inbox_counts (
    recipient_id BLOB NOT NULL, -- whose
    last_seq INTEGER NOT NULL, -- that of the newest item
    changes INTEGER NOT NULL, -- how often it was changed: of two counts, the later one has more
    unread INTEGER NOT NULL, -- items that are not read
    unseen INTEGER NOT NULL, -- items that are not seen
    CONSTRAINT inbox_counts_pk PRIMARY KEY (recipient_id)
) STRICT, WITHOUT ROWID;

-- Those of a chunk on a channel that reaches one after the other, and what became of it for each. Made as the chunk is told.
CREATE TABLE notification_batches (
    notification_id BLOB NOT NULL, -- the notification
    n INTEGER NOT NULL, -- the chunk
    channel TEXT NOT NULL, -- push or email
    job_id BLOB NOT NULL, -- the job that reaches them
    fates BLOB NOT NULL, -- a byte for each recipient; 3: it stands in notification_messages
    counts TEXT NOT NULL, -- how many came to what, as JSON; without those that stand in notification_messages
    version INTEGER NOT NULL, -- how often it was written: who writes it has read the last one
    settled_at INTEGER NOT NULL, -- milliseconds since 1970 UTC of the last time
    done_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: some are pending
    CONSTRAINT notification_batches_pk PRIMARY KEY (notification_id, n, channel),
    CONSTRAINT notification_batches_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
) STRICT;

-- Those who were not reached with the others and have a job of their own, or stand in a digest.
CREATE TABLE notification_messages (
    notification_id BLOB NOT NULL, -- the notification
    channel TEXT NOT NULL, -- push or email
    recipient_id BLOB NOT NULL, -- who
    job_id BLOB NOT NULL, -- the job that reaches them
    fate INTEGER NULL, -- as a byte of fates; NULL: as the job's state says
    error TEXT NULL, -- why they were not reached, in words
    subscriptions TEXT NULL, -- push subscriptions that are tried again, as a list of ids in JSON; NULL: whatever they have
    settled_at INTEGER NOT NULL, -- milliseconds since 1970 UTC of the last change
    digest_id BLOB NULL, -- the digest that it is in; NULL: it is sent by itself
    CONSTRAINT notification_messages_pk PRIMARY KEY (notification_id, channel, recipient_id),
    CONSTRAINT notification_messages_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
) STRICT;
CREATE INDEX notification_messages_by_digest ON notification_messages (digest_id) WHERE digest_id IS NOT NULL;

-- What is gathered for one person on a channel. What is in it stands in notification_messages.
CREATE TABLE digests (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    recipient_id BLOB NOT NULL, -- whose
    type_id BLOB NOT NULL, -- notification type
    channel TEXT NOT NULL, -- push or email
    digest_key TEXT NOT NULL, -- what all in it have in common
    notification_id BLOB NOT NULL, -- the newest in it
    job_id BLOB NOT NULL, -- the job that sends it
    opened_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    closes_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    closed_at INTEGER NULL, -- milliseconds since 1970 UTC; NULL: it is open
    CONSTRAINT digests_pk PRIMARY KEY (id),
    CONSTRAINT digests_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;
CREATE UNIQUE INDEX digests_open_unique ON digests (recipient_id, type_id, channel, digest_key) WHERE closed_at IS NULL;
CREATE INDEX digests_by_closing ON digests (closed_at) WHERE closed_at IS NOT NULL;

-- How often people were told of a type by a channel that may tell them only so often.
CREATE TABLE notification_throttles (
    recipient_id BLOB NOT NULL, -- who
    type_id BLOB NOT NULL, -- notification type
    channel TEXT NOT NULL, -- inbox, push or email
    ends_at INTEGER NOT NULL, -- milliseconds since 1970 UTC; from then on it is counted anew
    count INTEGER NOT NULL, -- how often, in this window
    CONSTRAINT notification_throttles_pk PRIMARY KEY (recipient_id, type_id, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX notification_throttles_by_end ON notification_throttles (ends_at);

-- Of notifications with a collapse key, the newest that somebody is told of by a channel. What they have in their inbox says so itself.
CREATE TABLE notification_newest (
    recipient_id BLOB NOT NULL, -- who
    channel TEXT NOT NULL, -- push or email
    collapse_key TEXT NOT NULL, -- what they have in common
    notification_id BLOB NOT NULL, -- the newest
    former_id BLOB NULL, -- the one whose place that took; NULL: none's
    CONSTRAINT notification_newest_pk PRIMARY KEY (recipient_id, channel, collapse_key)
) STRICT, WITHOUT ROWID;

-- What became of the event of a notification at an endpoint, once jobs that delivered it there were removed by their age.
CREATE TABLE notification_deliveries (
    notification_id BLOB NOT NULL, -- the notification
    endpoint_id BLOB NOT NULL, -- where it went
    state TEXT NOT NULL, -- the best that one of these jobs came to: succeeded, dead or cancelled
    CONSTRAINT notification_deliveries_pk PRIMARY KEY (notification_id, endpoint_id),
    CONSTRAINT notification_deliveries_notification FOREIGN KEY (notification_id) REFERENCES notifications (id)
) STRICT;
