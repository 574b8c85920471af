//! People who use the dashboard: who they are, what they may do, and at which tenants.

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        tenant::Tenant,
        user::{Reach, User, UserName, UserRole},
    },
    store::{Changed, StoreError},
};
use rand::distr::{Alphanumeric, SampleString};

use crate::{
    Dashboard,
    fields::Fields,
    moment::Moment,
    page::{Frame, Refusal, Section, Shown, base, show},
    secret_once::{SecretPage, replaced_already, replaced_by},
    visit::{Deed, Visit},
};

/// Characters of a password that is made here: 119 bits.
const PASSWORD_CHARS: usize = 20;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/users", get(users).post(create))
        .route("/users/{name}/change", post(change))
        .route("/users/{name}/password", post(new_password))
        .route("/users/{name}/remove", post(remove))
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    frame: Frame,
    rows: Vec<Line>,
    roles: [&'static str; 3],
    every: bool,
}

struct Line {
    name: String,
    role: &'static str,
    every: bool,
    tenants: String,
    /// Slug, name, and whether the user sees it.
    choice: Vec<(String, String, bool)>,
    /// The rights that a change is made of.
    seen: String,
    made: Moment,
    /// Which password a new one would replace.
    password_at: i64,
    is_self: bool,
    may_change: bool,
}

async fn users(visit: Visit) -> Shown {
    if !visit.may(UserRole::Admin) {
        return Err(Refusal::Role(UserRole::Admin));
    }
    let users = visit.dashboard.store.users().await?;
    let seen = users.into_iter().filter(|user| visit.user.reach.covers(&user.reach) || shares(&visit, user));
    show(&UsersPage {
        rows: seen.map(|user| line(&visit, &user)).collect(),
        frame: Frame::of(&visit, Section::Users, "Users"),
        roles: UserRole::ALL.map(UserRole::as_str),
        every: visit.user.reach == Reach::Every,
    })
}

fn line(visit: &Visit, user: &User) -> Line {
    let sees = |tenant: &Tenant| user.reach.includes(tenant.id);
    let names: Vec<&str> =
        visit.tenants.iter().filter(|tenant| sees(tenant)).map(|tenant| tenant.name.as_str()).collect();
    Line {
        name: user.name.to_string(),
        role: user.role.as_str(),
        every: user.reach == Reach::Every,
        tenants: if user.reach == Reach::Every { "all".to_owned() } else { names.join(", ") },
        choice: visit
            .tenants
            .iter()
            .map(|tenant| (tenant.slug.to_string(), tenant.name.clone(), sees(tenant)))
            .collect(),
        seen: rights_of(user),
        made: Moment::of(user.created_at, visit.now),
        password_at: user.password_at.0,
        is_self: user.name == visit.user.name,
        may_change: visit.user.reach.covers(&user.reach),
    }
}

fn shares(visit: &Visit, user: &User) -> bool {
    user.reach != Reach::Every && visit.tenants.iter().any(|tenant| user.reach.includes(tenant.id))
}

async fn create(deed: Deed) -> Shown {
    deed.needs(UserRole::Admin)?;
    let Deed { visit, fields } = deed;
    let name: UserName = fields
        .text("name")
        .unwrap_or_default()
        .parse()
        .map_err(|error| Refusal::Bad(format!("{error}. Go back and mend it.")))?;
    let (role, reach, now) = (role(&fields)?, reach(&visit, &fields)?, UnixMs::now());
    let user = User { id: Id::new(), name, role, reach, password_at: now, created_at: now };
    let (password, hash) = password(&visit).await?;
    match visit.dashboard.store.create_user(&user, &hash, &visit.actor).await {
        Ok(()) => shown_once(&visit, &user.name, password),
        Err(StoreError::Exists(_)) => Err(taken(&visit, &user.name).await?),
        Err(error) => Err(error.into()),
    }
}

/// The answer to a name that cannot be had. Whose it is somebody is told who sees that user; names are unique across the
/// installation, and those of other tenants are no business of an administrator of one.
async fn taken(visit: &Visit, name: &UserName) -> Result<Refusal, Refusal> {
    let other = visit.dashboard.store.user(name).await?;
    let seen = other.is_some_and(|other| visit.user.reach.covers(&other.reach) || shares(visit, &other));
    Ok(Refusal::Conflict(match seen {
        true => format!(
            "There is a user {name} already. Where this form made it a moment ago and its password is lost, make a new \
            password for {name}; else go back and take another name."
        ),
        false => {
            format!("The name {name} cannot be used here. Go back and take another, an address for mail for example.")
        }
    }))
}

