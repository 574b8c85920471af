//! Which jobs run now: SQL knows them as pending, the queue alone knows which are leased. So here both are asked.

use crate::{
    domain::{
        Id, UnixMs,
        job::{Job, JobView},
        lane::LaneKey,
        limits::PAGE_ROWS_DEFAULT,
    },
    queue::Queue,
    store::{JobDetail, JobFilter, Listed, Page, Scope, StoreError},
};

/// Pages of SQL that one page of running or queued jobs is gathered from at most.
const PAGES_READ_MAX: u32 = 40;

/// A job, and whether it runs now.
pub type Seen = (JobDetail, bool);

/// Which jobs run now. When the queue does not answer, none is shown as running.
pub async fn running(queue: &Queue, jobs: &[(LaneKey, Id<Job>)]) -> Vec<bool> {
    told_running(queue, jobs).await.unwrap_or_else(|| vec![false; jobs.len()])
}

/// Jobs by filter, newest first, and which of them run. A page that is shorter than its limit and has a next one was cut
/// off by what may be looked at.
///
/// # Errors
/// When the database does not answer.
pub async fn jobs_seen(
    scope: &Scope<'_>,
    queue: &Queue,
    filter: &JobFilter,
    page: Page<Job>,
) -> Result<Listed<Seen, Job>, StoreError> {
    let wanted = match filter.state {
        Some(JobView::Running) => true,
        Some(JobView::Queued) => false,
        _ => {
            let Listed { rows, next } = scope.jobs(filter, &page, UnixMs::now()).await?;
            let runs = running(queue, &keys(&rows)).await;
            return Ok(Listed { rows: rows.into_iter().zip(runs).collect(), next });
        }
    };
    // SQL cannot tell those that run from those that wait, so its pages are read until the page is full, or enough was
    // looked at; the next page then goes on from there.
    let limit = page.limit as usize;
    let mut sql_page = Page { limit: page.limit.max(PAGE_ROWS_DEFAULT), ..page };
    let mut found: Vec<Seen> = Vec::new();
    for _ in 0..PAGES_READ_MAX {
        let Listed { rows, next } = scope.jobs(filter, &sql_page, UnixMs::now()).await?;
        let cut_off = rows.len() < sql_page.limit as usize;
        let runs = told_running(queue, &keys(&rows)).await;
        // A queue that does not answer would not answer for the next page either, and would take its time over it.
        let last = next.is_none() || runs.is_none() || cut_off;
        let runs = runs.unwrap_or_else(|| vec![false; rows.len()]);
        found.extend(rows.into_iter().zip(runs).filter(|(_, runs)| *runs == wanted));
        sql_page.before = next;
        if found.len() >= limit || last {
            break;
        }
    }
    if found.len() > limit {
        found.truncate(limit);
        sql_page.before = found.last().map(|(detail, _)| detail.job.id);
    }
    Ok(Listed { rows: found, next: sql_page.before })
}

/// `None` when the queue does not answer.
async fn told_running(queue: &Queue, jobs: &[(LaneKey, Id<Job>)]) -> Option<Vec<bool>> {
    if jobs.is_empty() {
        return Some(Vec::new());
    }
    let told = queue.held(jobs).await;
    told.inspect_err(|error| tracing::debug!(%error, "the queue did not say which jobs run")).ok()
}

fn keys(rows: &[JobDetail]) -> Vec<(LaneKey, Id<Job>)> {
    rows.iter().map(|detail| (detail.job.lane_key(), detail.job.id)).collect()
}
