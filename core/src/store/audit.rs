//! What people did, written in the transaction that did it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scope, StoreError, dead_letter_filter::DeadLetterFilter, operations::noted, pool::Tx, sql::sql};
use crate::domain::{Id, UnixMs, id::Identified, tenant::Tenant, user::Actor};

/// One action of a person.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    pub id: Id<AuditEntry>,
    /// Whose things were acted on; `None`: the installation's.
    pub tenant_id: Option<Id<Tenant>>,
    /// The user's name at that time.
    pub actor: String,
    pub address: String,
    /// As in `dead_letter.replay`.
    pub action: String,
    /// An id or a name.
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub created_at: UnixMs,
}

impl Identified for AuditEntry {
    const PREFIX: &'static str = "aud";
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Option<Uuid>,
    actor: String,
    address: String,
    action: String,
    subject: String,
    before: Option<String>,
    after: Option<String>,
    created_at: i64,
}

pub(super) const COLUMNS: &str =
    "SELECT id, tenant_id, actor, address, action, subject, before, after, created_at FROM audit_log";

impl Row {
    pub(super) fn read(self) -> Result<AuditEntry, StoreError> {
        let json = |text: Option<String>| {
            let read = text.map(|text| serde_json::from_str(&text)).transpose();
            read.map_err(|error| StoreError::unreadable("audit entry", error))
        };
        Ok(AuditEntry {
            id: Id::from_uuid(self.id),
            tenant_id: self.tenant_id.map(Id::from_uuid),
            actor: self.actor,
            address: self.address,
            action: self.action,
            subject: self.subject,
            before: json(self.before)?,
            after: json(self.after)?,
            created_at: UnixMs(self.created_at),
        })
    }
}

impl<'s> Scope<'s> {
    /// The same rows, with whoever acts on them: what is changed through this is noted in the audit log.
    #[must_use]
    pub fn acting(self, actor: &'s Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }

    /// Notes that somebody takes the dead letters of a filter away, as a file of this name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_export(&self, file: &str, filter: &DeadLetterFilter) -> Result<(), StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let after = noted(json!({ "filter": filter }));
        self.note(&mut tx, "dead_letter.export", file.to_owned(), Some(after)).await?;
        tx.commit().await
    }

    /// Notes what somebody does; nothing where a token acts.
    pub(super) async fn note(
        &self,
        tx: &mut Tx<'_>,
        action: &str,
        subject: String,
        change: impl Into<Change>,
    ) -> Result<(), StoreError> {
        let Some(actor) = self.actor else { return Ok(()) };
        let Change { before, after } = change.into();
        note(tx, Note { tenant: Some(self.tenant), actor, action, subject, before, after }).await
    }
}

/// What an action changed, without anything that is secret.
#[derive(Debug, Default)]
pub(super) struct Change {
    before: Option<Value>,
    after: Option<Value>,
}

impl From<Option<Value>> for Change {
    fn from(after: Option<Value>) -> Self {
        Self { before: None, after }
    }
}

impl From<(Option<Value>, Option<Value>)> for Change {
    fn from((before, after): (Option<Value>, Option<Value>)) -> Self {
        Self { before, after }
    }
}

/// An action to be noted in its transaction.
pub(super) struct Note<'a> {
    /// `None` for what belongs to the installation.
    pub(super) tenant: Option<Id<Tenant>>,
    pub(super) actor: &'a Actor,
    pub(super) action: &'a str,
    pub(super) subject: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

pub(super) async fn note(tx: &mut Tx<'_>, note: Note<'_>) -> Result<(), StoreError> {
    let Note { tenant, actor, action, subject, before, after } = note;
    let entry = AuditEntry {
        id: Id::new(),
        tenant_id: tenant,
        actor: actor.name.as_str().to_owned(),
        address: actor.address.to_string(),
        action: action.to_owned(),
        subject,
        before,
        after,
        created_at: UnixMs::now(),
    };
    insert(tx, &[entry]).await
}

pub(super) async fn insert(tx: &mut Tx<'_>, entries: &[AuditEntry]) -> Result<(), StoreError> {
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    let row = |entry: &AuditEntry| {
        vec![
            entry.id.into(),
            entry.tenant_id.into(),
            entry.actor.as_str().into(),
            entry.address.as_str().into(),
            entry.action.as_str().into(),
            entry.subject.as_str().into(),
            json(&entry.before).into(),
            json(&entry.after).into(),
            entry.created_at.into(),
        ]
    };
    for run in tx.dialect().runs(entries.iter().map(row).collect()) {
        let insert =
            sql("INSERT INTO audit_log (id, tenant_id, actor, address, action, subject, before, after, created_at) ");
        tx.execute(insert.rows(run)).await?;
    }
    Ok(())
}
