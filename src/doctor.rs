//! `postrider doctor`: what is wrong with this installation, and what to do about it. It changes nothing: what a first
//! start would make is not there afterwards.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::bail;
use postrider_core::{
    config::Settings,
    domain::site::place::SitesPlace,
    site::Does,
    store::{Inspection, Store, StoreError, Tables},
};

use crate::{connections, first_start, logs};

const DEADLINE: Duration = Duration::from_secs(10);
/// With tries of a request that fails.
const STORAGE_DEADLINE: Duration = Duration::from_secs(30);
/// A clock before this one (2025-01-01) was never set.
const CLOCK_MS_MIN: i64 = 1_735_689_600_000;

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    /// `Err` says what is wrong and what to do.
    state: Result<String, String>,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let inspected = inspect(&settings).await;
    let mut findings = vec![
        Finding { what: "settings", state: check_settings() },
        Finding { what: "data folder", state: check_data_dir(&settings) },
        Finding { what: "key", state: check_key(&settings, inspected.as_ref().ok()) },
        Finding { what: "database", state: check_database(&settings, &inspected) },
        Finding { what: "queue", state: check_queue(&settings).await },
        Finding { what: "sites", state: check_sites(&settings).await },
        Finding { what: "clock", state: check_clock() },
    ];
    findings.extend(check_mail(&settings).await);
    findings.extend(check_egress(&settings));
    let bad = findings.iter().filter(|finding| finding.state.is_err()).count();
    for finding in findings {
        match finding.state {
            Ok(words) => logs::say(&format!("ok    {:<12} {words}", finding.what))?,
            Err(words) => logs::say(&format!("WRONG {:<12} {words}", finding.what))?,
        }
    }
    if bad > 0 {
        bail!("{bad} of these have to be mended");
    }
    Ok(())
}

fn check_settings() -> Result<String, String> {
    let unknown = Settings::unknown_variables();
    if unknown.is_empty() {
        return Ok("every variable that begins with POSTRIDER_ is known".to_owned());
    }
    Err(format!("{} means nothing to Postrider; `postrider config` lists what does", unknown.join(", ")))
}

fn check_data_dir(settings: &Settings) -> Result<String, String> {
    let path = &settings.data_dir;
    let shown = path.display();
    let unfit = |place: &Path, error: io::Error| {
        format!("{} cannot be written to: {error}; set data_dir to a folder that can", place.display())
    };
    let Ok(about) = fs::metadata(path) else {
        let parent = parent_there(path);
        probe(&parent).map_err(|error| unfit(&parent, error))?;
        return Ok(format!("{shown} will be made at the first start"));
    };
    if !about.is_dir() {
        return Err(format!("{shown} is no folder; set data_dir to one, or to where one can be made"));
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{shown} has mode {mode:03o}, so others can read secrets there; run `chmod 700 {shown}`"));
    }
    probe(path).map_err(|error| unfit(path, error))?;
    Ok(format!("{shown}, for its owner only"))
}

/// The nearest folder above a path that exists.
fn parent_there(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).find(|above| above.is_dir());
    above.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Whether a file can be made in the folder. It is removed again.
fn probe(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".postrider-doctor-{:016x}", rand::random::<u64>()));
    OpenOptions::new().write(true).create_new(true).open(&file)?;
    fs::remove_file(file)
}

fn check_key(settings: &Settings, inspection: Option<&Inspection>) -> Result<String, String> {
    let file = first_start::key_file(settings);
    let cipher = first_start::present_cipher(settings).map_err(|error| format!("{error:#}"))?;
    let missing = inspection.map(|inspection| inspection.missing_keys(cipher.as_ref())).unwrap_or_default();
    if !missing.is_empty() {
        return Err(first_start::missing_keys(settings, &missing));
    }
    let state = match cipher {
        None => format!("{} will be made at the first start", file.display()),
        Some(_) if settings.encryption_key.is_some() => "the setting encryption_key has it".to_owned(),
        Some(_) => format!("{} has it; back it up with the database", file.display()),
    };
    Ok(state)
}

async fn inspect(settings: &Settings) -> Result<Inspection, String> {
    let url = settings.database_url();
    let shown = first_start::hide_password(&url);
    match tokio::time::timeout(DEADLINE, Store::inspect(&url)).await {
        Ok(Ok(inspection)) => Ok(inspection),
        // They name the database and the setting themselves.
        Ok(Err(error @ (StoreError::Configuration(_) | StoreError::Unreachable(_)))) => Err(error.to_string()),
        Ok(Err(error)) => Err(format!(
            "{shown}: {error}; check the setting database_url, and its user's rights where it is a server's"
        )),
        Err(_) => Err(format!("{shown} does not answer within 10 s; is it overloaded, or is the line to it?")),
    }
}

