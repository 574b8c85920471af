-- Sites whose sitemaps and feeds are made here.
CREATE TABLE sites (
    id BLOB NOT NULL, -- UUIDv7
    tenant_id BLOB NOT NULL, -- owner
    slug TEXT NOT NULL, -- short name within the tenant
    settings TEXT NOT NULL, -- what the owner sets, as JSON
    job_id BLOB NULL, -- the job that waits for more changes; NULL: none does, so the next change makes one
    run INTEGER NOT NULL, -- how many regenerations have begun: one that another has overtaken writes no more
    run_at INTEGER NULL, -- when the last one began, milliseconds since 1970 UTC; NULL: none has
    created_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    updated_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT sites_pk PRIMARY KEY (id),
    CONSTRAINT sites_slug_unique UNIQUE (tenant_id, slug),
    CONSTRAINT sites_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;

-- Where each locale of a site is, and has been.
CREATE TABLE site_locales (
    base TEXT NOT NULL, -- host, port and path that its pages begin with, canonical; a server is not told the scheme
    site_id BLOB NOT NULL, -- the site
    locale TEXT NOT NULL, -- its language tag
    left_at INTEGER NULL, -- when it was set to another base, milliseconds since 1970 UTC; it is found here still; NULL: it is here
    CONSTRAINT site_locales_pk PRIMARY KEY (base),
    CONSTRAINT site_locales_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX site_locales_by_site ON site_locales (site_id);

-- Pages: one translation group each.
CREATE TABLE site_pages (
    site_id BLOB NOT NULL, -- the site
    key TEXT NOT NULL, -- what the owner calls it
    shard INTEGER NOT NULL, -- the shard that it lies in: month of first publication times 100,000, and its number
    latest_at INTEGER NOT NULL, -- when the newest of its translations was published, milliseconds since 1970 UTC
    links BLOB NOT NULL, -- what sitemaps need of its translations, as JSON
    texts BLOB NOT NULL, -- what only feeds need of them, in the same order, as JSON
    changed_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT site_pages_pk PRIMARY KEY (site_id, key),
    CONSTRAINT site_pages_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX site_pages_by_shard ON site_pages (site_id, shard);
CREATE INDEX site_pages_by_time ON site_pages (site_id, latest_at, key);

-- How many pages each shard has.
CREATE TABLE site_shards (
    site_id BLOB NOT NULL, -- the site
    shard INTEGER NOT NULL, -- as in site_pages
    pages INTEGER NOT NULL, -- pages in it
    CONSTRAINT site_shards_pk PRIMARY KEY (site_id, shard),
    CONSTRAINT site_shards_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;

-- Translations that are not published, and why.
CREATE TABLE site_quarantine (
    site_id BLOB NOT NULL, -- the site
    key TEXT NOT NULL, -- the page
    locale TEXT NOT NULL, -- as it was handed in
    field TEXT NOT NULL, -- which part of the translation is at fault
    reason TEXT NOT NULL, -- why, in words
    since INTEGER NOT NULL, -- milliseconds since 1970 UTC
    CONSTRAINT site_quarantine_pk PRIMARY KEY (site_id, key, locale),
    CONSTRAINT site_quarantine_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;

-- What is stale, until it is published again.
CREATE TABLE site_marks (
    site_id BLOB NOT NULL, -- the site
    locale TEXT NOT NULL, -- language tag
    target TEXT NOT NULL, -- what: shard/NUMBER, news, feed, section/KEY or index
    changes INTEGER NOT NULL, -- how many there were: one that came meanwhile is not taken for published
    oldest_at INTEGER NOT NULL, -- when the oldest of them was accepted, milliseconds since 1970 UTC
    newest_at INTEGER NOT NULL, -- when the newest was, milliseconds since 1970 UTC
    held INTEGER NOT NULL, -- 1: it waits for a person, so nothing makes it again until it changes
    CONSTRAINT site_marks_pk PRIMARY KEY (site_id, locale, target),
    CONSTRAINT site_marks_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;

-- What is public.
CREATE TABLE site_files (
    site_id BLOB NOT NULL, -- the site
    locale TEXT NOT NULL, -- language tag
    name TEXT NOT NULL, -- below the locale's base, without a slash
    target TEXT NOT NULL, -- what it was made for, as in site_marks
    hash BLOB NOT NULL, -- SHA-256 of its bytes before compression; empty: not known, so it is written again
    bytes INTEGER NOT NULL, -- before compression
    urls INTEGER NOT NULL, -- addresses or items in it
    changed_at INTEGER NOT NULL, -- when its bytes changed, milliseconds since 1970 UTC
    gone INTEGER NOT NULL, -- 1: no index names it any more, and it is about to be removed
    CONSTRAINT site_files_pk PRIMARY KEY (site_id, locale, name),
    CONSTRAINT site_files_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX site_files_gone ON site_files (changed_at) WHERE gone = 1;
CREATE INDEX site_files_target ON site_files (site_id, target);

-- What time alone makes stale: an article that is news no more, a page that is published later.
CREATE TABLE site_timers (
    site_id BLOB NOT NULL, -- the site
    locale TEXT NOT NULL, -- language tag
    target TEXT NOT NULL, -- as in site_marks
    due_at INTEGER NOT NULL, -- when it is stale, milliseconds since 1970 UTC
    CONSTRAINT site_timers_pk PRIMARY KEY (site_id, locale, target, due_at),
    CONSTRAINT site_timers_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX site_timers_by_time ON site_timers (due_at);

-- Sitemaps that lost so many addresses at once that a person is asked first.
CREATE TABLE site_holds (
    site_id BLOB NOT NULL, -- the site
    locale TEXT NOT NULL, -- language tag
    target TEXT NOT NULL, -- as in site_marks
    urls_before INTEGER NOT NULL, -- addresses that are public
    urls_after INTEGER NOT NULL, -- addresses that would be
    since INTEGER NOT NULL, -- milliseconds since 1970 UTC
    confirmed INTEGER NOT NULL, -- 1: somebody has said that so many are right, and they are about to be published
    CONSTRAINT site_holds_pk PRIMARY KEY (site_id, locale, target),
    CONSTRAINT site_holds_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;

-- What regenerations made public of each locale, and how long its changes waited for that.
CREATE TABLE site_publications (
    id BLOB NOT NULL, -- UUIDv7
    site_id BLOB NOT NULL, -- the site
    locale TEXT NOT NULL, -- language tag
    run INTEGER NOT NULL, -- the regeneration, as in sites
    accepted_at INTEGER NOT NULL, -- when the oldest change in it was accepted, milliseconds since 1970 UTC
    published_at INTEGER NULL, -- when all of it was in its place, milliseconds since 1970 UTC; NULL: not yet
    read_at INTEGER NULL, -- when it was read back in public, milliseconds since 1970 UTC; NULL: not yet
    files INTEGER NOT NULL, -- files that changed
    urls INTEGER NOT NULL, -- addresses and items in them
    bytes INTEGER NOT NULL, -- of them, before compression
    CONSTRAINT site_publications_pk PRIMARY KEY (id),
    CONSTRAINT site_publications_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX site_publications_by_locale ON site_publications (site_id, locale, id);
CREATE INDEX site_publications_open ON site_publications (site_id) WHERE read_at IS NULL;

-- The files that a publication changed.
CREATE TABLE site_publication_files (
    publication_id BLOB NOT NULL, -- the publication
    name TEXT NOT NULL, -- as in site_files
    bytes INTEGER NOT NULL, -- before compression
    urls INTEGER NOT NULL, -- addresses or items in it
    gone INTEGER NOT NULL, -- 1: it was taken away
    CONSTRAINT site_publication_files_pk PRIMARY KEY (publication_id, name),
    CONSTRAINT site_publication_files_publication FOREIGN KEY (publication_id) REFERENCES site_publications (id) ON DELETE CASCADE
) STRICT;

-- Addresses that search engines are still to be told of (IndexNow).
CREATE TABLE site_addresses (
    site_id BLOB NOT NULL, -- the site
    locale TEXT NOT NULL, -- language tag
    path TEXT NOT NULL, -- below the locale's base
    changed_at INTEGER NOT NULL, -- when what is there changed, or is to be published, milliseconds since 1970 UTC
    CONSTRAINT site_addresses_pk PRIMARY KEY (site_id, locale, path),
    CONSTRAINT site_addresses_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;

-- What people were told is wrong with a site, once for each cause.
CREATE TABLE site_alerts (
    id BLOB NOT NULL, -- UUIDv7
    site_id BLOB NOT NULL, -- the site
    cause TEXT NOT NULL, -- late, failing, idle or held
    detail TEXT NOT NULL, -- what was seen when it was raised, in words
    raised_at INTEGER NOT NULL, -- milliseconds since 1970 UTC
    recovered_at INTEGER NULL, -- when it was so no more, milliseconds since 1970 UTC; NULL: it still is
    CONSTRAINT site_alerts_pk PRIMARY KEY (id),
    CONSTRAINT site_alerts_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX site_alerts_once ON site_alerts (site_id, cause) WHERE recovered_at IS NULL;
CREATE INDEX site_alerts_by_site ON site_alerts (site_id, id);

-- Whom an alert is still to be sent to.
CREATE TABLE site_alert_messages (
    alert_id BLOB NOT NULL, -- the alert
    recovered INTEGER NOT NULL, -- 0: that it was raised; 1: that it is over
    channel TEXT NOT NULL, -- event, slack, or email: and an address
    due_at INTEGER NOT NULL, -- when it is tried, or tried again, milliseconds since 1970 UTC
    tries INTEGER NOT NULL, -- how often it was tried
    CONSTRAINT site_alert_messages_pk PRIMARY KEY (alert_id, recovered, channel),
    CONSTRAINT site_alert_messages_alert FOREIGN KEY (alert_id) REFERENCES site_alerts (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX site_alert_messages_by_time ON site_alert_messages (due_at);

-- Images and enclosures that feeds name, as they really are.
CREATE TABLE site_media (
    site_id BLOB NOT NULL, -- the site
    url TEXT NOT NULL, -- the file's address, absolute
    is_image INTEGER NOT NULL, -- 1: something names it as an image
    state TEXT NOT NULL, -- waiting, good or bad
    media_type TEXT NULL, -- what the file itself shows; NULL: it is no file, or nobody has looked
    length INTEGER NULL, -- bytes; NULL: its host does not say
    said_type TEXT NULL, -- what the page says that names it as an enclosure; NULL: nothing, or none does
    said_length INTEGER NULL, -- likewise, bytes
    etag TEXT NULL, -- its host's tag of what was seen; NULL: it has none
    marks TEXT NOT NULL, -- what names it, as JSON: locales and targets as in site_marks
    asked_at INTEGER NOT NULL, -- when a look at it was last asked for, milliseconds since 1970 UTC
    checked_at INTEGER NULL, -- when it was last looked at; NULL: never
    fault TEXT NULL, -- why it is bad, in words
    CONSTRAINT site_media_pk PRIMARY KEY (site_id, url),
    CONSTRAINT site_media_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX site_media_by_state ON site_media (site_id, state, url);
-- Files that are of another type than a page says.
CREATE INDEX site_media_of_other_type ON site_media (site_id, url) WHERE said_type <> media_type;

-- Open dead letters of regenerations: few, and looked at every few seconds, since a later regeneration does their work.
CREATE INDEX dead_letters_of_sites ON dead_letters (tenant_id, lane) WHERE state = 'open' AND kind = 'site.regenerate';
