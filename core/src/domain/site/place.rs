//! Where public files of sites are kept, as the setting `sites_url` says it. Knows neither disks nor networks.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A folder, or a part of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SitesPlace {
    Folder(PathBuf),
    Bucket(BucketPlace),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPlace {
    pub bucket: String,
    /// What every key begins with, without a slash at either end; empty for none.
    pub prefix: String,
}

/// What is wrong with a place. Says nothing of what was written, since that may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    #[error("file:///ABSOLUTE/FOLDER or s3://BUCKET/PREFIX")]
    Form,
    #[error("s3://BUCKET/PREFIX without a key; keys stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    Key,
    #[error(
        "s3://BUCKET/PREFIX and nothing behind it; the endpoint and the region stand in AWS_ENDPOINT_URL and AWS_REGION"
    )]
    Query,
    #[error("a bucket's name has 3 to 63 lower-case letters, digits, - and ., at its ends letters or digits")]
    Bucket,
    #[error("parts of the prefix have letters, digits and -_.= only, and are neither empty, . nor ..")]
    Prefix,
}

impl FromStr for SitesPlace {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        if let Some(path) = text.strip_prefix("file://") {
            let path = Path::new(path);
            return if path.is_absolute() { Ok(Self::Folder(path.to_owned())) } else { Err(BadPlace::Form) };
        }
        let rest = text.strip_prefix("s3://").ok_or(BadPlace::Form)?;
        if rest.contains('@') {
            return Err(BadPlace::Key);
        }
        if rest.contains(['?', '#']) {
            return Err(BadPlace::Query);
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !is_bucket(bucket) {
            return Err(BadPlace::Bucket);
        }
        if !prefix.is_empty() && !prefix.split('/').all(is_part) {
            return Err(BadPlace::Prefix);
        }
        Ok(Self::Bucket(BucketPlace { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
    }
}

impl fmt::Display for SitesPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket(BucketPlace { bucket, prefix }) if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket(BucketPlace { bucket, prefix }) => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Amazon S3, User Guide, "General purpose bucket naming rules"; others allow no more.
fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [name.bytes().next(), name.bytes().next_back()];
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || b"-.".contains(&byte))
        && ends.into_iter().flatten().all(plain)
}

fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket_and_all_else_is_refused_by_name() {
        for (text, shown) in [
            ("file:///srv/www/sites", "/srv/www/sites"),
            ("s3://news-sites", "s3://news-sites"),
            ("s3://news-sites/", "s3://news-sites"),
            ("s3://news.sites.1/public/a_b/", "s3://news.sites.1/public/a_b"),
        ] {
            assert_eq!(text.parse::<SitesPlace>().unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("", BadPlace::Form),
            ("/srv/www", BadPlace::Form),
            ("file://srv/www", BadPlace::Form),
            ("https://minio.example/sites", BadPlace::Form),
            ("s3://key:secret@sites", BadPlace::Key),
            ("s3://sites?region=auto", BadPlace::Query),
            ("s3://", BadPlace::Bucket),
            ("s3://Sites", BadPlace::Bucket),
            ("s3://-sites", BadPlace::Bucket),
            ("s3://sites/../other", BadPlace::Prefix),
            ("s3://sites//other", BadPlace::Prefix),
            ("s3://sites/żółw", BadPlace::Prefix),
        ] {
            assert_eq!(text.parse::<SitesPlace>(), Err(why), "{text}");
        }
    }
}
