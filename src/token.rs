//! `postrider token`: API tokens, straight in the database, for whoever has its password anyway.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use postrider_core::{
    config::Settings,
    domain::{
        Id, UnixMs,
        limits::PAGE_ROWS_MAX,
        line::{judge_line, visible},
        tenant::{DEFAULT_TENANT, Role, TenantSlug, Token},
        token_text::TokenText,
    },
    store::{Page, Store},
};

use crate::{first_start, logs};

#[derive(Args)]
pub(crate) struct TokenArgs {
    /// The tenant whose tokens they are.
    #[arg(long, global = true, env = "POSTRIDER_TENANT", default_value = DEFAULT_TENANT)]
    tenant: TenantSlug,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token and print its text, which is shown this once.
    Create {
        /// A name for people: 1 to 1024 characters, control characters not among them.
        name: String,
        /// What it may do: admin (everything of the tenant), operator (all but tokens), publisher (hand in events
        /// and jobs) or viewer (read).
        #[arg(long, default_value = "publisher")]
        role: Role,
        /// When it ends, as in 2027-01-31T00:00:00Z; without it, it does not end.
        #[arg(long, value_parser = parse_time)]
        expires_at: Option<UnixMs>,
    },
    /// List the tenant's tokens, newest first.
    List,
    /// Take a token out of use within two seconds.
    Revoke {
        /// The token's id, as `list` shows it.
        id: Id<Token>,
    },
}

fn parse_time(text: &str) -> Result<UnixMs, String> {
    UnixMs::parse(text).map_err(|error| error.to_string())
}

pub(crate) async fn run(settings: Settings, args: TokenArgs) -> anyhow::Result<()> {
    if let TokenCommand::Create { name, .. } = &args.command {
        judge_line(name).map_err(|refused| anyhow!("the token's name {refused}"))?;
    }
    // Somebody waits for the answer.
    let store = first_start::open_store(&settings, Duration::ZERO).await?;
    let done = act(&store, args).await;
    store.close().await;
    logs::say(&done?)
}

async fn act(store: &Store, args: TokenArgs) -> anyhow::Result<String> {
    store.default_tenant(UnixMs::now()).await?;
    let tenant =
        store.tenant_by_slug(&args.tenant).await?.with_context(|| format!("there is no tenant {}", args.tenant))?;
    let scope = store.tenant(tenant.id);
    match args.command {
        TokenCommand::Create { name, role, expires_at } => {
            let now = UnixMs::now();
            if expires_at.is_some_and(|end| end <= now) {
                bail!("--expires-at is in the past");
            }
            let token =
                Token { id: Id::new(), tenant_id: tenant.id, name, role: Some(role), expires_at, created_at: now };
            let text = TokenText::from_random(rand::random());
            scope.create_token(&token, &text.hash()).await?;
            Ok(text.reveal().to_owned())
        }
        TokenCommand::List => {
            let mut lines = vec![format!("{:<30}  {:<9}  {:<24}  {:<24}  NAME", "ID", "ROLE", "CREATED", "EXPIRES")];
            let mut page = Page { before: None, limit: PAGE_ROWS_MAX };
            loop {
                let listed = scope.tokens(&page).await?;
                lines.extend(listed.rows.iter().map(line));
                page.before = listed.next;
                if page.before.is_none() {
                    return Ok(lines.join("\n"));
                }
            }
        }
        TokenCommand::Revoke { id } => match scope.revoke_token(id).await? {
            true => Ok(format!("{id} is revoked.")),
            false => bail!("the tenant {} has no token {id}; `postrider token list` shows those it has", args.tenant),
        },
    }
}

fn line(token: &Token) -> String {
    let role = token.role.map_or("administrator", Role::as_str);
    let expires = token.expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string());
    format!(
        "{:<30}  {role:<9}  {:<24}  {expires:<24}  {}",
        token.id.to_string(),
        token.created_at.to_string(),
        visible(&token.name)
    )
}
