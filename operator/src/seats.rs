//! Seats for connections: a bounded number, so that strangers cannot take the process's descriptors, and none that waiting can keep. When
//! all are taken and somebody else comes, whoever has kept the server waiting longest gets up. So a probe is answered however many half
//! requests there are. It knows nothing of HTTP and reads no clock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The seats. Clones share them.
#[derive(Clone)]
pub(crate) struct Seats(Arc<Shared>);

struct Shared {
    count: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    /// Counts what happens, so that what happened earlier has the lower number.
    happened: u64,
    by_id: HashMap<u64, Guest>,
}

struct Guest {
    peer: IpAddr,
    /// Since when it has to say something, or to take what was said; `None` while its answer is being made.
    waited_for_since: Option<u64>,
    shown_out: CancellationToken,
}

impl Taken {
    fn now(&mut self) -> u64 {
        self.happened += 1;
        self.happened
    }

    /// Who has to get up: of the peer that sits on most seats the one that is waited for longest. A prober's seat is not lost to somebody
    /// else's crowd.
    fn longest_waited_for(&self) -> Option<&Guest> {
        let mut crowds: HashMap<IpAddr, usize> = HashMap::new();
        self.by_id.values().for_each(|guest| *crowds.entry(guest.peer).or_default() += 1);
        let waited_for = |guest: &&Guest| guest.waited_for_since.is_some() && !guest.shown_out.is_cancelled();
        let order = |guest: &&Guest| (std::cmp::Reverse(crowds[&guest.peer]), guest.waited_for_since);
        self.by_id.values().filter(waited_for).min_by_key(order)
    }
}

impl Seats {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Shared { count: count.max(1), taken: Mutex::default(), freed: Notify::new() }))
    }

    /// A seat for a connection of `peer`'s. Waits for one that gets free where all are taken, and has one freed.
    pub(crate) async fn take(&self, peer: IpAddr) -> Seat {
        loop {
            // Before the look, so that a seat that gets free in between is not missed.
            let freed = self.0.freed.notified();
            if let Some(seat) = self.try_take(peer) {
                return seat;
            }
            freed.await;
        }
    }

    fn try_take(&self, peer: IpAddr) -> Option<Seat> {
        let mut taken = self.lock();
        if taken.by_id.len() >= self.0.count {
            // One that was shown out and has not left yet is enough.
            if !taken.by_id.values().any(|guest| guest.shown_out.is_cancelled())
                && let Some(guest) = taken.longest_waited_for()
            {
                guest.shown_out.cancel();
            }
            return None;
        }
        let id = taken.now();
        let shown_out = CancellationToken::new();
        taken.by_id.insert(id, Guest { peer, waited_for_since: Some(id), shown_out: shown_out.clone() });
        Some(Seat(Arc::new(Place { seats: self.clone(), id, shown_out })))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing inside panics half-way.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One seat; free again when the last clone of it is dropped.
#[derive(Clone)]
pub(crate) struct Seat(Arc<Place>);

struct Place {
    seats: Seats,
    id: u64,
    shown_out: CancellationToken,
}

impl Seat {
    /// Ends when somebody else needs the seat more.
    pub(crate) async fn needed(&self) {
        self.0.shown_out.cancelled().await;
    }

    /// Its answer is being made until what this returns is dropped: nobody takes the seat meanwhile.
    pub(crate) fn answering(&self) -> Answering {
        self.waited_for(false);
        Answering(self.clone())
    }

    fn waited_for(&self, waited_for: bool) {
        let mut taken = self.0.seats.lock();
        let now = taken.now();
        if let Some(guest) = taken.by_id.get_mut(&self.0.id) {
            guest.waited_for_since = waited_for.then_some(now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seats.lock().by_id.remove(&self.id);
        self.seats.0.freed.notify_waiters();
    }
}

/// An answer that is being made.
pub(crate) struct Answering(Seat);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.waited_for(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_needed(seat: &Seat) -> bool {
        seat.0.shown_out.is_cancelled()
    }

    #[test]
    fn whoever_is_waited_for_longest_gets_up_for_the_next() {
        let seats = Seats::new(3);
        let taken: Vec<Seat> = (0..3).map(|_| seats.try_take(peer(1)).expect("free")).collect();
        // The first has said something and had its answer since.
        drop(taken[0].answering());
        assert!(seats.try_take(peer(2)).is_none());
        assert_eq!(taken.iter().map(is_needed).collect::<Vec<_>>(), [false, true, false]);
        assert!(seats.try_take(peer(2)).is_none(), "it has not left yet");
        assert_eq!(taken.iter().filter(|seat| is_needed(seat)).count(), 1, "one is enough");
        let mut taken = taken;
        taken.remove(1);
        assert!(seats.try_take(peer(2)).is_some());
    }

    #[test]
    fn an_answer_that_is_being_made_is_not_cut() {
        let seats = Seats::new(2);
        let (first, second) = (seats.try_take(peer(1)).expect("free"), seats.try_take(peer(1)).expect("free"));
        let answers = (first.answering(), second.answering());
        assert!(seats.try_take(peer(1)).is_none());
        assert!(!is_needed(&first) && !is_needed(&second));
        drop(answers.1);
        assert!(seats.try_take(peer(1)).is_none());
        assert!(!is_needed(&first) && is_needed(&second));
    }

    #[test]
    fn a_crowd_makes_room_among_itself() {
        let seats = Seats::new(4);
        let prober = seats.try_take(peer(1)).expect("free");
        let crowd: Vec<Seat> = (0..3).map(|_| seats.try_take(peer(2)).expect("free")).collect();
        assert!(seats.try_take(peer(2)).is_none());
        assert!(!is_needed(&prober), "though it came first");
        assert_eq!(crowd.iter().map(is_needed).collect::<Vec<_>>(), [true, false, false]);
    }

    #[tokio::test]
    async fn the_next_gets_the_seat_as_soon_as_it_is_free() {
        let seats = Seats::new(1);
        let first = seats.take(peer(1)).await;
        let next = tokio::spawn({
            let seats = seats.clone();
            async move { seats.take(peer(2)).await }
        });
        first.needed().await;
        drop(first);
        assert!(!is_needed(&next.await.expect("no panic")));
    }
}
