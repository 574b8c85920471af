//! Recipients: how people are kept, and found by what their keys begin with.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::{
    Scope, StoreError, inbox,
    page::KeyPage,
    pool::Tx,
    sql::{Sql, sql},
    suppressions,
    topic_subscriptions::leave_some,
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    email::EmailAddress,
    recipient::{Email, EmailState, NewRecipient, Profile, Recipient, RecipientKey},
    tenant::Tenant,
};

/// What came of somebody who was put in place of what was there.
#[derive(Clone, Debug, PartialEq)]
pub struct PutRecipient {
    pub recipient: Recipient,
    /// Nobody was known by this key.
    pub created: bool,
    /// They are not as they were.
    pub changed: bool,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    key: String,
    email: Option<String>,
    email_state: Option<String>,
    /// Why nothing is sent to the address.
    suppressed_for: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    preferences: String,
    quiet_hours: Option<String>,
    attributes: String,
    created_at: i64,
    updated_at: i64,
}

pub(super) const COLUMNS: &str = "SELECT id, key, email, email_state, (SELECT s.reason FROM email_suppressions AS s \
    WHERE s.tenant_id = recipients.tenant_id AND s.address = recipients.email) AS suppressed_for, locale, time_zone, preferences, \
    quiet_hours, attributes, created_at, updated_at FROM recipients";
/// Comes after all characters that a key may have.
pub(super) const LAST_CHAR: char = char::MAX;

