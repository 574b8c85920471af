//! Addresses that nothing is sent to. A suppression is of an address and not of a person: whoever has it later is not written to either.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};

use super::{
    Changed, Scope, StoreError,
    page::KeyPage,
    pool::Tx,
    recipients::{self, LAST_CHAR},
    sql::{Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    email::EmailAddress,
    recipient::RecipientKey,
    suppression::{SuppressedAddress, SuppressionCause},
    tenant::Tenant,
};

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    cause: String,
    reason: String,
    created_at: i64,
}

const COLUMNS: &str = "SELECT key, cause, reason, created_at FROM (SELECT tenant_id, address AS key, cause, reason, created_at \
    FROM email_suppressions) AS s";

impl Row {
    fn read(self) -> Result<SuppressedAddress, StoreError> {
        fn unreadable(error: impl std::fmt::Display) -> StoreError {
            StoreError::unreadable("suppressed address", error)
        }
        Ok(SuppressedAddress {
            address: self.key.parse().map_err(unreadable)?,
            cause: self.cause.parse().map_err(unreadable)?,
            reason: self.reason,
            created_at: UnixMs(self.created_at),
        })
    }
}

fn noted(of: &SuppressedAddress) -> Json {
    json!({ "cause": of.cause.as_str(), "reason": of.reason })
}

/// Of those that begin with `q`.
fn beginning_with(tenant: Id<Tenant>, q: &str) -> Sql {
    let select = sql(COLUMNS).and(" WHERE tenant_id = ", tenant);
    select.and(" AND key >= ", q).and(" AND key < ", format!("{q}{LAST_CHAR}"))
}

/// Why nothing is sent to some of these addresses.
pub(super) async fn among(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    addresses: Vec<&str>,
) -> Result<HashMap<String, String>, StoreError> {
    let mut found = HashMap::new();
    for run in tx.dialect().runs(addresses) {
        let select = sql("SELECT address, reason FROM email_suppressions").and(" WHERE tenant_id = ", tenant);
        found.extend(tx.fetch::<(String, String)>(select.then(" AND address").any(run)).await?);
    }
    Ok(found)
}

/// Stores what is said of addresses: why nothing is sent to them, or that something may be.
pub(super) async fn say(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    said: BTreeMap<&EmailAddress, Option<&str>>,
    now: UnixMs,
) -> Result<(), StoreError> {
    let (mut rows, mut lifted): (Vec<Vec<Value>>, Vec<&str>) = (Vec::new(), Vec::new());
    for (address, reason) in said {
        match reason {
            Some(reason) => rows.push(row(tenant, address, SuppressionCause::Manual, reason, now)),
            None => lifted.push(address.as_str()),
        }
    }
    for run in tx.dialect().runs(lifted) {
        let delete = sql("DELETE FROM email_suppressions").and(" WHERE tenant_id = ", tenant);
        tx.execute(delete.then(" AND address").any(run)).await?;
    }
    put(tx, rows).await
}

fn row(tenant: Id<Tenant>, address: &EmailAddress, cause: SuppressionCause, reason: &str, now: UnixMs) -> Vec<Value> {
    vec![tenant.into(), address.as_str().into(), cause.as_str().into(), reason.into(), now.into()]
}

/// What was said first of an address stays, but for its reason.
async fn put(tx: &mut Tx<'_>, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
    for run in tx.dialect().runs(rows) {
        let insert = sql("INSERT INTO email_suppressions (tenant_id, address, cause, reason, created_at) ").rows(run);
        let again = " ON CONFLICT (tenant_id, address) DO UPDATE SET cause = excluded.cause, reason = excluded.reason";
        tx.execute(insert.then(again)).await?;
    }
    Ok(())
}

