//! How many connections each client address has open, over all workers of a server.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::Mutex;

/// Workers accept at the same time; one table would make them wait for each other.
const SHARDS: usize = 16;

/// The connections of each client. An address without any takes no room.
#[derive(Debug)]
pub(super) struct Clients {
    limit: AtomicU32,
    /// Proxies of ours, behind whose address there are many clients.
    exempt: ArcSwap<Vec<IpNet>>,
    hasher: RandomState,
    shards: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
}

/// One connection of a client's; dropped, it counts no more.
#[derive(Debug)]
pub(super) struct Seat {
    /// `None` for whom is not counted.
    of: Option<(Arc<Clients>, IpAddr)>,
}

impl Clients {
    pub(super) fn new(limit: usize, exempt: Vec<IpNet>) -> Self {
        Self {
            limit: AtomicU32::new(u32::try_from(limit).unwrap_or(u32::MAX)),
            exempt: ArcSwap::from_pointee(exempt),
            hasher: RandomState::new(),
            shards: Default::default(),
        }
    }

    /// Gives each client so many from now on. Those that are open count, or do not, as they did when
    /// they began.
    pub(super) fn set_bounds(&self, limit: usize, exempt: Vec<IpNet>) {
        self.limit.store(u32::try_from(limit).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.exempt.store(Arc::new(exempt));
    }

    /// Counts one more connection of this address; `None` where it has as many as it may.
    pub(super) fn seat(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        if self.exempt.load().iter().any(|network| network.contains(&address)) {
            return Some(Seat { of: None });
        }
        let client = client(address);
        let mut counts = self.shard(client)?.lock();
        let count = counts.entry(client).or_insert(0);
        if *count >= self.limit.load(Ordering::Relaxed) {
            return None;
        }
        *count += 1;
        Some(Seat { of: Some((Arc::clone(self), client)) })
    }

    fn shard(&self, client: IpAddr) -> Option<&Mutex<HashMap<IpAddr, u32>>> {
        let hash = self.hasher.hash_one(client) % SHARDS as u64;
        self.shards.get(usize::try_from(hash).ok()?)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((clients, client)) = &self.of else { return };
        let Some(shard) = clients.shard(*client) else { return };
        if let Entry::Occupied(mut count) = shard.lock().entry(*client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Who an address stands for: in IPv6 one subscriber has a /64 at least (RFC 6177 §2), and could
/// come from a new address each time.
fn client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(limit: usize) -> Arc<Clients> {
        Arc::new(Clients::new(limit, vec!["10.0.0.0/8".parse().unwrap()]))
    }

    fn known(clients: &Clients) -> usize {
        clients.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[test]
    fn a_client_has_as_many_seats_as_the_limit_and_leaves_no_trace() {
        let clients = clients(2);
        let seat = |address: &str| clients.seat(address.parse().unwrap());
        let first = seat("192.0.2.1").unwrap();
        let second = seat("192.0.2.1").unwrap();
        assert!(seat("192.0.2.1").is_none());
        let other = seat("192.0.2.2").unwrap();
        drop(first);
        let third = seat("192.0.2.1").unwrap();
        assert!(seat("192.0.2.1").is_none());
        assert_eq!(known(&clients), 2);
        drop((second, third, other));
        assert_eq!(known(&clients), 0);
    }

    #[test]
    fn addresses_of_one_64_are_one_client() {
        let clients = clients(1);
        let seat = |address: &str| clients.seat(address.parse().unwrap());
        let first = seat("2001:db8::1");
        assert!(first.is_some());
        assert!(seat("2001:db8::ffff:0:0:1").is_none());
        assert!(seat("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn our_own_proxies_are_not_counted() {
        let clients = clients(1);
        let seats: Vec<_> =
            (0..5).map(|_| clients.seat("10.1.2.3".parse().unwrap()).unwrap()).collect();
        assert_eq!((seats.len(), known(&clients)), (5, 0));
    }
}
