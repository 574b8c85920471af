//! People who use the dashboard, with the tenants that they may see.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Store, StoreError,
    audit::{self, Note},
    changed::Changed,
    connect::soon,
    pool::Tx,
    sql::sql,
};
use crate::domain::{
    Id, UnixMs,
    tenant::Tenant,
    user::{Actor, Reach, User, UserName, UserRole},
};

/// What the audit log calls those who act and are no users.
const RESERVED: [&str; 2] = ["portal", "command-line"];
/// How many users were ever made.
const USERS_MADE: &str = "SELECT COUNT(*) FROM audit_log WHERE tenant_id IS NULL AND action = 'user.create'";
const PROXIED_USER: &str = "a user that a proxy has signed in";
/// Users of one installation; a list of all of them has a bound by that.
const USERS_MAX: u32 = 1_000;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    name: String,
    role: String,
    every_tenant: i64,
    password_at: i64,
    created_at: i64,
}

/// Of a table or join in which users are named `users`.
pub(super) const COLUMNS: &str =
    "users.id, users.name, users.role, users.every_tenant, users.password_at, users.created_at";

impl Row {
    pub(super) const fn has_every_tenant(&self) -> bool {
        self.every_tenant != 0
    }

    pub(super) fn id(&self) -> Id<User> {
        Id::from_uuid(self.id)
    }

    /// `tenants` are those of its own.
    pub(super) fn read(self, tenants: Vec<Id<Tenant>>) -> Result<User, StoreError> {
        let reach = if self.has_every_tenant() { Reach::Every } else { Reach::Some(tenants) };
        Ok(User {
            id: self.id(),
            name: self.name.parse().map_err(|error| StoreError::unreadable("user's name", error))?,
            role: self.role.parse().map_err(|error: String| StoreError::unreadable("user's role", error))?,
            reach,
            password_at: UnixMs(self.password_at),
            created_at: UnixMs(self.created_at),
        })
    }
}

