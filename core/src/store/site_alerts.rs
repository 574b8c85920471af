//! What people were told is wrong with sites, and whom it is still to be sent to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use uuid::Uuid;

use super::{
    Listed, Page, Scope, Store, StoreError,
    pool::Tx,
    site_deaths::{Deaths, deaths, rests_until},
    sql::sql,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    email::EmailAddress,
    id::Identified,
    lane::LaneName,
    site::{
        alert::{Cause, Condition, FAILURES, FAILURES_TO_READ},
        settings::Site,
    },
};

/// Something that is, or was, wrong with a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteAlert {
    pub id: Id<Self>,
    pub cause: Cause,
    /// What was seen when it was raised.
    pub detail: String,
    pub raised_at: UnixMs,
    pub recovered_at: Option<UnixMs>,
}

impl Identified for SiteAlert {
    const PREFIX: &'static str = "alert";
}

/// How an alert reaches people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Endpoints that subscribe to it.
    Event,
    Slack,
    Email(EmailAddress),
}

/// Channels of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Event,
    Slack,
    Email,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Event, Self::Slack, Self::Email];

    /// What the texts of its channels begin with: five letters each.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Slack => "slack",
            Self::Email => "email",
        }
    }
}

/// A message that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertMessage {
    pub site: Id<Site>,
    pub alert: SiteAlert,
    pub recovered: bool,
    pub channel: Channel,
    /// How often it was tried before.
    pub tries: u32,
}

/// Messages that are taken at once, and sent at once.
const MESSAGES: u32 = 8;
/// How long a message is another's that was taken: longer than any channel takes.
const TAKEN: Duration = Duration::from_secs(60);
const SELECT: &str = "SELECT id, cause, detail, raised_at, recovered_at FROM site_alerts";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    cause: String,
    detail: String,
    raised_at: i64,
    recovered_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    alert_id: Uuid,
    recovered: i64,
    channel: String,
    tries: i64,
}

impl Row {
    fn read(self) -> Result<SiteAlert, StoreError> {
        Ok(SiteAlert {
            id: Id::from_uuid(self.id),
            cause: self.cause.parse().map_err(|error: String| StoreError::unreadable("alert's cause", error))?,
            detail: self.detail,
            raised_at: UnixMs(self.raised_at),
            recovered_at: self.recovered_at.map(UnixMs),
        })
    }
}

impl Channel {
    fn text(&self) -> String {
        match self {
            Self::Event => "event".to_owned(),
            Self::Slack => "slack".to_owned(),
            Self::Email(address) => format!("email:{}", address.as_str()),
        }
    }

    fn read(text: &str) -> Result<Self, StoreError> {
        match text {
            "event" => Ok(Self::Event),
            "slack" => Ok(Self::Slack),
            other => {
                let address = other.strip_prefix("email:").unwrap_or(other);
                let address = address.parse().map_err(|error| StoreError::unreadable("alert's channel", error))?;
                Ok(Self::Email(address))
            }
        }
    }

    /// All that a site's alerts go to.
    fn of(site: &Site) -> Vec<Self> {
        let settings = &site.settings.alerts;
        let mut channels = vec![Self::Event];
        channels.extend(settings.slack_url.iter().map(|_| Self::Slack));
        channels.extend(settings.emails.iter().cloned().map(Self::Email));
        channels
    }
}

