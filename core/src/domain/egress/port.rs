//! Which ports deliveries may reach: the web's, and from 1024 up less those where a stray POST does harm.

use super::EgressPolicy;

/// Ports from here up are open to deliveries, less `GUARDED`.
const OPEN_FROM: u16 = 1024;
/// The web's own ports.
const WEB: [u16; 2] = [80, 443];
/// Databases, brokers and admin interfaces that listen from 1024 up. Sorted.
///
/// All are below 32768, where Linux' ephemeral ports begin, so that a receiver on a port that the system chose
/// is never refused.
const GUARDED: [(u16, &str); 45] = [
    (1099, "Java RMI"),
    (1433, "SQL Server"),
    (1434, "SQL Server"),
    (1521, "Oracle"),
    (1883, "MQTT"),
    (2049, "NFS"),
    (2181, "ZooKeeper"),
    (2375, "Docker"),
    (2376, "Docker"),
    (2377, "Docker Swarm"),
    (2379, "etcd"),
    (2380, "etcd"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (4222, "NATS"),
    (4369, "Erlang's port mapper"),
    (5432, "PostgreSQL"),
    (5433, "PostgreSQL"),
    (5671, "AMQP"),
    (5672, "AMQP"),
    (5900, "VNC"),
    (5984, "CouchDB"),
    (5985, "WinRM"),
    (5986, "WinRM"),
    (6379, "Redis"),
    (6380, "Redis"),
    (6432, "PgBouncer"),
    (6443, "Kubernetes"),
    (7000, "Cassandra"),
    (7001, "Cassandra"),
    (8500, "Consul"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (9160, "Cassandra"),
    (9200, "Elasticsearch"),
    (9300, "Elasticsearch"),
    (10250, "kubelet"),
    (10255, "kubelet"),
    (11211, "memcached"),
    (15672, "RabbitMQ"),
    (26257, "CockroachDB"),
    (26379, "Redis Sentinel"),
    (27017, "MongoDB"),
    (27018, "MongoDB"),
    (27019, "MongoDB"),
];

/// A port that deliveries may not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortRefused {
    #[error("port {0} is not one that deliveries may reach; use 80, 443 or one from {OPEN_FROM} up")]
    System(u16),
    #[error("port {port} is {service}'s, which deliveries may not reach; use another port")]
    Guarded { port: u16, service: &'static str },
}

impl EgressPolicy {
    /// # Errors
    /// When deliveries may not reach `port`, whatever the address.
    pub fn judge_port(&self, port: u16) -> Result<(), PortRefused> {
        if WEB.contains(&port) || self.ports_allowed.contains(&port) {
            return Ok(());
        }
        if port < OPEN_FROM {
            return Err(PortRefused::System(port));
        }
        match GUARDED.binary_search_by_key(&port, |(guarded, _)| *guarded) {
            Ok(place) => Err(PortRefused::Guarded { port, service: GUARDED[place].1 }),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guarded_ports_are_sorted_and_below_the_ephemeral_ones() {
        assert!(GUARDED.is_sorted_by_key(|(port, _)| *port));
        assert!(GUARDED.iter().all(|(port, _)| (OPEN_FROM..32768).contains(port)));
    }

    #[test]
    fn the_webs_ports_and_those_from_1024_up_pass_less_the_guarded() {
        let policy = EgressPolicy::default();
        for port in [80, 443, 1024, 3000, 8080, 8443, 32768, 65535] {
            assert_eq!(policy.judge_port(port), Ok(()), "{port}");
        }
        for port in [0, 1, 22, 25, 53, 81, 389, 445, 873, 1023] {
            assert_eq!(policy.judge_port(port), Err(PortRefused::System(port)));
        }
        for port in [
            1433, 1521, 2375, 2376, 2379, 2380, 3306, 5432, 5984, 6379, 6443, 8500, 9042, 9200, 9300, 10250, 11211,
            27017,
        ] {
            assert!(matches!(policy.judge_port(port), Err(PortRefused::Guarded { .. })), "{port}");
        }
    }

    #[test]
    fn an_operator_opens_ports_one_by_one_and_a_network_opens_none() {
        let policy = EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ports_allowed: vec![25, 9200] };
        assert_eq!(policy.judge_port(25), Ok(()));
        assert_eq!(policy.judge_port(9200), Ok(()));
        assert!(policy.judge_port(26).is_err());
        assert!(policy.judge_port(6379).is_err());
    }
}
