//! How many files and sockets this process may have open.

use postrider_core::config::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and sockets beside those of running jobs and of callers: databases, logs, idle connections to receivers.
const BESIDE_JOBS: u64 = 512;
/// The part of all that callers have in any case, where the limit is too low for what the settings ask for.
const CALLERS_PART: u64 = 4;

/// Raises the soft limit, 1,024 on most systems, to the hard one: each running delivery is an open socket, and one that
/// cannot be opened would look like a receiver that fails. Gives how many callers may then be connected.
pub(crate) fn raise_limit(settings: &Settings) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(error) = &raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let files_max = raised.map_or(current, |()| maximum);
    warn_if_low(files_max, settings);
    callers_max(files_max, settings)
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

/// As many as the settings say, or fewer, so that callers alone cannot use up what deliveries and databases need.
fn callers_max(files_max: Option<u64>, settings: &Settings) -> usize {
    let Some(files_max) = files_max else { return settings.connections_max };
    let left = files_max.saturating_sub(settings.worker_concurrency as u64 + BESIDE_JOBS);
    let most = usize::try_from(left.max(files_max / CALLERS_PART)).unwrap_or(usize::MAX);
    settings.connections_max.min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_leave_files_for_deliveries_and_have_a_part_of_few() {
        let settings = Settings::load(None).unwrap();
        let (asked, slots) = (settings.connections_max, settings.worker_concurrency);
        let needed = slots as u64 + BESIDE_JOBS;
        assert_eq!(callers_max(None, &settings), asked);
        assert_eq!(callers_max(Some(1_000_000), &settings), asked);
        assert_eq!(callers_max(Some(needed + 1_000), &settings), 1_000);
        assert_eq!(callers_max(Some(1_024), &settings), 256);
    }
}
