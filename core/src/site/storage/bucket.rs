//! A part of a bucket in an S3-compatible store. A `PUT` is whole or not there by itself; each file says of itself what a web
//! server would say of it, so that what stands before the bucket can serve it as it is.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreExt, PutOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    client::HttpConnector,
    path::Path,
};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use self::refusal::Why;
pub use self::refusal::{BadBucket, BucketError};
use super::{BEFORE, Kept, Shelf, StorageError, packed_name};
use crate::{
    domain::site::place::{BucketPlace, SitesPlace},
    site::{
        headers::{CACHE_CONTROL, media_type},
        pack::{Label, unpacked},
    },
};

mod refusal;

/// Files of one call that are sent at the same time.
pub(super) const WRITES_AT_ONCE: usize = 16;
/// How long one file may take, with all tries of it.
const WRITE_MAX: Duration = Duration::from_secs(60);
/// Readers wait no longer for a file, nor for their turn.
const READ_MAX: Duration = Duration::from_secs(10);
const READS_AT_ONCE: usize = 64;
/// Tries of one request after the first, and for how long it is begun again. A job that failed is tried again anyway.
const RETRIES: usize = 2;
const RETRIED_FOR: Duration = Duration::from_secs(20);
/// What a start asks for begins with this.
const CHECK: &str = "postrider-check";

pub(super) struct Bucket {
    s3: AmazonS3,
    place: BucketPlace,
    /// For people.
    shown: String,
    reads: Semaphore,
}

/// What a process does with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Read,
    Write,
}

