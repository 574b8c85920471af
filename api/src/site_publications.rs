//! `/v1/sites/{site}/publications`: what was made public of a site, when, and how long its changes waited for that.

use axum::{
    Json as Answer,
    extract::{Path, rejection::PathRejection},
};
use postrider_core::{
    domain::{Id, site::language::LanguageTag},
    store::{PublishedFile, SitePublication},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Read},
    page::{Listing, Paging, Params},
    path::TextRef,
    problem::Problem,
    sites::find,
    state::ApiState,
    wire::Time,
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(publications)).routes(routes!(publication))
}

/// What a regeneration made public of one locale.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SitePublication)]
pub(crate) struct PublicationJson {
    #[schema(value_type = String)]
    id: Id<SitePublication>,
    locale: String,
    /// When the oldest change in it was accepted.
    accepted_at: Time,
    /// When all of it was in its place; null: not yet.
    published_at: Option<Time>,
    /// When it was read back in public; null: not yet.
    read_at: Option<Time>,
    /// Files that changed, and addresses and items in them.
    files: u64,
    urls: u64,
    /// Before compression.
    bytes: u64,
}

/// A publication with its files.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SitePublicationFiles)]
pub(crate) struct PublicationFiles {
    #[serde(flatten)]
    publication: PublicationJson,
    changed: Vec<PublishedFileJson>,
}

/// A file that a publication changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublishedFile)]
pub(crate) struct PublishedFileJson {
    name: String,
    /// Before compression.
    bytes: u64,
    urls: u32,
    /// It was taken away.
    removed: bool,
}

impl From<SitePublication> for PublicationJson {
    fn from(one: SitePublication) -> Self {
        Self {
            id: one.id,
            locale: one.locale.to_string(),
            accepted_at: Time(one.accepted_at),
            published_at: one.published_at.map(Time),
            read_at: one.read_at.map(Time),
            files: one.files,
            urls: one.urls,
            bytes: one.bytes,
        }
    }
}

impl From<PublishedFile> for PublishedFileJson {
    fn from(file: PublishedFile) -> Self {
        Self { name: file.name, bytes: file.bytes, urls: file.urls, removed: file.gone }
    }
}

/// Lists what was made public of a site in the last seven days, newest first.
#[utoipa::path(get, path = "/v1/sites/{site}/publications", tag = "sites",
    params(("site" = String, Path), Paging, ("locale" = Option<String>, Query)),
    responses((status = 200, body = Listing<PublicationJson>)))]
async fn publications(
    caller: Caller<Read>,
    TextRef(slug): TextRef,
    mut params: Params,
) -> Result<Answer<Listing<PublicationJson>>, Problem> {
    let site = find(&caller, &slug).await?;
    let locale = params.parsed("locale", str::parse::<LanguageTag>)?;
    let listed = caller.scope().site_publications(&site, locale.as_ref(), &params.page()?).await?;
    Ok(Answer(Listing::of(listed, PublicationJson::from)))
}

/// Shows a publication with the files that it changed.
#[utoipa::path(get, path = "/v1/sites/{site}/publications/{id}", tag = "sites",
    params(("site" = String, Path), ("id" = String, Path)), responses((status = 200, body = PublicationFiles)))]
async fn publication(
    caller: Caller<Read>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Answer<PublicationFiles>, Problem> {
    let missing = || Problem::not_found("publication");
    let Path((slug, id)) = path.map_err(|_| missing())?;
    let site = find(&caller, &slug).await?;
    let id: Id<SitePublication> = id.parse().map_err(|_| missing())?;
    let store = caller.api.store();
    let found = store.site_publication(id).await?.filter(|(of, _)| *of == site.id);
    let (_, publication) = found.ok_or_else(missing)?;
    let changed = store.published_files(id).await?.into_iter().map(PublishedFileJson::from).collect();
    Ok(Answer(PublicationFiles { publication: publication.into(), changed }))
}
