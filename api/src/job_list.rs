//! `GET /v1/jobs`: jobs found by state, kind, lane, tag, failure, time and words.

use axum::Json as Answer;
use postrider_core::{
    domain::{
        UnixMs,
        fingerprint::Fingerprint,
        job::{JobKind, JobView},
        lane::LaneName,
        tag::Tag,
    },
    running::jobs_seen,
    store::JobFilter,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, ReadPublished},
    jobs::JobJson,
    page::{Listing, Paging, Params},
    problem::Problem,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Lists jobs, newest first. `running` and `queued` are told apart where the queue answers. A page looks at a bounded
/// number of jobs, so where few of very many are asked for, it may be shorter than its limit, or empty, although
/// `next_cursor` leads on.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(Paging, ("state" = Option<String>, Query),
        ("kind" = Option<String>, Query), ("lane" = Option<String>, Query),
        ("tag" = Option<String>, Query, description = "One of its tags."),
        ("q" = Option<String>, Query, description = "Part of the last error, or the whole unique key."),
        ("fingerprint" = Option<String>, Query, description = "Of the last error, as `GET /v1/failures` has it."),
        ("since" = Option<Time>, Query, description = "Made then or later."),
        ("until" = Option<Time>, Query, description = "Made before.")),
    responses((status = 200, body = Listing<JobJson>)))]
async fn list(caller: Caller<ReadPublished>, mut params: Params) -> Result<Answer<Listing<JobJson>>, Problem> {
    let filter = JobFilter {
        state: params.parsed("state", str::parse::<JobView>)?,
        kind: params.parsed("kind", str::parse::<JobKind>)?,
        lane: params.parsed("lane", str::parse::<LaneName>)?,
        tag: params.parsed("tag", str::parse::<Tag>)?,
        text: params.text("q"),
        fingerprint: params.parsed("fingerprint", str::parse::<Fingerprint>)?,
        event: None,
        payload: None,
        since: params.parsed("since", UnixMs::parse)?,
        until: params.parsed("until", UnixMs::parse)?,
    };
    let listed = jobs_seen(&caller.scope(), caller.api.queue(), &filter, params.page()?).await?;
    Ok(Answer(Listing::of(listed, |(detail, runs)| JobJson::of(detail, runs))))
}
