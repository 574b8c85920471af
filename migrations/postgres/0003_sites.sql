CREATE TABLE sites (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    slug TEXT NOT NULL,
    settings TEXT NOT NULL,
    job_id UUID NULL,
    run BIGINT NOT NULL,
    run_at BIGINT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT sites_pk PRIMARY KEY (id),
    CONSTRAINT sites_slug_unique UNIQUE (tenant_id, slug),
    CONSTRAINT sites_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE sites IS 'Sites whose sitemaps and feeds are made here.';
COMMENT ON COLUMN sites.id IS 'UUIDv7';
COMMENT ON COLUMN sites.tenant_id IS 'owner';
COMMENT ON COLUMN sites.slug IS 'short name within the tenant';
COMMENT ON COLUMN sites.settings IS 'what the owner sets, as JSON';
COMMENT ON COLUMN sites.job_id IS 'the job that waits for more changes; NULL: none does, so the next change makes one';
COMMENT ON COLUMN sites.run IS 'how many regenerations have begun: one that another has overtaken writes no more';
COMMENT ON COLUMN sites.run_at IS 'when the last one began, milliseconds since 1970 UTC; NULL: none has';
COMMENT ON COLUMN sites.created_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN sites.updated_at IS 'milliseconds since 1970 UTC';

CREATE TABLE site_locales (
    base TEXT NOT NULL,
    site_id UUID NOT NULL,
    locale TEXT NOT NULL,
    left_at BIGINT NULL,
    CONSTRAINT site_locales_pk PRIMARY KEY (base),
    CONSTRAINT site_locales_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_locales IS 'Where each locale of a site is, and has been.';
COMMENT ON COLUMN site_locales.base IS 'host, port and path that its pages begin with, canonical; a server is not told the scheme';
COMMENT ON COLUMN site_locales.site_id IS 'the site';
COMMENT ON COLUMN site_locales.locale IS 'its language tag';
COMMENT ON COLUMN site_locales.left_at IS 'when it was set to another base, milliseconds since 1970 UTC; it is found here still; NULL: it is here';
CREATE INDEX site_locales_by_site ON site_locales (site_id);

CREATE TABLE site_pages (
    site_id UUID NOT NULL,
    key TEXT NOT NULL,
    shard BIGINT NOT NULL,
    latest_at BIGINT NOT NULL,
    links BYTEA NOT NULL,
    texts BYTEA NOT NULL,
    changed_at BIGINT NOT NULL,
    CONSTRAINT site_pages_pk PRIMARY KEY (site_id, key),
    CONSTRAINT site_pages_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_pages IS 'Pages: one translation group each.';
COMMENT ON COLUMN site_pages.site_id IS 'the site';
COMMENT ON COLUMN site_pages.key IS 'what the owner calls it';
COMMENT ON COLUMN site_pages.shard IS 'the shard that it lies in: month of first publication times 100,000, and its number';
COMMENT ON COLUMN site_pages.latest_at IS 'when the newest of its translations was published, milliseconds since 1970 UTC';
COMMENT ON COLUMN site_pages.links IS 'what sitemaps need of its translations, as JSON';
COMMENT ON COLUMN site_pages.texts IS 'what only feeds need of them, in the same order, as JSON';
COMMENT ON COLUMN site_pages.changed_at IS 'milliseconds since 1970 UTC';
-- A shard's links are read as a whole and often: kept in their row.
ALTER TABLE site_pages ALTER COLUMN links SET STORAGE MAIN;
CREATE INDEX site_pages_by_shard ON site_pages (site_id, shard);
CREATE INDEX site_pages_by_time ON site_pages (site_id, latest_at, key);

CREATE TABLE site_shards (
    site_id UUID NOT NULL,
    shard BIGINT NOT NULL,
    pages BIGINT NOT NULL,
    CONSTRAINT site_shards_pk PRIMARY KEY (site_id, shard),
    CONSTRAINT site_shards_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_shards IS 'How many pages each shard has.';
COMMENT ON COLUMN site_shards.site_id IS 'the site';
COMMENT ON COLUMN site_shards.shard IS 'as in site_pages';
COMMENT ON COLUMN site_shards.pages IS 'pages in it';

CREATE TABLE site_quarantine (
    site_id UUID NOT NULL,
    key TEXT NOT NULL,
    locale TEXT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    CONSTRAINT site_quarantine_pk PRIMARY KEY (site_id, key, locale),
    CONSTRAINT site_quarantine_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_quarantine IS 'Translations that are not published, and why.';
COMMENT ON COLUMN site_quarantine.site_id IS 'the site';
COMMENT ON COLUMN site_quarantine.key IS 'the page';
COMMENT ON COLUMN site_quarantine.locale IS 'as it was handed in';
COMMENT ON COLUMN site_quarantine.field IS 'which part of the translation is at fault';
COMMENT ON COLUMN site_quarantine.reason IS 'why, in words';
COMMENT ON COLUMN site_quarantine.since IS 'milliseconds since 1970 UTC';

CREATE TABLE site_marks (
    site_id UUID NOT NULL,
    locale TEXT NOT NULL,
    target TEXT NOT NULL,
    changes BIGINT NOT NULL,
    oldest_at BIGINT NOT NULL,
    newest_at BIGINT NOT NULL,
    held BIGINT NOT NULL,
    CONSTRAINT site_marks_pk PRIMARY KEY (site_id, locale, target),
    CONSTRAINT site_marks_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_marks IS 'What is stale, until it is published again.';
COMMENT ON COLUMN site_marks.site_id IS 'the site';
COMMENT ON COLUMN site_marks.locale IS 'language tag';
COMMENT ON COLUMN site_marks.target IS 'what: shard/NUMBER, news, feed, section/KEY or index';
COMMENT ON COLUMN site_marks.changes IS 'how many there were: one that came meanwhile is not taken for published';
COMMENT ON COLUMN site_marks.oldest_at IS 'when the oldest of them was accepted, milliseconds since 1970 UTC';
COMMENT ON COLUMN site_marks.newest_at IS 'when the newest was, milliseconds since 1970 UTC';
COMMENT ON COLUMN site_marks.held IS '1: it waits for a person, so nothing makes it again until it changes';

CREATE TABLE site_files (
    site_id UUID NOT NULL,
    locale TEXT NOT NULL,
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    hash BYTEA NOT NULL,
    bytes BIGINT NOT NULL,
    urls BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    CONSTRAINT site_files_pk PRIMARY KEY (site_id, locale, name),
    CONSTRAINT site_files_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_files IS 'What is public.';
COMMENT ON COLUMN site_files.site_id IS 'the site';
COMMENT ON COLUMN site_files.locale IS 'language tag';
COMMENT ON COLUMN site_files.name IS 'below the locale''s base, without a slash';
COMMENT ON COLUMN site_files.target IS 'what it was made for, as in site_marks';
COMMENT ON COLUMN site_files.hash IS 'SHA-256 of its bytes before compression; empty: not known, so it is written again';
COMMENT ON COLUMN site_files.bytes IS 'before compression';
COMMENT ON COLUMN site_files.urls IS 'addresses or items in it';
COMMENT ON COLUMN site_files.changed_at IS 'when its bytes changed, milliseconds since 1970 UTC';
COMMENT ON COLUMN site_files.gone IS '1: no index names it any more, and it is about to be removed';
CREATE INDEX site_files_gone ON site_files (changed_at) WHERE gone = 1;
CREATE INDEX site_files_target ON site_files (site_id, target);

CREATE TABLE site_timers (
    site_id UUID NOT NULL,
    locale TEXT NOT NULL,
    target TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    CONSTRAINT site_timers_pk PRIMARY KEY (site_id, locale, target, due_at),
    CONSTRAINT site_timers_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_timers IS 'What time alone makes stale: an article that is news no more, a page that is published later.';
COMMENT ON COLUMN site_timers.site_id IS 'the site';
COMMENT ON COLUMN site_timers.locale IS 'language tag';
COMMENT ON COLUMN site_timers.target IS 'as in site_marks';
COMMENT ON COLUMN site_timers.due_at IS 'when it is stale, milliseconds since 1970 UTC';
CREATE INDEX site_timers_by_time ON site_timers (due_at);

CREATE TABLE site_holds (
    site_id UUID NOT NULL,
    locale TEXT NOT NULL,
    target TEXT NOT NULL,
    urls_before BIGINT NOT NULL,
    urls_after BIGINT NOT NULL,
    since BIGINT NOT NULL,
    confirmed BIGINT NOT NULL,
    CONSTRAINT site_holds_pk PRIMARY KEY (site_id, locale, target),
    CONSTRAINT site_holds_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_holds IS 'Sitemaps that lost so many addresses at once that a person is asked first.';
COMMENT ON COLUMN site_holds.site_id IS 'the site';
COMMENT ON COLUMN site_holds.locale IS 'language tag';
COMMENT ON COLUMN site_holds.target IS 'as in site_marks';
COMMENT ON COLUMN site_holds.urls_before IS 'addresses that are public';
COMMENT ON COLUMN site_holds.urls_after IS 'addresses that would be';
COMMENT ON COLUMN site_holds.since IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN site_holds.confirmed IS '1: somebody has said that so many are right, and they are about to be published';

CREATE TABLE site_publications (
    id UUID NOT NULL,
    site_id UUID NOT NULL,
    locale TEXT NOT NULL,
    run BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    published_at BIGINT NULL,
    read_at BIGINT NULL,
    files BIGINT NOT NULL,
    urls BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    CONSTRAINT site_publications_pk PRIMARY KEY (id),
    CONSTRAINT site_publications_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_publications IS 'What regenerations made public of each locale, and how long its changes waited for that.';
COMMENT ON COLUMN site_publications.id IS 'UUIDv7';
COMMENT ON COLUMN site_publications.site_id IS 'the site';
COMMENT ON COLUMN site_publications.locale IS 'language tag';
COMMENT ON COLUMN site_publications.run IS 'the regeneration, as in sites';
COMMENT ON COLUMN site_publications.accepted_at IS 'when the oldest change in it was accepted, milliseconds since 1970 UTC';
COMMENT ON COLUMN site_publications.published_at IS 'when all of it was in its place, milliseconds since 1970 UTC; NULL: not yet';
COMMENT ON COLUMN site_publications.read_at IS 'when it was read back in public, milliseconds since 1970 UTC; NULL: not yet';
COMMENT ON COLUMN site_publications.files IS 'files that changed';
COMMENT ON COLUMN site_publications.urls IS 'addresses and items in them';
COMMENT ON COLUMN site_publications.bytes IS 'of them, before compression';
CREATE INDEX site_publications_by_locale ON site_publications (site_id, locale, id);
CREATE INDEX site_publications_open ON site_publications (site_id) WHERE read_at IS NULL;

CREATE TABLE site_publication_files (
    publication_id UUID NOT NULL,
    name TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    urls BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    CONSTRAINT site_publication_files_pk PRIMARY KEY (publication_id, name),
    CONSTRAINT site_publication_files_publication FOREIGN KEY (publication_id) REFERENCES site_publications (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_publication_files IS 'The files that a publication changed.';
COMMENT ON COLUMN site_publication_files.publication_id IS 'the publication';
COMMENT ON COLUMN site_publication_files.name IS 'as in site_files';
COMMENT ON COLUMN site_publication_files.bytes IS 'before compression';
COMMENT ON COLUMN site_publication_files.urls IS 'addresses or items in it';
COMMENT ON COLUMN site_publication_files.gone IS '1: it was taken away';

CREATE TABLE site_addresses (
    site_id UUID NOT NULL,
    locale TEXT NOT NULL,
    path TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    CONSTRAINT site_addresses_pk PRIMARY KEY (site_id, locale, path),
    CONSTRAINT site_addresses_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_addresses IS 'Addresses that search engines are still to be told of (IndexNow).';
COMMENT ON COLUMN site_addresses.site_id IS 'the site';
COMMENT ON COLUMN site_addresses.locale IS 'language tag';
COMMENT ON COLUMN site_addresses.path IS 'below the locale''s base';
COMMENT ON COLUMN site_addresses.changed_at IS 'when what is there changed, or is to be published, milliseconds since 1970 UTC';

CREATE TABLE site_alerts (
    id UUID NOT NULL,
    site_id UUID NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    recovered_at BIGINT NULL,
    CONSTRAINT site_alerts_pk PRIMARY KEY (id),
    CONSTRAINT site_alerts_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_alerts IS 'What people were told is wrong with a site, once for each cause.';
COMMENT ON COLUMN site_alerts.id IS 'UUIDv7';
COMMENT ON COLUMN site_alerts.site_id IS 'the site';
COMMENT ON COLUMN site_alerts.cause IS 'late, failing, idle or held';
COMMENT ON COLUMN site_alerts.detail IS 'what was seen when it was raised, in words';
COMMENT ON COLUMN site_alerts.raised_at IS 'milliseconds since 1970 UTC';
COMMENT ON COLUMN site_alerts.recovered_at IS 'when it was so no more, milliseconds since 1970 UTC; NULL: it still is';
CREATE UNIQUE INDEX site_alerts_once ON site_alerts (site_id, cause) WHERE recovered_at IS NULL;
CREATE INDEX site_alerts_by_site ON site_alerts (site_id, id);

CREATE TABLE site_alert_messages (
    alert_id UUID NOT NULL,
    recovered BIGINT NOT NULL,
    channel TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    CONSTRAINT site_alert_messages_pk PRIMARY KEY (alert_id, recovered, channel),
    CONSTRAINT site_alert_messages_alert FOREIGN KEY (alert_id) REFERENCES site_alerts (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_alert_messages IS 'Whom an alert is still to be sent to.';
COMMENT ON COLUMN site_alert_messages.alert_id IS 'the alert';
COMMENT ON COLUMN site_alert_messages.recovered IS '0: that it was raised; 1: that it is over';
COMMENT ON COLUMN site_alert_messages.channel IS 'event, slack, or email: and an address';
COMMENT ON COLUMN site_alert_messages.due_at IS 'when it is tried, or tried again, milliseconds since 1970 UTC';
COMMENT ON COLUMN site_alert_messages.tries IS 'how often it was tried';
CREATE INDEX site_alert_messages_by_time ON site_alert_messages (due_at);

CREATE TABLE site_media (
    site_id UUID NOT NULL,
    url TEXT NOT NULL,
    is_image BIGINT NOT NULL,
    state TEXT NOT NULL,
    media_type TEXT NULL,
    length BIGINT NULL,
    said_type TEXT NULL,
    said_length BIGINT NULL,
    etag TEXT NULL,
    marks TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    checked_at BIGINT NULL,
    fault TEXT NULL,
    CONSTRAINT site_media_pk PRIMARY KEY (site_id, url),
    CONSTRAINT site_media_site FOREIGN KEY (site_id) REFERENCES sites (id) ON DELETE CASCADE
);
COMMENT ON TABLE site_media IS 'Images and enclosures that feeds name, as they really are.';
COMMENT ON COLUMN site_media.site_id IS 'the site';
COMMENT ON COLUMN site_media.url IS 'the file''s address, absolute';
COMMENT ON COLUMN site_media.is_image IS '1: something names it as an image';
COMMENT ON COLUMN site_media.state IS 'waiting, good or bad';
COMMENT ON COLUMN site_media.media_type IS 'what the file itself shows; NULL: it is no file, or nobody has looked';
COMMENT ON COLUMN site_media.length IS 'bytes; NULL: its host does not say';
COMMENT ON COLUMN site_media.said_type IS 'what the page says that names it as an enclosure; NULL: nothing, or none does';
COMMENT ON COLUMN site_media.said_length IS 'likewise, bytes';
COMMENT ON COLUMN site_media.etag IS 'its host''s tag of what was seen; NULL: it has none';
COMMENT ON COLUMN site_media.marks IS 'what names it, as JSON: locales and targets as in site_marks';
COMMENT ON COLUMN site_media.asked_at IS 'when a look at it was last asked for, milliseconds since 1970 UTC';
COMMENT ON COLUMN site_media.checked_at IS 'when it was last looked at; NULL: never';
COMMENT ON COLUMN site_media.fault IS 'why it is bad, in words';
CREATE INDEX site_media_by_state ON site_media (site_id, state, url);
-- Files that are of another type than a page says.
CREATE INDEX site_media_of_other_type ON site_media (site_id, url) WHERE said_type <> media_type;

-- Open dead letters of regenerations: few, and looked at every few seconds, since a later regeneration does their work.
CREATE INDEX dead_letters_of_sites ON dead_letters (tenant_id, lane) WHERE state = 'open' AND kind = 'site.regenerate';
