//! `/v1/sites/{site}/media`: images and enclosures that feeds name, as they really are.

use axum::Json as Answer;
use postrider_core::{
    domain::{UnixMs, site::media::Media},
    store::{MediaFilter, MediaPage},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Read},
    page::{Listing, Paging, Params, write_keys_cursor},
    path::TextRef,
    problem::Problem,
    sites::find,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(media))
}

/// An image or an enclosure that feeds name. A feed names an enclosure when it is known what it is, and no image that is known
/// to be none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SiteMedia)]
pub(crate) struct MediaJson {
    url: String,
    /// Something names it as an image.
    image: bool,
    /// `waiting`, `good` or `bad`.
    state: &'static str,
    /// As the file's own bytes show it, whatever its host or its owner says; null: it is no file, or nobody has seen it.
    r#type: Option<String>,
    /// In bytes; null: its host does not say.
    length: Option<u64>,
    /// What the page says of it that names it as an enclosure; null: nothing, or none does.
    said_type: Option<String>,
    said_length: Option<u64>,
    /// When a look at it was last asked for.
    asked_at: Time,
    /// When it was last looked at.
    checked_at: Option<Time>,
    /// Why it is bad, in words. Mend the file, or name another with `PUT /v1/sites/{site}/pages/{key}`: a bad file that a feed
    /// names is looked at again every hour.
    fault: Option<String>,
}

impl From<Media> for MediaJson {
    fn from(media: Media) -> Self {
        let Media { url, is_image, state, media_type, length_bytes, said, asked_at, checked_at, fault, .. } = media;
        let time = |time: UnixMs| Time(time);
        Self {
            url,
            image: is_image,
            state: state.as_str(),
            r#type: media_type,
            length: length_bytes,
            said_type: said.media_type,
            said_length: said.length_bytes,
            asked_at: time(asked_at),
            checked_at: checked_at.map(time),
            fault,
        }
    }
}

/// Lists images and enclosures that feeds name or have named, by their address.
#[utoipa::path(get, path = "/v1/sites/{site}/media", tag = "sites", params(("site" = String, Path),
    ("state" = Option<String>, Query, description = "`waiting`: nobody has seen the file yet; `good`; `bad`: `fault` says why; `other-type`: an enclosure, in whatever state, that is \
    of another type than its page says. Absent: all"), Paging),
    responses((status = 200, body = Listing<MediaJson>)))]
async fn media(
    caller: Caller<Read>,
    TextRef(slug): TextRef,
    mut params: Params,
) -> Result<Answer<Listing<MediaJson>>, Problem> {
    let site = find(&caller, &slug).await?;
    let filter = params.parsed("state", str::parse::<MediaFilter>)?;
    let (after, limit) = params.keys_page::<1>()?;
    let page = MediaPage { filter, after: after.map(|[url]| url), limit };
    let (files, more) = caller.scope().site_media_list(&site, &page).await?;
    let next_cursor = files.last().filter(|_| more).map(|last| write_keys_cursor([&last.url]));
    Ok(Answer(Listing { data: files.into_iter().map(MediaJson::from).collect(), next_cursor }))
}