impl Bucket {
    /// Keys, endpoint and region are those of the usual `AWS_` variables.
    pub(super) fn from_env(place: &BucketPlace, connector: impl HttpConnector) -> Result<Self, BadBucket> {
        let builder = AmazonS3Builder::from_env();
        let said = |key: AmazonS3ConfigKey| builder.get_config_value(&key).filter(|value| !value.is_empty());
        let endpoint = said(AmazonS3ConfigKey::S3Endpoint).or_else(|| said(AmazonS3ConfigKey::Endpoint));
        if let Some(endpoint) = &endpoint {
            let allows_http = said(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
            refusal::judge_endpoint(endpoint, allows_http.as_deref())?;
        }
        let keys = [AmazonS3ConfigKey::AccessKeyId, AmazonS3ConfigKey::SecretAccessKey];
        if said(keys[0]).is_some() != said(keys[1]).is_some() {
            return Err(BadBucket::HalfAKey);
        }
        for key in keys.into_iter().chain([AmazonS3ConfigKey::Token, AmazonS3ConfigKey::Region]) {
            // They go into headers.
            if said(key).is_some_and(|value| !value.bytes().all(|byte| byte.is_ascii_graphic())) {
                return Err(BadBucket::Odd(key.as_ref().to_ascii_uppercase()));
            }
        }
        let at = endpoint.as_deref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        let shown = format!("{}{at}", SitesPlace::Bucket(place.clone()));
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
        let s3 = builder
            .with_bucket_name(&place.bucket)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRIED_FOR })
            // Which not all stores have.
            .with_disable_bulk_delete(true)
            .with_http_connector(connector)
            .build()
            .map_err(|error| BadBucket::Refused(error.to_string()))?;
        Ok(Self { s3, place: place.clone(), shown, reads: Semaphore::new(READS_AT_ONCE) })
    }

    pub(super) async fn check(&self, does: Does) -> Result<(), BucketError> {
        let key = self.below(&format!("{CHECK}-{}", uuid::Uuid::now_v7().simple()));
        if does == Does::Write {
            let body = Bytes::from_static(CHECK.as_bytes());
            self.within(WRITE_MAX, self.s3.put(&key, body.clone().into())).await?;
            let read = self.get(&key).await?;
            self.within(WRITE_MAX, self.s3.delete(&key)).await?;
            if read != Some(body) {
                return Err(self.error(Why::Other("did not give back what was written to it".to_owned())));
            }
        }
        // Without the right to list, the store does not say of a file that it is not there.
        self.get(&key).await.map(|_| ())
    }

    pub(super) fn publish(&self, files: Vec<Kept>) -> Vec<Result<(), StorageError>> {
        let writes = stream::iter(files).map(|file| self.publish_one(file)).buffered(WRITES_AT_ONCE);
        Handle::current().block_on(writes.collect())
    }

    async fn publish_one(&self, Kept { shelf, name, gzip }: Kept) -> Result<(), StorageError> {
        let attributes = |name: &str| {
            let mut said = Attributes::new();
            said.insert(Attribute::ContentType, media_type(name).into());
            said.insert(Attribute::CacheControl, CACHE_CONTROL.into());
            said
        };
        let packed = packed_name(&name);
        if let Err(error) = self.set_aside(&shelf, &packed, Label::of(&gzip)).await {
            tracing::warn!(%shelf, name, %error, "what is replaced cannot be kept for comparison");
        }
        if packed == name {
            return Ok(self.put(&self.key(&shelf, &name), gzip.into(), attributes(&name)).await?);
        }
        let plain = unpacked(&gzip).map_err(io::Error::other)?;
        self.put(&self.key(&shelf, &name), plain.into(), attributes(&name)).await?;
        // The same file for those who take it so: what stands before the bucket may answer with it in the other's place.
        let mut said = attributes(&name);
        said.insert(Attribute::ContentEncoding, "gzip".into());
        Ok(self.put(&self.key(&shelf, &packed), gzip.into(), said).await?)
    }

    /// Has the store keep what is about to be replaced, unless it is replaced by itself: its bytes do not come here.
    async fn set_aside(&self, shelf: &Shelf, packed: &str, new: Option<Label>) -> Result<(), BucketError> {
        let (there, old) = (self.key(shelf, packed), self.label_now(shelf, packed).await?);
        if old.is_none() || old.map(|old| old.hash) == new.map(|new| new.hash) {
            return Ok(());
        }
        self.within(WRITE_MAX, self.s3.copy(&there, &self.aside(shelf, packed))).await
    }

    pub(super) async fn label(&self, shelf: &Shelf, name: &str) -> Result<Option<Label>, BucketError> {
        self.in_turn(self.label_now(shelf, name)).await
    }

    async fn label_now(&self, shelf: &Shelf, name: &str) -> Result<Option<Label>, BucketError> {
        let key = self.key(shelf, name);
        match self.within(READ_MAX, self.s3.get_range(&key, 0..Label::BYTES as u64)).await {
            Ok(beginning) => Ok(Label::of(&beginning)),
            Err(BucketError { why: Why::NoFile, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, key: &Path, body: Bytes, attributes: Attributes) -> Result<(), BucketError> {
        let options = PutOptions { attributes, ..PutOptions::default() };
        self.within(WRITE_MAX, self.s3.put_opts(key, body.into(), options)).await.map(|_| ())
    }

    pub(super) async fn read(&self, shelf: &Shelf, name: &str) -> Result<Option<Bytes>, BucketError> {
        self.in_turn(self.get(&self.key(shelf, name))).await
    }

    /// What a file has replaced.
    pub(super) async fn read_before(&self, shelf: &Shelf, name: &str) -> Result<Option<Bytes>, BucketError> {
        self.in_turn(self.get(&self.aside(shelf, name))).await
    }

    /// What the public reads: some at once, and the wait for a turn is part of its time.
    async fn in_turn<T>(&self, read: impl Future<Output = Result<T, BucketError>>) -> Result<T, BucketError> {
        let read = async {
            let _turn = self.reads.acquire().await;
            read.await
        };
        timeout(READ_MAX, read).await.map_err(|_| self.error(Why::Slow(READ_MAX)))?
    }

    async fn get(&self, key: &Path) -> Result<Option<Bytes>, BucketError> {
        let read = async { self.s3.get(key).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => match Why::of(&error) {
                Why::NoFile => Ok(None),
                why => Err(self.error(why)),
            },
        }
    }

    pub(super) async fn remove(&self, shelf: &Shelf, name: &str) -> Result<(), BucketError> {
        for key in [self.key(shelf, name), self.aside(shelf, name)] {
            match self.within(WRITE_MAX, self.s3.delete(&key)).await {
                Ok(()) | Err(BucketError { why: Why::NoFile, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn within<T>(
        &self,
        time: Duration,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, BucketError> {
        match timeout(time, asked).await {
            Ok(answered) => answered.map_err(|error| self.error(Why::of(&error))),
            Err(_) => Err(self.error(Why::Slow(time))),
        }
    }

    fn error(&self, why: Why) -> BucketError {
        BucketError { bucket: self.shown.clone(), why }
    }

    fn key(&self, shelf: &Shelf, name: &str) -> Path {
        self.below(&format!("{shelf}/{name}"))
    }

    /// Where what was replaced is.
    fn aside(&self, shelf: &Shelf, name: &str) -> Path {
        self.below(&format!("{BEFORE}/{shelf}/{name}"))
    }

    fn below(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.place.prefix))
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.shown)
    }
}
