//! Whole calls over a simulated network: what is lost, how late it is played, and what never happens.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Heard::{Empty, Lost, Packet, Silence, Skipped, Underrun};
use super::{Player, ms, steady};
use crate::rtp::jitter::{JitterCounters, Pushed};
use crate::rtp::network::{Arrival, Conditions, Xorshift, deliver};

/// What became of a simulated call.
#[derive(Debug)]
struct Outcome {
    counters: JitterCounters,
    ticks: u32,
    /// Packets that were given out to be played, in order.
    played: Vec<u32>,
    /// From sending to the tick that plays, for each.
    latency: Vec<Duration>,
}

impl Outcome {
    fn max_latency(&self) -> Duration {
        self.latency.iter().copied().max().unwrap_or_default()
    }

    fn concealed(&self) -> u64 {
        u64::from(self.ticks) - self.counters.played
    }
}

/// Plays `packets` packets of 20 ms through the network, seven milliseconds after a steady packet would come.
fn call(conditions: Conditions, seed: u64, packets: u32) -> Outcome {
    let arrivals = deliver(conditions, seed, (0..packets).map(|index| ms(20) * index));
    play(&arrivals, conditions.delay + ms(7), packets)
}

/// Plays arrivals of the steady stream with ticks from `tick` on, and checks what always holds: in order, each once,
/// one packet time of sound a tick, nothing that was taken is forgotten.
fn play(arrivals: &[Arrival], mut tick: Duration, ticks: u32) -> Outcome {
    let mut player = Player::new();
    let mut random = Xorshift::new(1);
    let mut outcome = Outcome { counters: JitterCounters::default(), ticks, played: Vec::new(), latency: Vec::new() };
    let (mut queued, mut refused) = (BTreeMap::new(), 0);
    let mut arriving = arrivals.iter().peekable();
    for _ in 0..ticks {
        while let Some(Arrival { at, index, sent }) = arriving.next_if(|arrival| arrival.at <= tick) {
            match player.push_bytes(*at, &steady(*index)) {
                Pushed::Queued | Pushed::Resynchronised => {
                    assert!(queued.insert(*index, *sent).is_none(), "{index} taken twice");
                }
                Pushed::Late | Pushed::Duplicate => refused += 1,
                Pushed::Unusable => panic!("an ordinary packet is usable"),
            }
        }
        player.buffer.droppable(random.chance(0.4));
        loop {
            match player.pop_at(tick) {
                Packet(index) => {
                    assert!(outcome.played.last().is_none_or(|last| *last < index), "{index} goes backwards");
                    outcome.latency.push(tick - queued.remove(&index).expect("it was taken"));
                    outcome.played.push(index);
                }
                Skipped(index) => {
                    queued.remove(&index).expect("it was taken");
                    continue;
                }
                Lost | Underrun | Silence | Empty => {}
            }
            break;
        }
        tick += ms(20);
    }
    outcome.counters = player.buffer.counters();
    assert_eq!(queued.len(), usize::from(player.buffer.ring.waiting()), "what was taken waits or came out");
    assert_eq!(refused, outcome.counters.late + outcome.counters.duplicate);
    outcome
}

const TEN_MINUTES: u32 = 30_000;

#[test]
fn ten_minutes_of_a_bad_network_end_where_they_should() {
    let conditions = Conditions {
        delay: ms(30),
        jitter: ms(60),
        loss: 0.05,
        duplicate: 0.02,
        reorder: 0.02,
        detour: ms(20),
        drift_ppm: 0.0,
    };
    for seed in 1..=5 {
        let outcome = call(conditions, seed, TEN_MINUTES);
        let last = *outcome.played.last().expect("it played");
        assert!(last + 5 >= TEN_MINUTES, "sent and played are {} packets apart", TEN_MINUTES - last);
        // The network's least delay, the greatest depth, its delays beyond that, and one tick.
        assert!(outcome.max_latency() <= ms(30 + 60 + 20 + 20), "{:?}", outcome.max_latency());
        let counters = outcome.counters;
        assert!((1300..1800).contains(&counters.lost), "5 % of the packets are 1,500: {counters:?}");
        assert!(counters.late + counters.overflowed < 200, "{counters:?}");
        assert_eq!(counters.resyncs, 0);
        assert_eq!(outcome.concealed(), u64::from(TEN_MINUTES) - outcome.played.len() as u64);
    }
}

#[test]
fn the_buffer_is_as_deep_as_the_network_asks() {
    for (jitter_ms, latency_ms) in [(0, 7), (6, 7), (15, 27), (30, 47), (60, 67)] {
        let outcome = call(Conditions { jitter: ms(jitter_ms), ..Conditions::default() }, 3, TEN_MINUTES);
        let latency = outcome.latency[TEN_MINUTES as usize / 2..].iter().max().copied();
        assert_eq!(latency, Some(ms(latency_ms)), "{jitter_ms} ms of jitter");
        assert!(outcome.concealed() <= 8, "{jitter_ms} ms of jitter cost {} packets", outcome.concealed());
    }
}

#[test]
fn losses_alone_add_no_delay() {
    let outcome = call(Conditions { loss: 0.05, ..Conditions::default() }, 3, TEN_MINUTES);
    assert_eq!(outcome.max_latency(), ms(7));
    assert_eq!(outcome.concealed(), outcome.counters.lost + 1, "the first packet and those lost");
}

#[test]
fn clocks_that_drift_never_part() {
    for drift_ppm in [200.0, -200.0] {
        for jitter_ms in [0, 15] {
            let conditions = Conditions { jitter: ms(jitter_ms), drift_ppm, ..Conditions::default() };
            let outcome = call(conditions, 3, TEN_MINUTES);
            assert!(outcome.max_latency() <= ms(jitter_ms + 7 + 20), "{:?}", outcome.max_latency());
            let corrections = outcome.counters.underruns + outcome.counters.skipped;
            assert!(corrections <= 12, "120 ms are six packets, and the end starves: {:?}", outcome.counters);
        }
    }
}

#[test]
fn a_network_that_stalls_again_and_again_is_not_trusted_so_soon() {
    // Every five seconds nothing comes for 30 ms, then all at once.
    let stalled = |index: u32| match index % 250 {
        248 => ms(20) * index + ms(30),
        249 => ms(20) * index + ms(10),
        _ => ms(20) * index,
    };
    let arrivals: Vec<_> =
        (0..TEN_MINUTES).map(|index| Arrival { at: stalled(index), sent: ms(20) * index, index }).collect();
    let outcome = play(&arrivals, ms(7), TEN_MINUTES);
    assert!(outcome.concealed() < 20, "{:?}", outcome.counters);
}
