//! `postrider site check-links`: whether redirect rules leave each page where its address says it is, for a deployment's
//! pipeline. Reads files alone: no server, no database.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use postrider_core::domain::site::{
    permalink::Permalink,
    preflight::{Finding, Found, Level, judge_page, judge_rules},
    redirects::Redirects,
};

use super::report;
use crate::logs;

#[derive(Args)]
pub(super) struct CheckLinksArgs {
    /// The site's redirect rules.
    #[arg(long, value_name = "FILE")]
    redirects: PathBuf,
    /// The addresses of its pages, one a line; - reads them from standard input.
    #[arg(long, value_name = "FILE")]
    pages: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The least that makes the command fail.
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    fail_on: FailOn,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each finding.
    Text,
    /// One document.
    Json,
    /// SARIF 2.1.0, as code hosts show it beside the rules.
    Sarif,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}

impl FailOn {
    fn is_met(self, level: Level) -> bool {
        match self {
            Self::Error => level >= Level::Error,
            Self::Warning => level >= Level::Warning,
            Self::Note => true,
            Self::Never => false,
        }
    }
}

/// Files that cannot be used, so that nothing was tried: no pipeline is to take that for findings.
#[derive(Debug)]
pub(crate) struct Unusable(anyhow::Error);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Unusable {}

pub(super) fn run(args: &CheckLinksArgs) -> anyhow::Result<()> {
    let (rules, pages) = given(args).map_err(Unusable)?;
    let mut findings = judge_rules(&rules);
    let addresses: Vec<&str> = addresses(&pages).collect();
    findings.extend(addresses.iter().flat_map(|address| judge_address(&rules, address)));
    let count = addresses.len() as u64;
    let told = match args.format {
        Format::Text => report::text(&findings, &args.redirects, count, rules.rules().len()),
        Format::Json => report::json(&findings, count, rules.rules().len())?,
        Format::Sarif => report::sarif(&findings, &args.redirects)?,
    };
    logs::say(&told)?;
    match findings.iter().filter(|finding| args.fail_on.is_met(finding.what.level())).count() {
        0 => Ok(()),
        1 => bail!("1 of these has to be mended before the rules are put into service"),
        bad => bail!("{bad} of these have to be mended before the rules are put into service"),
    }
}

/// The rules, and a text with an address at least.
fn given(args: &CheckLinksArgs) -> anyhow::Result<(Redirects, String)> {
    let (rules, pages) = (rules(&args.redirects)?, read(&args.pages)?);
    if addresses(&pages).next().is_none() {
        bail!("{} has no address, so nothing was tried; write one a line", args.pages.display());
    }
    Ok((rules, pages))
}

fn addresses(pages: &str) -> impl Iterator<Item = &str> {
    pages.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn rules(path: &Path) -> anyhow::Result<Redirects> {
    Redirects::parse(&read(path)?).map_err(|refused| {
        let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{} has lines that are no rules: {}", path.display(), refused.join("; "))
    })
}

fn judge_address(rules: &Redirects, address: &str) -> Vec<Finding> {
    let why = match Permalink::parse(address) {
        Ok(page) => return judge_page(rules, &page),
        Err(error) => error.to_string(),
    };
    vec![Finding { what: Found::Refused { why }, line: None, path: address.to_owned() }]
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
