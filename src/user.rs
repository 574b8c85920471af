//! `postrider user`: who may use the dashboard, straight in the database, for whoever has its password anyway.

use std::{io::Read, net::IpAddr, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use postrider_core::{
    config::Settings,
    domain::{
        Id, UnixMs,
        tenant::TenantSlug,
        user::{Actor, Reach, User, UserName, UserRole, judge_password},
    },
    store::{Changed, Store},
};
use postrider_dashboard::password_hash;
use rand::distr::{Alphanumeric, SampleString};

use crate::{first_start, logs};

/// Characters of a password that is made here: 119 bits.
const PASSWORD_CHARS: usize = 20;
/// Who acts on the command line, in the audit log.
const ACTOR: &str = "command-line";

#[derive(Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Make a user, and print the password, which is shown this once.
    Create {
        /// What the user signs in with: 1 to 64 of a-z, 0-9 and .-_@+, an address for mail for example.
        name: UserName,
        /// What the user may do: viewer (see), operator (replay, discard, pause, change endpoints) or admin (users and
        /// tokens too).
        #[arg(long, default_value = "viewer")]
        role: UserRole,
        /// A tenant that the user may see; several where it is given several times, all tenants without it.
        #[arg(long = "tenant", value_name = "SLUG")]
        tenants: Vec<TenantSlug>,
        /// Take the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Replace a user's password, and sign the user out everywhere.
    Password {
        name: UserName,
        /// Take the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users by name.
    List,
    /// Remove a user, who is signed out everywhere.
    Remove { name: UserName },
}

pub(crate) async fn run(settings: Settings, args: UserArgs) -> anyhow::Result<()> {
    // Somebody waits for the answer.
    let store = first_start::open_store(&settings, Duration::ZERO).await?;
    let done = act(&store, args.command).await;
    store.close().await;
    logs::say(&done?)
}

async fn act(store: &Store, command: UserCommand) -> anyhow::Result<String> {
    let actor = Actor { name: ACTOR.parse()?, address: IpAddr::from([127, 0, 0, 1]) };
    match command {
        UserCommand::Create { name, role, tenants, password_stdin } => {
            let now = UnixMs::now();
            store.default_tenant(now).await?;
            let reach = reach(store, &tenants).await?;
            let (password, said) = password(password_stdin)?;
            let user = User { id: Id::new(), name, role, reach, password_at: now, created_at: now };
            store.create_user(&user, &password_hash(&password)?, &actor).await?;
            Ok(said.unwrap_or_else(|| format!("{} is a user.", user.name)))
        }
        UserCommand::Password { name, password_stdin } => {
            let (password, said) = password(password_stdin)?;
            match store.set_password(&name, &password_hash(&password)?, &actor).await? {
                true => Ok(said.unwrap_or_else(|| format!("{name} has this password now."))),
                false => bail!("there is no user {name}; `postrider user list` shows those that there are"),
            }
        }
        UserCommand::List => list(store).await,
        UserCommand::Remove { name } => match store.remove_user(&name, &actor).await? {
            Changed::Done(_) if store.has_users().await? => Ok(format!("{name} is removed.")),
            Changed::Done(_) => Ok(format!(
                "{name} is removed, and was the last user. Make another with `postrider user create NAME --role admin`, or \
                start the server again: its log shows the link that makes the first user."
            )),
            Changed::NotFound | Changed::Refused => {
                bail!("there is no user {name}; `postrider user list` shows those that there are")
            }
        },
    }
}

async fn reach(store: &Store, slugs: &[TenantSlug]) -> anyhow::Result<Reach> {
    if slugs.is_empty() {
        return Ok(Reach::Every);
    }
    let mut tenants = Vec::new();
    for slug in slugs {
        let tenant = store.tenant_by_slug(slug).await?.with_context(|| format!("there is no tenant {slug}"))?;
        if !tenants.contains(&tenant.id) {
            tenants.push(tenant.id);
        }
    }
    Ok(Reach::Some(tenants))
}

/// The password, and what is to be printed where it is made here.
fn password(from_stdin: bool) -> anyhow::Result<(String, Option<String>)> {
    if !from_stdin {
        let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARS);
        return Ok((password.clone(), Some(password)));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("the password cannot be read from standard input")?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    judge_password(&password).map_err(|refused| anyhow!("the password {refused}"))?;
    Ok((password, None))
}

async fn list(store: &Store) -> anyhow::Result<String> {
    let mut lines = vec![format!("{:<30}  {:<8}  {:<24}  TENANTS", "NAME", "ROLE", "CREATED")];
    for user in store.users().await? {
        let tenants = match &user.reach {
            Reach::Every => "all".to_owned(),
            reach => {
                let tenants = store.tenants_in_reach(reach).await?;
                tenants.iter().map(|tenant| tenant.slug.as_str()).collect::<Vec<_>>().join(", ")
            }
        };
        let (name, created) = (user.name.to_string(), user.created_at.to_string());
        lines.push(format!("{name:<30}  {:<8}  {created:<24}  {tenants}", user.role.as_str()));
    }
    Ok(lines.join("\n"))
}