impl Scope<'_> {
    /// From now on nothing is sent to an address.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn put_suppression(
        &self,
        address: &EmailAddress,
        cause: SuppressionCause,
        reason: &str,
        now: UnixMs,
    ) -> Result<SuppressedAddress, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let before = tx.fetch_one::<Row>(self.of_address(address)).await?.map(Row::read).transpose()?;
        put(&mut tx, vec![row(self.tenant, address, cause, reason, now)]).await?;
        let kept = tx.fetch_one::<Row>(self.of_address(address)).await?;
        let kept = kept.ok_or_else(|| StoreError::unreadable("suppressed address", "it is not kept"))?.read()?;
        let change = (before.as_ref().map(noted), Some(noted(&kept)));
        self.note(&mut tx, "suppression.put", address.as_str().to_owned(), change).await?;
        tx.commit().await?;
        Ok(kept)
    }

    fn of_address(&self, address: &EmailAddress) -> Sql {
        sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND key = ", address.as_str())
    }

    /// Whether there was one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lift_suppression(&self, address: &EmailAddress) -> Result<bool, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let Some(row) = tx.fetch_one::<Row>(self.of_address(address)).await? else { return Ok(false) };
        let before = noted(&row.read()?);
        let delete = sql("DELETE FROM email_suppressions").and(" WHERE tenant_id = ", self.tenant);
        if tx.execute(delete.and(" AND address = ", address.as_str())).await? == 0 {
            return Ok(false);
        }
        self.note(&mut tx, "suppression.lift", address.as_str().to_owned(), (Some(before), None)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Lets somebody's address be written to again, if it is this one and nothing is sent to it, and keeps who did.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lift_suppression_of(&self, key: &RecipientKey, address: &str) -> Result<Changed<()>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        let select = recipients::select(self.tenant).and(" AND key = ", key.as_str()).then(lock);
        let row: Option<recipients::Row> = tx.fetch_one(select).await?;
        let Some(recipient) = row.map(recipients::Row::read).transpose()? else { return Ok(Changed::NotFound) };
        let suppressed = recipient.email.filter(|email| email.address.as_str() == address);
        let Some(reason) = suppressed.as_ref().and_then(|email| email.state.reason()) else {
            return Ok(Changed::Refused);
        };
        let delete = sql("DELETE FROM email_suppressions").and(" WHERE tenant_id = ", self.tenant);
        tx.execute(delete.and(" AND address = ", address)).await?;
        let before = json!({ "address": address, "reason": reason });
        self.note(&mut tx, "recipient.lift_suppression", key.to_string(), (Some(before), None)).await?;
        tx.commit().await?;
        Ok(Changed::Done(()))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn suppression(&self, address: &EmailAddress) -> Result<Option<SuppressedAddress>, StoreError> {
        let row: Option<Row> = self.store.pool.fetch_one(self.of_address(address)).await?;
        row.map(Row::read).transpose()
    }

    /// A page of those that begin with `q`, by address, and the address after which the next one begins.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn suppressions(
        &self,
        q: &str,
        page: &KeyPage,
    ) -> Result<(Vec<SuppressedAddress>, Option<EmailAddress>), StoreError> {
        let select = page.finish(beginning_with(self.tenant, q));
        let rows: Vec<Row> = self.store.pool.fetch(select).await?;
        let rows = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |row| row.address.clone()))
    }

    /// The keys of those who have one of these addresses, in order, `each_max` of each address at most.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recipients_at(
        &self,
        addresses: &[EmailAddress],
        each_max: u32,
    ) -> Result<BTreeMap<EmailAddress, Vec<RecipientKey>>, StoreError> {
        let mut found: BTreeMap<EmailAddress, Vec<RecipientKey>> = BTreeMap::new();
        let addresses: Vec<&str> = addresses.iter().map(EmailAddress::as_str).collect();
        for run in self.store.pool.dialect().runs(addresses) {
            let select = sql("SELECT email, key FROM (SELECT email, key, ROW_NUMBER() OVER (PARTITION BY email ORDER BY key) AS place \
                FROM recipients")
            .and(" WHERE tenant_id = ", self.tenant)
            .then(" AND email")
            .any(run)
            .and(") AS r WHERE place <= ", i64::from(each_max))
            .then(" ORDER BY email, key");
            for (email, key) in self.store.pool.fetch::<(String, String)>(select).await? {
                let email = email.parse().map_err(|error| StoreError::unreadable("recipient's address", error))?;
                let key = key.parse().map_err(|error| StoreError::unreadable("recipient's key", error))?;
                found.entry(email).or_default().push(key);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite_plan;

    #[tokio::test]
    async fn addresses_are_found_by_their_beginning_and_not_among_all() {
        let page = KeyPage { after: Some("bea@a.example".to_owned()), limit: 50 };
        let plan = sqlite_plan(page.finish(beginning_with(Id::new(), "bea"))).await;
        assert!(
            plan.contains("SEARCH email_suppressions") && plan.contains("(tenant_id=? AND address>? AND address<?)"),
            "{plan}"
        );
    }
}