impl Row {
    pub(super) fn read(self) -> Result<Recipient, StoreError> {
        fn unreadable(error: impl std::fmt::Display) -> StoreError {
            StoreError::unreadable("recipient", error)
        }
        let email = match (self.email, self.email_state) {
            (Some(address), Some(state)) => Some(Email {
                address: address.parse().map_err(unreadable)?,
                state: match self.suppressed_for {
                    Some(reason) => EmailState::Suppressed(reason),
                    None => EmailState::of(&state, None).map_err(unreadable)?,
                },
            }),
            _ => None,
        };
        let quiet_hours = self.quiet_hours.map(|text| serde_json::from_str(&text)).transpose();
        let profile = Profile {
            locale: self.locale.map(|text| text.parse()).transpose().map_err(unreadable)?,
            time_zone: self.time_zone.map(|text| text.parse()).transpose().map_err(unreadable)?,
            preferences: serde_json::from_str(&self.preferences).map_err(unreadable)?,
            quiet_hours: quiet_hours.map_err(unreadable)?,
            attributes: serde_json::from_str(&self.attributes).map_err(unreadable)?,
        };
        Ok(Recipient {
            id: Id::from_uuid(self.id),
            key: self.key.parse().map_err(unreadable)?,
            email,
            profile,
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

impl Scope<'_> {
    /// Puts people in place of those with the same keys, of which the last one counts. All of them or none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn put_recipients(
        &self,
        recipients: &[NewRecipient],
        now: UnixMs,
    ) -> Result<BTreeMap<RecipientKey, PutRecipient>, StoreError> {
        let given: BTreeMap<&str, &NewRecipient> = recipients.iter().map(|one| (one.key.as_str(), one)).collect();
        let keys: Vec<&str> = given.keys().copied().collect();
        let mut tx = self.store.pool.begin().await?;
        let created = make_known(&mut tx, self.tenant, &keys, now).await?;
        let (mut put, mut rows) = (BTreeMap::new(), Vec::new());
        let addresses = given.values().filter_map(|new| new.email.as_ref()).map(|email| email.address.as_str());
        let suppressed = suppressions::among(&mut tx, self.tenant, addresses.collect()).await?;
        for run in tx.dialect().runs(keys) {
            let lock = tx.for_update();
            let select = select(self.tenant).then(" AND key").any(run).then(" ORDER BY key").then(lock);
            for row in tx.fetch::<Row>(select).await? {
                let before = row.read()?;
                let Some(new) = given.get(before.key.as_str()) else { continue };
                let email = new.email.as_ref().map(|email| {
                    let reason = suppressed.get(email.address.as_str());
                    email.after(before.email.as_ref(), reason.map(String::as_str))
                });
                let created = created.contains(before.key.as_str());
                let changed = created || email != before.email || new.profile != before.profile;
                let recipient = match changed {
                    true => Recipient { email, profile: new.profile.clone(), updated_at: now, ..before },
                    false => before,
                };
                if changed {
                    rows.push(row_of(&recipient)?);
                }
                put.insert(recipient.key.clone(), PutRecipient { recipient, created, changed });
            }
        }
        let said = given.values().filter_map(|new| new.email.as_ref()?.said());
        suppressions::say(&mut tx, self.tenant, said.collect(), now).await?;
        for run in tx.dialect().runs(rows) {
            let update = sql("UPDATE recipients SET email = v.column2, email_state = v.column3, locale = v.column4, \
                time_zone = v.column5, preferences = v.column6, quiet_hours = v.column7, attributes = v.column8");
            let update = update.and(", updated_at = ", now).then(" FROM (").rows(run);
            tx.execute(update.then(") AS v WHERE recipients.id = v.column1")).await?;
        }
        tx.commit().await?;
        Ok(put)
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn recipient(&self, key: &RecipientKey) -> Result<Option<Recipient>, StoreError> {
        let row: Option<Row> = self.store.pool.fetch_one(select(self.tenant).and(" AND key = ", key.as_str())).await?;
        row.map(Row::read).transpose()
    }

    /// A page of recipients, and the key after which the next one begins: of those whose keys begin with `q`, and those with this
    /// e-mail address.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recipients(
        &self,
        q: &str,
        page: &KeyPage,
    ) -> Result<(Vec<Recipient>, Option<RecipientKey>), StoreError> {
        let mut found = BTreeMap::new();
        let by_key = select(self.tenant).and(" AND key >= ", q).and(" AND key < ", format!("{q}{LAST_CHAR}"));
        let address = q.parse::<EmailAddress>().ok();
        let by_email = address.map(|address| select(self.tenant).and(" AND email = ", address.as_str()));
        for select in [Some(by_key), by_email].into_iter().flatten() {
            for row in self.store.pool.fetch::<Row>(page.finish(select)).await? {
                found.insert(row.key.clone(), row.read()?);
            }
        }
        Ok(page.cut(found.into_values().collect(), |recipient| recipient.key.clone()))
    }

    /// Removes somebody, who leaves all topics, some after the others; `false` where there is nobody. One whose removal was begun and
    /// not ended is somebody with fewer topics.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_recipient(&self, key: &RecipientKey) -> Result<bool, StoreError> {
        let mut was_there = false;
        loop {
            let mut tx = self.store.pool.begin().await?;
            let lock = tx.for_update();
            let select = sql("SELECT id FROM recipients").and(" WHERE tenant_id = ", self.tenant);
            let row: Option<(Uuid,)> = tx.fetch_one(select.and(" AND key = ", key.as_str()).then(lock)).await?;
            let Some((id,)) = row else { return Ok(was_there) };
            was_there = true;
            if leave_some(&mut tx, Id::from_uuid(id)).await? {
                tx.commit().await?;
                continue;
            }
            inbox::clear(&mut tx, Id::from_uuid(id)).await?;
            tx.execute(sql("DELETE FROM recipients").and(" WHERE id = ", id)).await?;
            tx.commit().await?;
            return Ok(true);
        }
    }
}

/// Makes those known, by their keys alone, who are not; `keys` are sorted, so that two that do so at once wait for each other and
/// not in a ring. Answers with the keys of those who are new.
pub(super) async fn make_known(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    keys: &[&str],
    now: UnixMs,
) -> Result<HashSet<String>, StoreError> {
    let rows: Vec<Vec<Value>> = keys.iter().map(|key| vec![Id::<Recipient>::new().into(), (*key).into()]).collect();
    let mut created = HashSet::new();
    for run in tx.dialect().runs(rows) {
        let insert =
            sql("INSERT INTO recipients (id, tenant_id, key, preferences, attributes, created_at, updated_at) ")
                .and("SELECT v.column1, ", tenant)
                .and(", v.column2, '{}', '{}', ", now)
                .and(", ", now)
                .then(" FROM (")
                .rows(run)
                .then(") AS v WHERE 1 = 1 ON CONFLICT (tenant_id, key) DO NOTHING RETURNING key");
        created.extend(tx.fetch::<(String,)>(insert).await?.into_iter().map(|(key,)| key));
    }
    Ok(created)
}

pub(super) fn select(tenant: Id<Tenant>) -> Sql {
    sql(COLUMNS).and(" WHERE tenant_id = ", tenant)
}

fn row_of(recipient: &Recipient) -> Result<Vec<Value>, StoreError> {
    let Recipient { id, email, profile, .. } = recipient;
    let unreadable = |error| StoreError::unreadable("recipient", error);
    let quiet_hours = profile.quiet_hours.as_ref().map(serde_json::to_string).transpose().map_err(unreadable)?;
    Ok(vec![
        (*id).into(),
        email.as_ref().map(|email| email.address.as_str()).into(),
        email.as_ref().map(|email| email.state.beside_suppression()).into(),
        profile.locale.as_ref().map(|locale| locale.as_str()).into(),
        profile.time_zone.as_ref().map(|zone| zone.name()).into(),
        serde_json::to_string(&profile.preferences).map_err(unreadable)?.into(),
        quiet_hours.into(),
        serde_json::to_string(&profile.attributes).map_err(unreadable)?.into(),
    ])
}
