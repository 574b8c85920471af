//! Names to addresses, judged. What leaves here is dialled as it is, so a name that answers one address to be
//! judged and another to be dialled (DNS rebinding) gains nothing.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name as DnsName, RecordType},
    },
};
use postrider_core::domain::egress::{AddressFault, AddressRefused, EgressPolicy};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::EgressSetupError;

/// Names whose addresses are kept, each for its TTL.
const CACHED_NAMES_MAX: u64 = 4096;
/// A moved receiver is found again within this, whatever TTL its DNS gave.
const ANSWER_KEPT_MAX: Duration = Duration::from_secs(300);
/// A name that was added or mended is found within this.
const NO_ANSWER_KEPT_MAX: Duration = Duration::from_secs(10);

/// Where nothing else is configured, resolv.conf(5).
const NAME_SERVER_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// How far a call has come before its connection is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Dialling {
    /// Not begun, or a pooled connection is used.
    #[default]
    Nothing,
    Resolving,
    /// The first of the addresses that are tried.
    At(IpAddr),
}

tokio::task_local! {
    /// Where the call of this task stands: reqwest hands nothing through to its resolver but the name.
    pub(super) static DIALLING: Cell<Dialling>;
}

impl Dialling {
    /// Where the call of this task stands.
    pub(super) fn now() -> Self {
        DIALLING.try_with(Cell::get).unwrap_or_default()
    }

    /// Outside a call (a connection made in the background) there is nobody to tell.
    pub(super) fn note(self) {
        DIALLING.try_with(|cell| cell.set(self)).unwrap_or_default();
    }
}

/// Why a name gave no address to dial. No words here hold an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveFailed {
    #[error("DNS: the name does not exist")]
    NoName,
    #[error("DNS: the name has no address")]
    NoAddress,
    #[error("DNS: the name servers did not answer")]
    NoAnswer,
    #[error("DNS: the name servers could not answer")]
    Servers,
    #[error("the name leads to an address that is {0}")]
    Refused(AddressFault),
}

/// Resolves by `localhost`'s rule, `/etc/hosts` as it was at the start, then DNS; judges every answer.
#[derive(Clone)]
pub(super) struct JudgingResolver {
    policy: Arc<EgressPolicy>,
    hosts: Arc<Hosts>,
    dns: TokioResolver,
}

impl JudgingResolver {
    /// # Errors
    /// When a resolver cannot be made.
    pub(super) fn new(
        policy: Arc<EgressPolicy>,
        hosts: Hosts,
        name_servers: &[SocketAddr],
    ) -> Result<Self, EgressSetupError> {
        let setup = |error: NetError| EgressSetupError::Dns(error.to_string());
        let asking = |servers: &[SocketAddr]| {
            let config = ResolverConfig::from_name_servers(servers.iter().copied().map(server_at).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let mut builder = match name_servers {
            [] => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(%error, "/etc/resolv.conf cannot be used; the name server on this machine is asked");
                asking(&[NAME_SERVER_DEFAULT])
            }),
            servers => asking(servers),
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = CACHED_NAMES_MAX;
        options.positive_max_ttl = Some(ANSWER_KEPT_MAX);
        options.negative_max_ttl = Some(NO_ANSWER_KEPT_MAX);
        Ok(Self { policy, hosts: Arc::new(hosts), dns: builder.build().map_err(setup)? })
    }

    /// All addresses of `name`, if deliveries may reach each of them.
    async fn judged(&self, name: &str) -> Result<Vec<IpAddr>, ResolveFailed> {
        if is_localhost(name) {
            return self.loopback();
        }
        let mut addresses = self.in_hosts(name);
        if addresses.is_empty() {
            addresses = self.in_dns(name).await?;
        }
        for address in &addresses {
            self.policy.judge_address(*address).map_err(|refused| refuse(name, refused))?;
        }
        if addresses.is_empty() { Err(ResolveFailed::NoAddress) } else { Ok(addresses) }
    }

    /// No stranger chose these two addresses, so the one that is allowed is used.
    fn loopback(&self) -> Result<Vec<IpAddr>, ResolveFailed> {
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        addresses.retain(|address| self.policy.judge_address(*address).is_ok());
        if addresses.is_empty() { Err(ResolveFailed::Refused(AddressFault::NotPublic)) } else { Ok(addresses) }
    }

    /// As in the C library, a name in `/etc/hosts` is not asked for in DNS, not even for its other family.
    fn in_hosts(&self, name: &str) -> Vec<IpAddr> {
        let Ok(name) = DnsName::from_ascii(name) else { return Vec::new() };
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|family| self.hosts.lookup_static_host(&Query::query(name.clone(), family)))
            .flat_map(|lookup| lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
            .collect()
    }

    async fn in_dns(&self, name: &str) -> Result<Vec<IpAddr>, ResolveFailed> {
        let answer = self.dns.lookup_ip(name).await.map_err(|error| {
            tracing::debug!(name, %error, "a name could not be resolved");
            match error {
                error if error.is_nx_domain() => ResolveFailed::NoName,
                error if error.is_no_records_found() => ResolveFailed::NoAddress,
                NetError::Timeout => ResolveFailed::NoAnswer,
                _ => ResolveFailed::Servers,
            }
        })?;
        Ok(answer.iter().collect())
    }
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            Dialling::Resolving.note();
            let addresses = this.judged(name.as_str()).await.inspect_err(|_| Dialling::Nothing.note())?;
            addresses.first().copied().map_or(Dialling::Nothing, Dialling::At).note();
            // Port 0 stands for the URL's.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

fn refuse(name: &str, refused: AddressRefused) -> ResolveFailed {
    tracing::warn!(name, address = %refused.address, "a delivery was refused: the address is {}", refused.fault);
    ResolveFailed::Refused(refused.fault)
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn server_at(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}