impl Store {
    /// Sites of which something waits, is held, or was wrong when somebody looked last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn watched_sites(&self) -> Result<Vec<Id<Site>>, StoreError> {
        let select =
            sql("SELECT site_id FROM site_marks UNION SELECT site_id FROM site_publications WHERE read_at IS NULL \
            UNION SELECT site_id FROM site_holds UNION SELECT site_id FROM site_alerts WHERE recovered_at IS NULL");
        let rows: Vec<(Uuid,)> = self.pool.fetch(select).await?;
        Ok(rows.into_iter().map(|(id,)| Id::from_uuid(id)).collect())
    }

    /// How a site does.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_condition(&self, site: &Site, now: UnixMs) -> Result<Condition, StoreError> {
        let run_at = sql("SELECT run_at FROM sites").and(" WHERE id = ", site.id);
        let run_at: Option<(Option<i64>,)> = self.pool.fetch_one(run_at).await?;
        let held = sql("SELECT COUNT(*) FROM site_holds WHERE confirmed = 0").and(" AND site_id = ", site.id);
        let held: Option<(i64,)> = self.pool.fetch_one(held).await?;
        let failing = sql("SELECT last_error FROM jobs WHERE state = 'pending'")
            .and(" AND tenant_id = ", site.tenant_id)
            .and(" AND (attempt >= ", FAILURES)
            .and(" AND lane = ", LaneName::of_site(&site.slug).as_str())
            .and(" OR attempt >= ", FAILURES_TO_READ)
            .and(" AND lane = ", LaneName::of_announcements(&site.slug).as_str())
            .then(") ORDER BY id LIMIT 1");
        let failing: Vec<(Option<String>,)> = self.pool.fetch(failing).await?;
        let deaths: Option<Deaths> = self.pool.fetch_one(deaths(site)).await?;
        let died = deaths.filter(|(count, _)| *count > 1).map(|(count, _)| {
            let next = rests_until(deaths).unwrap_or(now);
            format!("{count} regenerations ended all processes that made them; the site is left alone until {next}, unless somebody has it made again now")
        });
        Ok(Condition {
            waiting: self.site_waiting(site.id, now).await?,
            stale_since: self.site_stale_between(site.id).await?.map(|(oldest, _)| oldest),
            run_at: run_at.and_then(|(at,)| at).map(UnixMs),
            failures: died.into_iter().chain(failing.into_iter().filter_map(|(error,)| error)).collect(),
            held: held.map_or(0, |(held,)| u64::try_from(held).unwrap_or(0)),
        })
    }

    /// Raises an alert for each cause that has none, and ends those whose cause is over. Whoever comes second does nothing.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn judge_site(
        &self,
        site: &Site,
        causes: &BTreeMap<Cause, String>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let open = sql(SELECT).and(" WHERE recovered_at IS NULL AND site_id = ", site.id);
        let open: Vec<Row> = self.pool.fetch(open).await?;
        let open = open.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        let known: BTreeSet<Cause> = open.iter().map(|alert| alert.cause).collect();
        let over: Vec<&SiteAlert> = open.iter().filter(|alert| !causes.contains_key(&alert.cause)).collect();
        if over.is_empty() && causes.keys().all(|cause| known.contains(cause)) {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        for (cause, detail) in causes.iter().filter(|(cause, _)| !known.contains(cause)) {
            let id = Id::<SiteAlert>::new();
            let insert = sql("INSERT INTO site_alerts (id, site_id, cause, detail, raised_at) ").rows(vec![vec![
                id.into(),
                site.id.into(),
                cause.as_str().into(),
                detail.as_str().into(),
                now.into(),
            ]]);
            let once = insert.then(" ON CONFLICT (site_id, cause) WHERE recovered_at IS NULL DO NOTHING");
            if tx.execute(once).await? > 0 {
                send(&mut tx, site, id, false, now).await?;
            }
        }
        for alert in over {
            let end = sql("UPDATE site_alerts SET").and(" recovered_at = ", now).and(" WHERE id = ", alert.id);
            if tx.execute(end.then(" AND recovered_at IS NULL")).await? > 0 {
                send(&mut tx, site, alert.id, true, now).await?;
            }
        }
        tx.commit().await
    }

    /// Takes messages of one way that were due by `due_by`, which is `now` or before it. Each is due again after a while, unless
    /// [`Self::alert_was_sent`] is called.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_alert_messages(
        &self,
        way: Way,
        due_by: UnixMs,
        now: UnixMs,
    ) -> Result<Vec<AlertMessage>, StoreError> {
        // That it is over is sent to nobody who has not yet been told that it was so.
        let due = sql("SELECT m.alert_id, m.recovered, m.channel FROM site_alert_messages m");
        let due = due.and(" WHERE m.due_at <= ", due_by).and(" AND substr(m.channel, 1, 5) = ", way.prefix());
        let due = due.then(
            " AND (m.recovered = 0 OR NOT EXISTS (SELECT 1 FROM site_alert_messages r \
            WHERE r.alert_id = m.alert_id AND r.channel = m.channel AND r.recovered = 0)) ORDER BY m.due_at",
        );
        let due = due.and(" LIMIT ", MESSAGES);
        let mut tx = self.pool.begin().await?;
        let due: Vec<(Uuid, i64, String)> = tx.fetch(due).await?;
        let mut taken = Vec::new();
        for (alert, recovered, channel) in due {
            let take = sql("UPDATE site_alert_messages SET tries = tries + 1")
                .and(", due_at = ", now + TAKEN)
                .and(" WHERE alert_id = ", alert)
                .and(" AND recovered = ", recovered)
                .and(" AND channel = ", channel)
                .and(" AND due_at <= ", due_by)
                .then(" RETURNING alert_id, recovered, channel, tries");
            let Some(row) = tx.fetch_one::<MessageRow>(take).await? else { continue };
            let select = sql("SELECT site_id FROM site_alerts").and(" WHERE id = ", row.alert_id);
            let site: Option<(Uuid,)> = tx.fetch_one(select).await?;
            let found: Option<Row> = tx.fetch_one(sql(SELECT).and(" WHERE id = ", row.alert_id)).await?;
            let Some(((site,), found)) = site.zip(found) else { continue };
            taken.push(AlertMessage {
                site: Id::from_uuid(site),
                alert: found.read()?,
                recovered: row.recovered != 0,
                channel: Channel::read(&row.channel)?,
                tries: u32::try_from(row.tries).unwrap_or(1).saturating_sub(1),
            });
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// Says that a message was sent, or that nobody is there any more whom it could be sent to.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn alert_was_sent(&self, message: &AlertMessage) -> Result<(), StoreError> {
        self.pool.execute(of_message("DELETE FROM site_alert_messages", message)).await?;
        Ok(())
    }

    /// Has a message be tried again later.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn alert_was_not_sent(&self, message: &AlertMessage, again_at: UnixMs) -> Result<(), StoreError> {
        let update = sql("UPDATE site_alert_messages SET").and(" due_at = ", again_at);
        let update = update.append(of_message("", message));
        self.pool.execute(update).await?;
        Ok(())
    }
}

