//! `postrider site`: sites whose addresses, sitemaps and feeds are looked after.

mod check_links;
pub(crate) mod import;
mod lint;
mod report;

pub(crate) use check_links::Unusable;
use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct SiteArgs {
    #[command(subcommand)]
    command: SiteCommand,
}

#[derive(Subcommand)]
enum SiteCommand {
    /// Try each page's address, in each spelling that browsers and programs make of it, against redirect rules.
    ///
    /// Rules are lines of `exact|prefix|regex FROM TO`, in the order in which the server tries them; # begins a comment, and
    /// $1 in TO is what a pattern's first group matched. Paths are compared as servers compare them: their codes decoded
    /// once. No server has to run, and nothing is changed.
    ///
    /// Ends with 1 where a finding is as bad as --fail-on says, and with 2 where the files cannot be used, so that nothing was
    /// tried: one cannot be read, a line is no rule, or there is no address.
    CheckLinks(check_links::CheckLinksArgs),
    /// Put a site's pages in place of what was there: any number of them, from a file with a page a line.
    ///
    /// Pages with the same keys are replaced, all others stay. The same import again changes nothing.
    Import(import::ImportArgs),
    /// Say what a partner would refuse of a language's newest items, by the rules that it has published.
    ///
    /// Fails where it would refuse anything, so that a pipeline can ask.
    Lint(lint::LintArgs),
}

pub(crate) async fn run(args: SiteArgs) -> anyhow::Result<()> {
    match args.command {
        SiteCommand::CheckLinks(args) => check_links::run(&args),
        SiteCommand::Import(args) => import::run(args).await,
        SiteCommand::Lint(args) => lint::run(args).await,
    }
}
