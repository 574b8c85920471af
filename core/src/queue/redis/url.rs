//! Addresses of Redis, Sentinel and Redis Cluster: read in one place, refused with a reason.

use std::{fmt, str::FromStr, time::Duration};

use redis::{
    Client, ConnectionAddr, IntoConnectionInfo, RedisResult, TlsCertificates, TlsMode, cluster::ClusterClientBuilder,
    sentinel::SentinelClientBuilder,
};
use url::Url;

use super::{super::QueueError, server::Target};

/// What an address of Redis looks like.
pub(in crate::queue) const URL_FORMS: &str = "redis://host, rediss://host (TLS), \
     redis+sentinel://host1,host2/master or redis+cluster://host1,host2, with user:password@ and :port where needed";

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where Redis is. What is printed of it has no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    layout: Layout,
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, u16)>,
    database: i64,
}

#[derive(Clone, PartialEq, Eq)]
enum Layout {
    Single,
    Sentinel { master: String },
    Cluster,
}

impl RedisUrl {
    #[must_use]
    pub(super) fn is_cluster(&self) -> bool {
        self.layout == Layout::Cluster
    }

    fn address(&self, (host, port): &(String, u16)) -> ConnectionAddr {
        let (host, port) = (host.clone(), *port);
        if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    /// The clients that reach it; nothing is connected yet.
    pub(super) fn target(&self, authorities: Option<TlsCertificates>, timeout: Duration) -> RedisResult<Target> {
        match &self.layout {
            Layout::Single => {
                let Some(host) = self.hosts.first() else { return Client::open("").map(Box::new).map(Target::Single) };
                let info = self.address(host).into_connection_info()?;
                let settings = self.credentials(info.redis_settings().clone()).set_db(self.database);
                let info = info.set_redis_settings(settings);
                let client = match authorities {
                    Some(authorities) => Client::build_with_tls(info, authorities),
                    None => Client::open(info),
                };
                client.map(Box::new).map(Target::Single)
            }
            Layout::Sentinel { master } => {
                let addresses = self.hosts.iter().map(|host| self.address(host));
                let kind = redis::sentinel::SentinelServerType::Master;
                let mut builder =
                    SentinelClientBuilder::new(addresses, master.clone(), kind)?.set_client_to_redis_db(self.database);
                if self.tls {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                }
                if let Some(authorities) = authorities {
                    builder = builder
                        .set_client_to_redis_certificates(authorities.clone())
                        .set_client_to_sentinel_certificates(authorities);
                }
                if let Some(user) = &self.user {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = &self.password {
                    builder = builder.set_client_to_redis_password(password);
                }
                Ok(Target::Sentinel(Box::new(builder.build()?.into())))
            }
            Layout::Cluster => {
                let infos = self.hosts.iter().map(|host| {
                    let info = self.address(host).into_connection_info()?;
                    let settings = self.credentials(info.redis_settings().clone());
                    Ok(info.set_redis_settings(settings))
                });
                let infos = infos.collect::<RedisResult<Vec<_>>>()?;
                let builder = ClusterClientBuilder::new(infos).connection_timeout(timeout).response_timeout(timeout);
                let builder = authorities.into_iter().fold(builder, ClusterClientBuilder::certs);
                builder.build().map(Box::new).map(Target::Cluster)
            }
        }
    }

    fn credentials(&self, settings: redis::RedisConnectionInfo) -> redis::RedisConnectionInfo {
        let settings = self.user.iter().fold(settings, |settings, user| settings.set_username(user));
        self.password.iter().fold(settings, |settings, password| settings.set_password(password))
    }
}

impl FromStr for RedisUrl {
    type Err = QueueError;

    fn from_str(text: &str) -> Result<Self, QueueError> {
        let refuse = |reason: &str| QueueError::Url { url: without_password(text), reason: reason.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("it has no scheme"))?;
        let (base, kind) = scheme.split_once(['+', '-']).unwrap_or((scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(refuse(&format!("its scheme is {scheme}"))),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let port = if kind == "sentinel" { SENTINEL_PORT } else { REDIS_PORT };
        let hosts: Option<Vec<_>> = hosts.split(',').map(|host| host_and_port(host, port)).collect();
        let hosts = hosts.ok_or_else(|| refuse("one of its hosts is empty or has a port that is no number"))?;
        let (user, password) = login_of(login).ok_or_else(|| refuse("its user or password is not percent-encoded"))?;
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let layout = match kind {
            "" if hosts.len() == 1 => Layout::Single,
            "" => return Err(refuse("more than one host needs redis+sentinel:// or redis+cluster://")),
            "cluster" => Layout::Cluster,
            "sentinel" => {
                let master = parts.next().ok_or_else(|| refuse("it does not name the master, as in /mymaster"))?;
                Layout::Sentinel { master: master.to_owned() }
            }
            _ => return Err(refuse(&format!("its scheme is {scheme}"))),
        };
        let database = parts.next().map_or(Ok(0), |number| number.parse::<u32>());
        let database = database.map_err(|_| refuse("its path is not a database's number"))?;
        if parts.next().is_some() || (layout == Layout::Cluster && database != 0) {
            return Err(refuse("its path has too much in it"));
        }
        Ok(Self { layout, tls, user, password, hosts, database: i64::from(database) })
    }
}

/// The URL parser's own rules hold for each host and for the login.
fn host_and_port(text: &str, port: u16) -> Option<(String, u16)> {
    let url = Url::parse(&format!("redis://{text}")).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty() && url.path().is_empty())?;
    Some((host.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(port)))
}

fn login_of(text: &str) -> Option<(Option<String>, Option<String>)> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |part: &str| match part {
        "" => Some(None),
        part => percent_decoded(part).map(Some),
    };
    Some((decode(user)?, decode(password)?))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn without_password(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}…{}", &text[..scheme + 3], &text[at..]),
        _ => text.to_owned(),
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let tls = if self.tls { "s" } else { "" };
        let hosts = hosts.join(",");
        match &self.layout {
            Layout::Single => write!(f, "redis{tls}://{hosts}"),
            Layout::Sentinel { master } => write!(f, "redis{tls}+sentinel://{hosts}/{master}"),
            Layout::Cluster => write!(f, "redis{tls}+cluster://{hosts}"),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_read_and_shown_without_its_password() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("rediss://u:p%40ss@h:7000/2", "rediss://h:7000"),
            ("redis://:secret@[::1]:7000", "redis://::1:7000"),
            ("redis+sentinel://a,b:1,c/mymaster", "redis+sentinel://a:26379,b:1,c:26379/mymaster"),
            ("redis-sentinel://a/m/3", "redis+sentinel://a:26379/m"),
            ("redis+cluster://u:p@a,b", "redis+cluster://a:6379,b:6379"),
            ("rediss-cluster://a", "rediss+cluster://a:6379"),
        ] {
            assert_eq!(text.parse::<RedisUrl>().unwrap().to_string(), shown, "{text}");
        }
        let url: RedisUrl = "rediss://u:p%40ss@h:7000/2".parse().unwrap();
        assert_eq!((url.password.as_deref(), url.database), (Some("p@ss"), 2));
    }

    #[test]
    fn what_cannot_be_reached_is_refused_without_its_password() {
        for text in [
            "localhost",
            "http://localhost",
            "redis://",
            "redis://a,b",
            "redis://a:port",
            "redis://a/b",
            "redis://a/1/2",
            "redis://u:%zz@a",
            "redis+sentinel://a",
            "redis+cluster://a/1",
            "redis+ring://a",
            "redis://u:hunter2@a,b",
        ] {
            let refused = text.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(refused.contains("redis+sentinel://") && !refused.contains("hunter2"), "{refused}");
        }
    }
}
