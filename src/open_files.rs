//! How many files and sockets this process may have open.

use postrider_core::config::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and sockets beside those of running jobs: the listener's connections, databases, logs.
const BESIDE_JOBS: u64 = 512;

/// Raises the soft limit, 1,024 on most systems, to the hard one: each running delivery is an open socket, and one that
/// cannot be opened would look like a receiver that fails.
pub(crate) fn raise_limit(settings: &Settings) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
        return warn_if_low(current, settings);
    }
    warn_if_low(maximum, settings);
}

fn warn_if_low(files_max: Option<u64>, settings: &Settings) {
    let needed = settings.worker_concurrency as u64 + BESIDE_JOBS;
    if let Some(files_max) = files_max.filter(|max| *max < needed) {
        tracing::warn!(
            files_max,
            needed,
            "too few files may be open for worker_concurrency; raise the limit (ulimit -n, LimitNOFILE) or lower it"
        );
    }
}
