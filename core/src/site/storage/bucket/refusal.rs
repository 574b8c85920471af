//! What a bucket, or what is set of one, is refused for: in words of ours, with what to do. No key is ever in them.

use std::{error::Error, fmt, time::Duration};

use object_store::client::HttpError;

/// What answers of a store begin with in the words of `object_store`, which has no other name for them.
const ANSWERED: &str = "Server returned non-2xx status code: ";
const REDIRECTED: &str = "Received redirect without LOCATION";
/// Where machines of a cloud ask for their own keys, where none are set.
const OF_MACHINES: &str = "169.254.1";
/// Characters of a store's own words that are passed on.
const WORDS_MAX: usize = 200;

/// Why the `AWS_` variables cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum BadBucket {
    #[error("AWS_ENDPOINT_URL is not an address as https://s3.example:9000, with nothing but a path behind it")]
    Endpoint,
    #[error(
        "AWS_ENDPOINT_URL begins with http://, so others could read and change what goes there: name https://, or set \
         AWS_ALLOW_HTTP=true where the line to it is your own"
    )]
    Http,
    #[error("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together; set both or neither")]
    HalfAKey,
    #[error("{0} has spaces or characters that are not ASCII; was it copied with something around it?")]
    Odd(String),
    #[error("the AWS_ variables are not understood: {0}")]
    Refused(String),
}

/// What a bucket did not do.
#[derive(Debug)]
pub struct BucketError {
    pub(super) bucket: String,
    pub(super) why: Why,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No failure where a file may be missing.
    NoFile,
    Answered {
        /// As in `403 Forbidden`.
        status: String,
        /// As in `AccessDenied`, with the store's words for it; may be empty.
        code: String,
        words: String,
    },
    Redirected,
    NoKey,
    Silent(String),
    Slow(Duration),
    Other(String),
}

/// # Errors
/// When it is no endpoint, or one that nobody has allowed.
pub(super) fn judge_endpoint(endpoint: &str, allows_http: Option<&str>) -> Result<(), BadBucket> {
    let url = url::Url::parse(endpoint).map_err(|_| BadBucket::Endpoint)?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !url.has_host() || !is_plain || url.password().is_some() || !["http", "https"].contains(&url.scheme()) {
        return Err(BadBucket::Endpoint);
    }
    match url.scheme() == "http" && !allows_http.is_some_and(is_yes) {
        true => Err(BadBucket::Http),
        false => Ok(()),
    }
}

/// As `object_store` reads it.
fn is_yes(text: &str) -> bool {
    ["1", "true", "on", "yes", "y"].contains(&text.to_ascii_lowercase().as_str())
}

