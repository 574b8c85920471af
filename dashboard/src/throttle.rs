//! Slows down whoever tries passwords: by address, and by name, whatever address it comes from. Each process counts its
//! own.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use moka::future::Cache;

/// Failures that are free, since people mistype.
const FREE: u32 = 5;
/// After them each one doubles the wait, from a second to this for an address, and to this for a name, whose owner would
/// be kept out as well.
const ADDRESS_WAIT_MAX: Duration = Duration::from_secs(15 * 60);
const NAME_WAIT_MAX: Duration = Duration::from_secs(10);
/// A count is forgotten so long after its last failure.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
const COUNTS_MAX: u64 = 50_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    Address(IpAddr),
    Name(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Throttle(Cache<Source, (u32, Instant)>);

impl Default for Throttle {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(COUNTS_MAX).time_to_idle(FORGOTTEN_AFTER).build())
    }
}

impl Throttle {
    /// Counts a try, or says how long to wait before the next one. Counted before the password is looked at, so that many
    /// at the same time are no way around.
    pub(crate) async fn begin(&self, address: IpAddr, name: &str) -> Result<(), Duration> {
        let sources = [Source::Address(network(address)), Source::Name(name.to_owned())];
        for source in &sources {
            if let Some((count, last)) = self.0.get(source).await
                && let Some(left) = wait(source, count).checked_sub(last.elapsed()).filter(|left| !left.is_zero())
            {
                return Err(left);
            }
        }
        for source in sources {
            let count = self.0.get(&source).await.map_or(0, |(count, _)| count);
            self.0.insert(source, (count.saturating_add(1), Instant::now())).await;
        }
        Ok(())
    }

    /// It was the right password.
    pub(crate) async fn succeeded(&self, address: IpAddr, name: &str) {
        self.0.invalidate(&Source::Address(network(address))).await;
        self.0.invalidate(&Source::Name(name.to_owned())).await;
    }
}

/// How long to wait after so many failures.
fn wait(source: &Source, count: u32) -> Duration {
    let max = match source {
        Source::Address(_) => ADDRESS_WAIT_MAX,
        Source::Name(_) => NAME_WAIT_MAX,
    };
    match count.checked_sub(FREE) {
        Some(beyond) => Duration::from_secs(1 << beyond.min(20)).min(max),
        None => Duration::ZERO,
    }
}

/// Who has one address of IPv6 has its 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tries_are_slowed_by_address_and_by_name_until_one_succeeds() {
        let throttle = Throttle::default();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..FREE {
            assert_eq!(throttle.begin(one, "ada").await, Ok(()));
        }
        assert!(throttle.begin(one, "ada").await.is_err(), "the address and the name");
        assert!(throttle.begin(one, "bob").await.is_err(), "the address");
        assert!(throttle.begin(other, "ada").await.is_err(), "the name");
        assert_eq!(throttle.begin(other, "bob").await, Ok(()));
        throttle.succeeded(one, "ada").await;
        assert_eq!(throttle.begin(one, "ada").await, Ok(()));
    }

    #[test]
    fn the_wait_doubles_up_to_a_bound() {
        let (address, name) = (Source::Address(IpAddr::from([0; 4])), Source::Name(String::new()));
        let seconds = [0, 4, 5, 6, 8, 40].map(|count| wait(&address, count).as_secs());
        assert_eq!(seconds, [0, 0, 1, 2, 8, 900]);
        assert_eq!(wait(&name, 40), NAME_WAIT_MAX);
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap()), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
    }
}
