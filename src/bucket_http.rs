//! The HTTP client that buckets are reached with. Owns its certificates and how long one request may take; knows neither keys
//! nor files.

use std::{error::Error, path::PathBuf, time::Duration};

use anyhow::Context;
use http_body_util::BodyExt;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
};
use reqwest::{redirect, tls::Certificate};

/// Where the AWS tools look for authorities of one's own, as PEM.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Of a request with its body and its answer: a sitemap has some megabytes.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Makes clients that trust the system's authorities, and those of `AWS_CA_BUNDLE`.
#[derive(Debug)]
pub(crate) struct Connector {
    authorities: Vec<Certificate>,
}

impl Connector {
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let Some(file) = std::env::var_os(CA_BUNDLE).map(PathBuf::from) else {
            return Ok(Self { authorities: Vec::new() });
        };
        let words = || format!("the certificates in {} (variable {CA_BUNDLE}) cannot be used", file.display());
        let pem = std::fs::read(&file).with_context(words)?;
        Ok(Self { authorities: Certificate::from_pem_bundle(&pem).with_context(words)? })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // It was judged already whether plain HTTP may be, or the client is for the keys of a machine of a cloud.
        let is_plain = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|allows| allows != "false");
        let client = reqwest::Client::builder()
            .user_agent(concat!("postrider/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .redirect(redirect::Policy::none())
            .https_only(!is_plain)
            .http1_only()
            .tls_certs_merge(self.authorities.iter().cloned())
            .build();
        let client = client.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })?;
        Ok(HttpClient::new(Service(client)))
    }
}

#[derive(Debug)]
struct Service(reqwest::Client);

impl HttpService for Service {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string();
            let url = reqwest::Url::parse(&url).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            let mut request = reqwest::Request::new(parts.method, url);
            *request.headers_mut() = parts.headers;
            *request.body_mut() = Some(reqwest::Body::wrap(body));
            let answer = self.0.execute(request).await.map_err(failed)?;
            let (parts, body) = hyper::Response::<reqwest::Body>::from(answer).into_parts();
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failed))))
        })
    }
}

/// What decides whether a request is tried again. Its address is left out: it is named where it is told.
fn failed(error: reqwest::Error) -> HttpError {
    let broke_off = |error: &(dyn Error + 'static)| {
        let is_closed =
            |error: &hyper::Error| error.is_closed() || error.is_incomplete_message() || error.is_canceled();
        error.downcast_ref::<hyper::Error>().is_some_and(is_closed) || error.is::<std::io::Error>()
    };
    let causes = || std::iter::successors(error.source(), |error| (*error).source());
    let kind = match () {
        () if error.is_timeout() => HttpErrorKind::Timeout,
        () if error.is_connect() => HttpErrorKind::Connect,
        () if error.is_decode() => HttpErrorKind::Decode,
        () if causes().any(broke_off) => HttpErrorKind::Interrupted,
        () => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error.without_url())
}