impl Store {
    /// Keeps a user with the hash of a password.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken.
    pub async fn create_user(&self, user: &User, password: &str, actor: &Actor) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        insert(&mut tx, user, password).await?;
        let rights = rights(&mut tx, user).await?;
        note(&mut tx, actor, "user.create", &user.name, Some(rights)).await?;
        tx.commit().await
    }

    /// Keeps an installation's first user, made by whoever has `key`. False when it has users: somebody was faster.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn create_first_user(
        &self,
        user: &User,
        password: &str,
        key: &str,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        // Whoever comes at the same time waits here, and then sees this one.
        tx.execute(sql("UPDATE settings_clock SET epoch = epoch WHERE id = 1")).await?;
        if tx.fetch_one::<(i64,)>(sql("SELECT COUNT(*) FROM users")).await?.is_some_and(|(count,)| count > 0) {
            return Ok(false);
        }
        if !self.cipher.is_link(&first_user(tx.fetch_one(sql(USERS_MADE)).await?), key) {
            return Ok(false);
        }
        insert(&mut tx, user, password).await?;
        let rights = rights(&mut tx, user).await?;
        note(&mut tx, actor, "user.create", &user.name, Some(rights)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What proves, as long as there is no user, that whoever makes the first one reads this installation's log. With each user
    /// that is made it is another.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn first_user_key(&self) -> Result<String, StoreError> {
        Ok(self.cipher.sign_link(&first_user(self.pool.fetch_one(sql(USERS_MADE)).await?)))
    }

    /// Whether it makes the first user now: there is none, and none was made since it was shown.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_first_user_key(&self, key: &str) -> Result<bool, StoreError> {
        if self.has_users().await? {
            return Ok(false);
        }
        Ok(self.cipher.is_link(&first_user(self.pool.fetch_one(sql(USERS_MADE)).await?), key))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        Ok(self.pool.fetch_one::<(Uuid,)>(sql("SELECT id FROM users LIMIT 1")).await?.is_some())
    }

    /// The id and the password's hash of whoever signs in with this name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn password_of(&self, name: &UserName) -> Result<Option<(Id<User>, String)>, StoreError> {
        let select = sql("SELECT id, password FROM users").and(" WHERE name = ", name.as_str());
        let row: Option<(Uuid, String)> = soon(self.pool.fetch_one(select)).await?;
        Ok(row.map(|(id, password)| (Id::from_uuid(id), password)))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn user(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let select = sql("SELECT ").then(COLUMNS).and(" FROM users WHERE name = ", name.as_str());
        let Some(row): Option<Row> = soon(self.pool.fetch_one(select)).await? else { return Ok(None) };
        let tenants = self.tenants_of(vec![row.id()]).await?.remove(&row.id()).unwrap_or_default();
        row.read(tenants).map(Some)
    }

    /// What forms of a user are bound to whom a proxy has signed in.
    #[must_use]
    pub fn proxied_user_key(&self, name: &UserName) -> String {
        self.cipher.sign_link(&format!("{PROXIED_USER} {name}"))
    }

    /// All users by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let select = sql("SELECT ").then(COLUMNS).then(" FROM users ORDER BY name").and(" LIMIT ", USERS_MAX);
        let rows: Vec<Row> = self.pool.fetch(select).await?;
        let mut tenants = self.tenants_of(rows.iter().map(Row::id).collect()).await?;
        rows.into_iter()
            .map(|row| {
                let own = tenants.remove(&row.id()).unwrap_or_default();
                row.read(own)
            })
            .collect()
    }

    /// Replaces a password's hash, and signs the user out everywhere. False when there is no such user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn set_password(&self, name: &UserName, password: &str, actor: &Actor) -> Result<bool, StoreError> {
        self.change_password(name, password, None, actor).await
    }

    /// As [`Self::set_password`], and false too where the password is no longer the one that was set at `set_at`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_password(
        &self,
        name: &UserName,
        password: &str,
        set_at: UnixMs,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        self.change_password(name, password, Some(set_at), actor).await
    }

    async fn change_password(
        &self,
        name: &UserName,
        password: &str,
        set_at: Option<UnixMs>,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        // Two within a millisecond are told apart too.
        let now = set_at.map_or(UnixMs::now(), |set_at| UnixMs::now().max(UnixMs(set_at.0 + 1)));
        let mut tx = self.pool.begin().await?;
        let mut update = sql("UPDATE users SET password = ")
            .and("", password)
            .and(", password_at = ", now)
            .and(" WHERE name = ", name.as_str());
        if let Some(set_at) = set_at {
            update = update.and(" AND password_at = ", set_at);
        }
        let Some((id,)) = tx.fetch_one::<(Uuid,)>(update.then(" RETURNING id")).await? else { return Ok(false) };
        tx.execute(sql("DELETE FROM sessions").and(" WHERE user_id = ", id)).await?;
        note(&mut tx, actor, "user.set_password", name, None).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Gives a user the rights that `change` makes of those they have; `None` refuses, and so does an actor who may not decide
    /// about them now. What changes nothing is not noted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change_user(
        &self,
        name: &UserName,
        actor: &Actor,
        change: impl FnOnce(&User) -> Option<(UserRole, Reach)> + Send,
    ) -> Result<Changed<User>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let before = match locked(&mut tx, name, actor).await? {
            Changed::Done(before) => before,
            other => return Ok(other),
        };
        let Some((role, reach)) = change(&before) else { return Ok(Changed::Refused) };
        let after = User { role, reach, ..before.clone() };
        if after == before {
            return Ok(Changed::Done(after));
        }
        let update = sql("UPDATE users SET role = ")
            .and("", role.as_str())
            .and(", every_tenant = ", i64::from(after.reach == Reach::Every))
            .and(" WHERE id = ", after.id);
        tx.execute(update).await?;
        tx.execute(sql("DELETE FROM user_tenants").and(" WHERE user_id = ", after.id)).await?;
        insert_reach(&mut tx, &after).await?;
        let note = Note {
            tenant: None,
            actor,
            action: "user.change",
            subject: name.to_string(),
            before: Some(rights(&mut tx, &before).await?),
            after: Some(rights(&mut tx, &after).await?),
        };
        audit::note(&mut tx, note).await?;
        tx.commit().await?;
        Ok(Changed::Done(after))
    }

    /// Removes a user, who is signed out everywhere.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn remove_user(&self, name: &UserName, actor: &Actor) -> Result<Changed<User>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let removed = locked(&mut tx, name, actor).await?;
        if let Changed::Done(user) = &removed {
            tx.execute(sql("DELETE FROM users").and(" WHERE id = ", user.id)).await?;
            note(&mut tx, actor, "user.remove", name, None).await?;
            tx.commit().await?;
        }
        Ok(removed)
    }

    /// The tenants that a user may see, by slug.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tenants_in_reach(&self, reach: &Reach) -> Result<Vec<Tenant>, StoreError> {
        let ids = match reach {
            Reach::Every => None,
            Reach::Some(tenants) => Some(tenants.as_slice()),
        };
        self.tenants_by_slug(ids).await
    }

    /// The tenants of these users who do not have all.
    pub(super) async fn tenants_of(
        &self,
        users: Vec<Id<User>>,
    ) -> Result<HashMap<Id<User>, Vec<Id<Tenant>>>, StoreError> {
        let select =
            sql("SELECT user_id, tenant_id FROM user_tenants WHERE user_id").any(users).then(" ORDER BY tenant_id");
        let mut tenants: HashMap<_, Vec<_>> = HashMap::new();
        for (user, tenant) in self.pool.fetch::<(Uuid, Uuid)>(select).await? {
            tenants.entry(Id::from_uuid(user)).or_default().push(Id::from_uuid(tenant));
        }
        Ok(tenants)
    }
}