async fn change(Path((_, name)): Path<(String, String)>, deed: Deed) -> Shown {
    let (visit, fields, user) = of_another(deed, &name).await?;
    let asked = (role(&fields)?, reach(&visit, &fields)?);
    let seen = fields.text("seen");
    let judge = |now: &User| {
        // A form that is sent twice finds that it is done.
        let is_done = (now.role, &now.reach) == (asked.0, &asked.1);
        let is_seen = seen.is_none_or(|seen| seen == rights_of(now));
        (visit.user.reach.covers(&now.reach) && (is_seen || is_done)).then_some(asked)
    };
    match visit.dashboard.store.change_user(&user.name, &visit.actor, judge).await? {
        Changed::Done(_) => Ok(back(&visit).into_response()),
        Changed::NotFound => Err(Refusal::NotFound("user")),
        Changed::Refused => Err(refused(&visit, Refusal::stale(&format!("what {name} may do or see"))).await?),
    }
}

/// A user's rights as a form brings them back, by which a change knows whether they are still those that it was made of.
fn rights_of(user: &User) -> String {
    let tenants = match &user.reach {
        Reach::Every => "every".to_owned(),
        Reach::Some(tenants) => tenants.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    format!("{} {tenants}", user.role)
}

async fn new_password(Path((_, name)): Path<(String, String)>, deed: Deed) -> Shown {
    let (visit, fields, user) = of_another(deed, &name).await?;
    let set_at = replaced_by(&fields, |text| text.parse().ok().map(UnixMs))?;
    let (password, hash) = password(&visit).await?;
    match visit.dashboard.store.replace_password(&user.name, &hash, set_at, &visit.actor).await? {
        true => shown_once(&visit, &user.name, password),
        false => Err(replaced_already("password")),
    }
}

async fn remove(Path((_, name)): Path<(String, String)>, deed: Deed) -> Shown {
    let (visit, _, user) = of_another(deed, &name).await.map_err(Refusal::removed_already)?;
    match visit.dashboard.store.remove_user(&user.name, &visit.actor).await? {
        Changed::Done(_) => Ok(back(&visit).into_response()),
        Changed::NotFound => Err(Refusal::Removed("user")),
        Changed::Refused => Err(refused(&visit, Refusal::NotFound("user")).await?),
    }
}

/// Why a decision about somebody else was refused: whoever made it is no administrator any more, or `otherwise`.
async fn refused(visit: &Visit, otherwise: Refusal) -> Result<Refusal, Refusal> {
    let own = visit.dashboard.store.user(&visit.user.name).await?;
    let is_admin = own.is_some_and(|own| own.role.may(UserRole::Admin));
    Ok(if is_admin { otherwise } else { Refusal::Role(UserRole::Admin) })
}

/// Somebody else, whom the administrator may decide about: nobody locks oneself out.
async fn of_another(deed: Deed, name: &str) -> Result<(Visit, Fields, User), Refusal> {
    deed.needs(UserRole::Admin)?;
    let Deed { visit, fields } = deed;
    let known = match name.parse::<UserName>() {
        Ok(name) => visit.dashboard.store.user(&name).await?,
        Err(_) => None,
    };
    let user = known.filter(|user| visit.user.reach.covers(&user.reach)).ok_or(Refusal::NotFound("user"))?;
    if user.name == visit.user.name {
        let detail = "This is you: another administrator has to do it, or `postrider user` on the server.";
        return Err(Refusal::Conflict(detail.to_owned()));
    }
    Ok((visit, fields, user))
}

fn role(fields: &Fields) -> Result<UserRole, Refusal> {
    let role = fields.text("role").unwrap_or_default().parse();
    role.map_err(|error| Refusal::Bad(format!("{error}. Go back and choose one.")))
}

/// Tenants within what the administrator sees.
fn reach(visit: &Visit, fields: &Fields) -> Result<Reach, Refusal> {
    if fields.text("every").is_some() {
        return match visit.user.reach {
            Reach::Every => Ok(Reach::Every),
            Reach::Some(_) => Err(Refusal::Bad("You do not see all tenants, so you cannot give them all.".to_owned())),
        };
    }
    let mut chosen: Vec<Id<Tenant>> = fields
        .all("tenant")
        .filter_map(|slug| visit.tenants.iter().find(|tenant| tenant.slug.as_str() == slug).map(|tenant| tenant.id))
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    match chosen.is_empty() {
        true => Err(Refusal::Bad("No tenant is chosen, so the user would see nothing. Go back and choose.".to_owned())),
        false => Ok(Reach::Some(chosen)),
    }
}

async fn password(visit: &Visit) -> Result<(String, String), Refusal> {
    let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARS);
    let hash = visit.dashboard.passwords.hash(password.clone()).await;
    Ok((password, hash.map_err(|error| Refusal::Broken(error.to_string()))?))
}

fn shown_once(visit: &Visit, name: &UserName, password: String) -> Shown {
    show(&SecretPage {
        frame: Frame::of(visit, Section::Users, "Password"),
        title: format!("The password of {name}"),
        text: "Give it to them by a way that nobody else reads. It is not shown again; a new one can be made at any time.",
        secret: password,
        back: format!("{}/users", base(&visit.tenant)),
    })
}

fn back(visit: &Visit) -> Redirect {
    Redirect::to(&format!("{}/users", base(&visit.tenant)))
}