impl Why {
    pub(super) fn of(error: &object_store::Error) -> Self {
        let error: &(dyn Error + 'static) = error;
        let chain = || std::iter::successors(Some(error), |error| (*error).source());
        for cause in chain() {
            let text = cause.to_string();
            if let Some(answer) = text.strip_prefix(ANSWERED) {
                return Self::answered(answer);
            }
            if text.starts_with(REDIRECTED) {
                return Self::Redirected;
            }
        }
        let text = error.to_string();
        if text.contains(OF_MACHINES) {
            return Self::NoKey;
        }
        match chain().find_map(|cause| cause.downcast_ref::<HttpError>()) {
            Some(http) => Self::Silent(deepest(http)),
            None => Self::Other(format!("could not be asked: {}", cut(&text))),
        }
    }

    /// Of a status, and an error of S3 in XML ("Error Responses" of its API Reference).
    fn answered(answer: &str) -> Self {
        let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
        let part = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(text, _)| cut(text))
        };
        let code = part("Code").unwrap_or_default();
        match status.starts_with("404") && code != "NoSuchBucket" {
            true => Self::NoFile,
            false => Self::Answered { status: status.to_owned(), code, words: part("Message").unwrap_or_default() },
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::NoFile => "see whether something else removes files there",
            Self::Answered { status, code, .. } => match code.as_str() {
                "NoSuchBucket" => "make it, or mend the setting sites_url",
                "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" => {
                    "mend AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                }
                "RequestTimeTooSkewed" => "set this machine's clock, and keep it with NTP",
                "AuthorizationHeaderMalformed" | "PermanentRedirect" => "mend AWS_REGION or AWS_ENDPOINT_URL",
                _ if status.starts_with("40") => {
                    "let its key list the bucket, and read, write and delete what sites_url names"
                }
                _ => "see what is wrong with the store",
            },
            Self::Redirected => "mend AWS_REGION or AWS_ENDPOINT_URL",
            Self::NoKey => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role",
            Self::Silent(_) | Self::Slow(_) => "see whether it is up, and whether AWS_ENDPOINT_URL is its address",
            Self::Other(_) => "see that it is a store like S3",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("has no such file"),
            Self::Answered { status, code, words } => {
                write!(f, "answered {status}")?;
                if !code.is_empty() {
                    write!(f, ", {code}")?;
                }
                if words.is_empty() { Ok(()) } else { write!(f, " ({words})") }
            }
            Self::Redirected => f.write_str("is elsewhere"),
            Self::NoKey => f.write_str("could not be asked, since no key is set"),
            Self::Silent(why) => write!(f, "does not answer ({why})"),
            Self::Slow(time) => write!(f, "does not answer within {} s", time.as_secs()),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bucket {} {}; {}", self.bucket, self.why, self.why.remedy())
    }
}

impl Error for BucketError {}

fn deepest(error: &(dyn Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| (*error).source()).last();
    cut(&last.unwrap_or(error).to_string())
}

fn cut(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_and_plain_http_has_to_be_asked_for() {
        for (endpoint, allows_http) in [
            ("https://s3.example", None),
            ("https://s3.example:9000/", None),
            ("http://127.0.0.1:9000", Some("true")),
            ("http://minio", Some("1")),
        ] {
            judge_endpoint(endpoint, allows_http).unwrap();
        }
        for endpoint in
            ["s3.example", "s3://sites", "https://key:secret@s3.example", "https://s3.example?x", "https://", ""]
        {
            assert!(matches!(judge_endpoint(endpoint, Some("true")), Err(BadBucket::Endpoint)), "{endpoint}");
        }
        for allows_http in [None, Some("false"), Some("perhaps")] {
            assert!(matches!(judge_endpoint("http://s3.example", allows_http), Err(BadBucket::Http)));
        }
    }

    #[test]
    fn an_answer_is_told_with_the_stores_words_and_what_to_do() {
        let xml = |code: &str| format!("<?xml?><Error><Code>{code}</Code><Message>No\nway.</Message></Error>");
        let told = |answer: &str| {
            let why = Why::answered(answer);
            BucketError { bucket: "s3://sites".to_owned(), why }.to_string()
        };
        for (status, code, remedy) in [
            ("404 Not Found", "NoSuchBucket", "make it, or mend the setting sites_url"),
            ("403 Forbidden", "SignatureDoesNotMatch", "mend AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            (
                "403 Forbidden",
                "AccessDenied",
                "let its key list the bucket, and read, write and delete what sites_url names",
            ),
            ("400 Bad Request", "AuthorizationHeaderMalformed", "mend AWS_REGION or AWS_ENDPOINT_URL"),
            ("503 Service Unavailable", "SlowDown", "see what is wrong with the store"),
        ] {
            let words = format!("the bucket s3://sites answered {status}, {code} (Noway.); {remedy}");
            assert_eq!(told(&format!("{status}: {}", xml(code))), words);
        }
        assert_eq!(
            told("502 Bad Gateway: <html>"),
            "the bucket s3://sites answered 502 Bad Gateway; see what is wrong with the store"
        );
        assert_eq!(Why::answered(&format!("404 Not Found: {}", xml("NoSuchKey"))), Why::NoFile);
        assert_eq!(Why::answered("404 Not Found: "), Why::NoFile);
    }
}