/// A user as they are until the transaction ends, where `actor` may decide about them.
///
/// Whoever removes an administrator or changes one waits for others who do, and is still one after that: of two who remove each
/// other at the same moment one stays. Nobody decides about somebody who sees more, so one who sees all stays where one was.
async fn locked(tx: &mut Tx<'_>, name: &UserName, actor: &Actor) -> Result<Changed<User>, StoreError> {
    let lock = tx.for_update();
    let select = sql("SELECT ")
        .then(COLUMNS)
        .and(" FROM users WHERE role = ", UserRole::Admin.as_str())
        .and(" OR name = ", name.as_str())
        .then(" ORDER BY id")
        .then(lock);
    let rows: Vec<Row> = tx.fetch(select).await?;
    let (mut user, mut admin) = (None, None);
    for row in rows.into_iter().filter(|row| row.name == name.as_str() || row.name == actor.name.as_str()) {
        let own =
            sql("SELECT tenant_id FROM user_tenants").and(" WHERE user_id = ", row.id()).then(" ORDER BY tenant_id");
        let tenants: Vec<(Uuid,)> = tx.fetch(own).await?;
        let read = row.read(tenants.into_iter().map(|(id,)| Id::from_uuid(id)).collect())?;
        if read.name == actor.name {
            admin = Some(read.clone());
        }
        if read.name == *name {
            user = Some(read);
        }
    }
    let Some(user) = user else { return Ok(Changed::NotFound) };
    let is_user = !RESERVED.contains(&actor.name.as_str());
    let may = admin.is_some_and(|admin| admin.role.may(UserRole::Admin) && admin.reach.covers(&user.reach));
    Ok(if may || !is_user { Changed::Done(user) } else { Changed::Refused })
}

/// What the link means by which an installation's first user is made, after so many that are gone.
fn first_user(made: Option<(i64,)>) -> String {
    format!("first user after {}", made.map_or(0, |(made,)| made))
}

async fn insert(tx: &mut Tx<'_>, user: &User, password: &str) -> Result<(), StoreError> {
    if RESERVED.contains(&user.name.as_str()) {
        return Err(StoreError::Exists("a user with this name".into()));
    }
    let every = i64::from(user.reach == Reach::Every);
    let insert = sql("INSERT INTO users (id, name, password, role, every_tenant, password_at, created_at) VALUES (")
        .list(vec![
            user.id.into(),
            user.name.as_str().into(),
            password.into(),
            user.role.as_str().into(),
            every.into(),
            user.password_at.into(),
            user.created_at.into(),
        ])
        .then(")");
    tx.execute(insert).await.map_err(|error| error.or_exists("a user with this name"))?;
    insert_reach(tx, user).await
}

async fn insert_reach(tx: &mut Tx<'_>, user: &User) -> Result<(), StoreError> {
    if let Reach::Some(tenants) = &user.reach
        && !tenants.is_empty()
    {
        let rows = tenants.iter().map(|tenant| vec![user.id.into(), (*tenant).into()]).collect();
        tx.execute(sql("INSERT INTO user_tenants (user_id, tenant_id) ").rows(rows)).await?;
    }
    Ok(())
}

/// What a user may do and see; tenants by the slugs that people know them by.
async fn rights(tx: &mut Tx<'_>, user: &User) -> Result<Value, StoreError> {
    let tenants: Option<Vec<String>> = match &user.reach {
        Reach::Every => None,
        Reach::Some(tenants) => {
            let select = sql("SELECT slug FROM tenants WHERE id").any(tenants.iter().copied()).then(" ORDER BY slug");
            Some(tx.fetch::<(String,)>(select).await?.into_iter().map(|(slug,)| slug).collect())
        }
    };
    Ok(json!({ "role": user.role.as_str(), "every_tenant": user.reach == Reach::Every, "tenants": tenants }))
}

async fn note(
    tx: &mut Tx<'_>,
    actor: &Actor,
    action: &str,
    subject: &UserName,
    after: Option<Value>,
) -> Result<(), StoreError> {
    let note = Note { tenant: None, actor, action, subject: subject.to_string(), before: None, after };
    audit::note(tx, note).await
}
