//! `GET /v1/jobs`: jobs found by state, kind, lane and words. SQL pages them; the queue says which of them run.

use axum::Json as Answer;
use postrider_core::{
    domain::{
        Id, UnixMs,
        job::{Job, JobKind, JobView},
        lane::{LaneKey, LaneName},
        limits::PAGE_ROWS_DEFAULT,
    },
    store::{JobDetail, JobFilter, Listed, Page},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, ReadPublished},
    jobs::JobJson,
    page::{Listing, Paging, Params},
    problem::Problem,
    state::ApiState,
    wire::{running, told_running},
};

/// Pages of SQL that one page of running or queued jobs is gathered from at most.
const PAGES_READ_MAX: u32 = 40;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A job, and whether it runs now.
type Seen = (JobDetail, bool);

/// Lists jobs, newest first. `running` and `queued` are told apart where the queue answers; where few of very many
/// pending jobs are asked for, a page may be shorter than its limit although `next_cursor` leads on.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(Paging, ("state" = Option<String>, Query),
        ("kind" = Option<String>, Query), ("lane" = Option<String>, Query),
        ("q" = Option<String>, Query, description = "Part of the last error, or the whole unique key.")),
    responses((status = 200, body = Listing<JobJson>)))]
async fn list(caller: Caller<ReadPublished>, mut params: Params) -> Result<Answer<Listing<JobJson>>, Problem> {
    let filter = JobFilter {
        state: params.parsed("state", str::parse::<JobView>)?,
        kind: params.parsed("kind", str::parse::<JobKind>)?,
        lane: params.parsed("lane", str::parse::<LaneName>)?,
        text: params.text("q"),
    };
    let page = params.page()?;
    let listed = match filter.state {
        Some(JobView::Running) => gather(&caller, &filter, page, true).await?,
        Some(JobView::Queued) => gather(&caller, &filter, page, false).await?,
        _ => {
            let Listed { rows, next } = caller.scope().jobs(&filter, &page, UnixMs::now()).await?;
            let runs = running(caller.api.queue(), &keys(&rows)).await;
            Listed { rows: rows.into_iter().zip(runs).collect(), next }
        }
    };
    Ok(Answer(Listing::of(listed, |(detail, runs)| JobJson::of(detail, runs))))
}

/// A page of the due jobs that run, or of those that do not. SQL cannot tell them apart, so its pages are read until
/// the page is full or [`PAGES_READ_MAX`] of them were read; the next page then goes on from there.
async fn gather(
    caller: &Caller<ReadPublished>,
    filter: &JobFilter,
    page: Page<Job>,
    wanted: bool,
) -> Result<Listed<Seen, Job>, Problem> {
    let limit = page.limit as usize;
    let mut sql_page = Page { limit: page.limit.max(PAGE_ROWS_DEFAULT), ..page };
    let mut found: Vec<Seen> = Vec::new();
    for _ in 0..PAGES_READ_MAX {
        let Listed { rows, next } = caller.scope().jobs(filter, &sql_page, UnixMs::now()).await?;
        let runs = told_running(caller.api.queue(), &keys(&rows)).await;
        // A queue that does not answer would not answer for the next page either, and would take its time over it.
        let last = next.is_none() || runs.is_none();
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

fn keys(rows: &[JobDetail]) -> Vec<(LaneKey, Id<Job>)> {
    rows.iter().map(|detail| (detail.job.lane_key(), detail.job.id)).collect()
}
