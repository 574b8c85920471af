//! `postrider serve --demo`: a server with something to look at. Owns what differs from a usual start; its receivers and its
//! traffic are files of their own.

mod receivers;
mod traffic;

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use ipnet::IpNet;
use postrider_core::{
    config::Settings,
    domain::{
        Id, UnixMs,
        egress::{EgressPolicy, EndpointUrl},
        endpoint::EndpointSettings,
        retry::RetrySchedule,
        signature::SigningSecret,
        tenant::Tenant,
        user::{Actor, Reach, User, UserName, UserRole},
    },
    store::{Page, Store},
};
use postrider_dashboard::password_hash;
use rand::distr::{Alphanumeric, SampleString};
use tokio_util::sync::CancellationToken;

use self::receivers::Receivers;
use crate::serve;

const USER: &str = "demo";
/// Characters of the password and the token.
const SECRET_CHARS: usize = 20;
/// What the descriptions of its endpoints begin with, by which those of an earlier start are found.
const MARK: &str = "Demo:";
/// So short that what fails is a dead letter within a quarter of a minute.
const RETRIES_S: [f64; 3] = [1.0, 3.0, 8.0];
const ENDPOINTS_MAX: u32 = 250;

/// What a server has that shows itself.
pub(crate) struct Demo {
    password: String,
    token: String,
    /// Made for this start, and removed after it.
    folder: Option<PathBuf>,
}

/// Where it takes place.
pub(crate) struct Stage {
    pub(crate) store: Store,
    pub(crate) tenant: Tenant,
    pub(crate) address: SocketAddr,
    pub(crate) policy: EgressPolicy,
}

pub(crate) async fn run(mut settings: Settings) -> anyhow::Result<()> {
    let secret = || Alphanumeric.sample_string(&mut rand::rng(), SECRET_CHARS);
    let folder = own_folder(&mut settings)?;
    settings.egress_allow.push("127.0.0.0/8".parse::<IpNet>()?);
    let token = settings.admin_token.get_or_insert_with(secret).clone();
    let served = serve::run_demo(settings, Demo { password: secret(), token, folder: folder.clone() }).await;
    if let Some(folder) = folder {
        fs::remove_dir_all(&folder).with_context(|| format!("the folder {} cannot be removed", folder.display()))?;
    }
    served
}

/// A folder for this start alone, where the settings name no place for the data.
fn own_folder(settings: &mut Settings) -> anyhow::Result<Option<PathBuf>> {
    let usual = Settings::usual_data_dir();
    if settings.data_dir != usual || settings.database_url.is_some() {
        return Ok(None);
    }
    let name = format!("postrider-demo-{}", Alphanumeric.sample_string(&mut rand::rng(), 10));
    let folder = std::env::temp_dir().join(name);
    settings.data_dir.clone_from(&folder);
    Ok(Some(folder))
}

impl Demo {
    /// Makes who signs in. One of an earlier start gets the new password.
    pub(crate) async fn admit(&self, store: &Store) -> anyhow::Result<()> {
        let name: UserName = USER.parse()?;
        let (actor, hash) =
            (Actor { name: name.clone(), address: [127, 0, 0, 1].into() }, password_hash(&self.password)?);
        if !store.set_password(&name, &hash, &actor).await? {
            let now = UnixMs::now();
            let user = User {
                id: Id::new(),
                name,
                role: UserRole::Admin,
                reach: Reach::Every,
                password_at: now,
                created_at: now,
            };
            store.create_user(&user, &hash, &actor).await?;
        }
        Ok(())
    }

    /// What is said of it at the start.
    pub(crate) fn words(&self) -> Vec<String> {
        let data = match &self.folder {
            Some(folder) => format!("in {}, removed at the end", folder.display()),
            None => "where the settings say".to_owned(),
        };
        vec![
            String::new(),
            "This is a demo: receivers inside this process do well, fail, dawdle or are gone, and events come by themselves."
                .to_owned(),
            format!("  Sign in    as {USER} with the password {}", self.password),
            format!("  Token      {}", self.token),
            format!("  Data       {data}"),
        ]
    }

    /// Goes on until `stop`.
    pub(crate) async fn run(self, stage: Stage, stop: CancellationToken) -> anyhow::Result<()> {
        let receivers = Receivers::start().await?;
        subscribe(&stage, &receivers).await?;
        let traffic = traffic::run(&stage, &receivers, self.token);
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = traffic => ended,
        }
    }
}

/// Makes the endpoints, in place of those that an earlier start made.
async fn subscribe(stage: &Stage, receivers: &Receivers) -> anyhow::Result<()> {
    let (scope, now) = (stage.store.tenant(stage.tenant.id), UnixMs::now());
    for old in scope.endpoints(&Page { before: None, limit: ENDPOINTS_MAX }).await?.rows {
        if old.settings.description.starts_with(MARK) {
            scope.delete_endpoint(old.id, now).await?;
        }
    }
    for (url, description, types) in receivers.subscriptions() {
        let url = EndpointUrl::parse(&url, &stage.policy)?;
        let settings = EndpointSettings {
            description: format!("{MARK} {description}"),
            event_types: types.iter().map(|kind| kind.parse()).collect::<Result<_, _>>()?,
            timeout_ms: u32::try_from(Duration::from_secs(5).as_millis())?,
            ..EndpointSettings::new(url, RetrySchedule::from_seconds(&RETRIES_S)?)
        };
        scope.create_endpoint(&settings, &SigningSecret::from_random(rand::random()), now).await?;
    }
    Ok(())
}