impl Scope<'_> {
    /// A site's alerts, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn site_alerts(
        &self,
        site: &Site,
        page: &Page<SiteAlert>,
    ) -> Result<Listed<SiteAlert, SiteAlert>, StoreError> {
        let select = sql(SELECT).and(" WHERE site_id = ", site.id);
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let alerts = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(alerts, |alert: &SiteAlert| alert.id))
    }
}

fn of_message(verb: &'static str, message: &AlertMessage) -> super::sql::Sql {
    sql(verb)
        .and(" WHERE alert_id = ", message.alert.id)
        .and(" AND recovered = ", i64::from(message.recovered))
        .and(" AND channel = ", message.channel.text())
}

async fn send(
    tx: &mut Tx<'_>,
    site: &Site,
    alert: Id<SiteAlert>,
    recovered: bool,
    now: UnixMs,
) -> Result<(), StoreError> {
    let row = |channel: Channel| -> Vec<Value> {
        vec![alert.into(), i64::from(recovered).into(), channel.text().into(), now.into(), 0i64.into()]
    };
    let rows = Channel::of(site).into_iter().map(row).collect();
    tx.execute(sql("INSERT INTO site_alert_messages (alert_id, recovered, channel, due_at, tries) ").rows(rows))
        .await?;
    Ok(())
}