fn check_database(settings: &Settings, inspected: &Result<Inspection, String>) -> Result<String, String> {
    let inspection = inspected.as_ref().map_err(Clone::clone)?;
    let url = settings.database_url();
    let shown = first_start::hide_password(&url);
    if !inspection.makes_tables && matches!(inspection.tables, Tables::None | Tables::Behind) {
        return Err(format!(
            "{shown} does not let its user make tables; run `GRANT CREATE ON SCHEMA public TO` that user there, or \
             name the database's owner in the setting database_url"
        ));
    }
    match inspection.tables {
        Tables::UpToDate => writable(&url).map(|()| format!("{shown} answers and its tables are up to date")),
        Tables::Behind => writable(&url)
            .map(|()| format!("{shown} answers; the next start, or `postrider migrate`, brings its tables up to date")),
        Tables::None => writable(&url).map(|()| format!("{shown} has no tables yet; the first start makes them")),
        Tables::Foreign => {
            Err(format!("{shown} has tables of another version of Postrider; run that version, or restore its backup"))
        }
    }
}

/// Whether a SQLite file can be written to, or made where there is none.
fn writable(url: &str) -> Result<(), String> {
    let Some(path) = url.strip_prefix("sqlite://").map(Path::new) else { return Ok(()) };
    let written = match path.exists() {
        true => OpenOptions::new().append(true).open(path).and_then(|_| probe(&parent_there(path))),
        false => probe(&parent_there(path)),
    };
    let words = "cannot be written to, or its folder cannot";
    written.map_err(|error| format!("{} {words}: {error}; set database_url to a file that can", path.display()))
}

async fn check_queue(settings: &Settings) -> Result<String, String> {
    let queue = match connections::redis_queue(settings) {
        Ok(Some(queue)) => queue,
        Ok(None) => return Ok("inside the process".to_owned()),
        Err(error) => return Err(format!("{error:#}")),
    };
    let place = connections::queue_place(settings);
    // Asked of each shard, and a write: a replica and a cluster with a part missing answer a ping as well. It leaves no
    // more than the epoch's name, where Redis is empty and no process of this installation runs.
    match tokio::time::timeout(DEADLINE, queue.epoch()).await {
        Ok(Ok(_)) => Ok(format!("{place} answers and does as it is told")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{place} does not answer within 10 s; is it running, and may this machine reach it?")),
    }
}

/// A file is written to a bucket and removed again; a folder is looked at as the data folder is.
async fn check_sites(settings: &Settings) -> Result<String, String> {
    let place = settings.sites_place().map_err(|error| error.to_string())?;
    if let SitesPlace::Folder(folder) = &place {
        let there = if folder.is_dir() { folder.clone() } else { parent_there(folder) };
        let unfit =
            |error| format!("{} cannot be written to: {error}; set sites_url to a place that can", there.display());
        return probe(&there).map(|()| format!("public files lie in {place}")).map_err(unfit);
    }
    let storage = connections::storage(settings).map_err(|error| format!("{error:#}"))?;
    match tokio::time::timeout(STORAGE_DEADLINE, storage.check(Does::Write)).await {
        Ok(Ok(())) => Ok(format!("{place} gives back what is written to it")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{place} does not answer within 30 s; is it up, and is AWS_ENDPOINT_URL its address?")),
    }
}

fn check_clock() -> Result<String, String> {
    let now = postrider_core::domain::UnixMs::now();
    if now.0 < CLOCK_MS_MIN {
        return Err(format!("it says {now}; signatures carry the time, so set it and keep it with NTP"));
    }
    Ok(format!("{now}; receivers refuse signatures that are more than minutes off, so keep it with NTP"))
}

/// Connects to the mail server, and sends nothing.
async fn check_mail(settings: &Settings) -> Vec<Finding> {
    let mailer = match connections::mailer(settings) {
        Ok(Some(mailer)) => mailer,
        Ok(None) => {
            let words = "nobody is told anything by it; smtp_url and smtp_from change that".to_owned();
            return vec![Finding { what: "e-mail", state: Ok(words) }];
        }
        Err(error) => return vec![Finding { what: "e-mail", state: Err(format!("{error:#}")) }],
    };
    let place = mailer.place();
    let server = match tokio::time::timeout(DEADLINE, mailer.greet()).await {
        Ok(Ok(())) => Ok(format!("{place} answers and lets us in")),
        Ok(Err(error)) => Err(format!("{place}: {error}; check the setting smtp_url")),
        Err(_) => Err(format!("{place} does not answer within 10 s; is it up, and does smtp_url name it?")),
    };
    let signed = match mailer.signer() {
        Some(signer) => format!("signed for {}, whose DNS has to have: {}", signer.domain(), signer.record()),
        None => "e-mail is not signed here; dkim_key_file and dkim_selector change that".to_owned(),
    };
    vec![Finding { what: "e-mail", state: server }, Finding { what: "DKIM", state: Ok(signed) }]
}

fn check_egress(settings: &Settings) -> Vec<Finding> {
    let client = match connections::way_out(settings) {
        Ok(_) => Ok("names can be resolved and certificates are there".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    };
    let allowed: Vec<String> = settings.egress_allow.iter().map(ToString::to_string).collect();
    let networks = match allowed.is_empty() {
        true => "only public addresses can be delivered to; egress_allow widens that".to_owned(),
        false => format!("public addresses and {} can be delivered to", allowed.join(", ")),
    };
    vec![Finding { what: "way out", state: client }, Finding { what: "networks", state: Ok(networks) }]
}
