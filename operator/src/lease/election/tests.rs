use super::*;

const TIMING: Timing = Timing {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn held_by(holder: &str, stamp: i64) -> Record {
    Record { holder: holder.to_owned(), valid: seconds(15), transitions: 4, stamp: Some(stamp) }
}

fn writes(step: Step) -> Option<(Record, Seen)> {
    match step {
        Step::Write { record, seen } => Some((record, seen)),
        Step::Wait(_) => None,
    }
}

#[test]
fn a_lease_that_does_not_exist_is_made() {
    let step = Election::new("a", TIMING).observe(None, Instant::now(), 0.0);
    let (record, seen) = writes(step).expect("a write");
    assert_eq!((record.holder.as_str(), record.transitions, seen), ("a", 0, Seen::Absent));
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once() {
    let step = Election::new("a", TIMING).observe(Some(held_by("", 1)), Instant::now(), 0.0);
    let (record, seen) = writes(step).expect("a write");
    assert_eq!((record.transitions, seen), (5, Seen::Free));
}

#[test]
fn a_lease_is_free_only_after_it_was_watched_unchanged_for_as_long_as_it_is_valid() {
    let start = Instant::now();
    let mut election = Election::new("a", TIMING);
    // Its own time of renewal is long past; that says nothing.
    for after in [0, 5, 14] {
        assert_eq!(writes(election.observe(Some(held_by("b", 1)), start + seconds(after), 0.0)), None, "{after} s");
    }
    assert!(writes(election.observe(Some(held_by("b", 1)), start + seconds(15), 0.0)).is_some());
}

#[test]
fn each_renewal_of_the_holder_starts_the_wait_anew() {
    let start = Instant::now();
    let mut election = Election::new("a", TIMING);
    for after in (0..300).step_by(14) {
        let renewed = held_by("b", i64::try_from(after).expect("small"));
        assert_eq!(writes(election.observe(Some(renewed), start + seconds(after), 0.0)), None, "{after} s");
    }
}

#[test]
fn a_holder_whose_clock_runs_backwards_still_renews() {
    let start = Instant::now();
    let mut election = Election::new("a", TIMING);
    election.observe(Some(held_by("b", 1_000)), start, 0.0);
    assert_eq!(writes(election.observe(Some(held_by("b", -5)), start + seconds(14), 0.0)), None);
    assert_eq!(writes(election.observe(Some(held_by("b", -5)), start + seconds(28), 0.0)), None);
}

#[test]
fn a_holder_that_claims_no_time_gets_the_usual_one() {
    let start = Instant::now();
    let mut election = Election::new("a", TIMING);
    let brief = Record { valid: Duration::ZERO, ..held_by("b", 1) };
    assert_eq!(writes(election.observe(Some(brief.clone()), start, 0.0)), None);
    assert_eq!(writes(election.observe(Some(brief.clone()), start + seconds(14), 0.0)), None);
    assert!(writes(election.observe(Some(brief), start + seconds(15), 0.0)).is_some());
}

#[test]
fn a_write_whose_answer_was_lost_is_found_to_be_its_own() {
    let mut election = Election::new("a", TIMING);
    let (record, seen) = writes(election.observe(Some(held_by("a", 1)), Instant::now(), 0.0)).expect("a write");
    assert_eq!((record.transitions, seen), (4, Seen::Own), "it changed hands no more");
}

#[test]
fn the_pause_grows_by_half_at_most() {
    assert_eq!(TIMING.pause(0.0), seconds(2));
    assert_eq!(TIMING.pause(1.0), seconds(3));
    assert_eq!(TIMING.pause(f64::MAX), seconds(3));
}

#[test]
fn giving_back_leaves_nobody_as_holder() {
    let mut election = Election::new("a", TIMING);
    election.renewed(Record { holder: "a".to_owned(), transitions: 7, ..Record::default() }, Instant::now());
    let released = election.release();
    assert_eq!((released.holder.as_str(), released.transitions), ("", 7));
}

#[test]
fn timings_that_let_two_lead_are_refused() {
    assert_eq!(TIMING.checked(), Ok(TIMING));
    let same = Timing { renew_deadline: seconds(15), ..TIMING };
    assert!(matches!(same.checked(), Err(TimingError::DeadlineTooLong { .. })));
    let rare = Timing { retry_period: seconds(6), ..TIMING };
    assert!(matches!(rare.checked(), Err(TimingError::RetriesTooRare { .. })));
    let fraction = Timing { lease_duration: Duration::from_millis(15_500), ..TIMING };
    assert!(matches!(fraction.checked(), Err(TimingError::NotWholeSeconds(_))));
}

/// A lease in a cluster, and what happens to requests on their way.
#[derive(Default)]
struct Cluster {
    lease: Option<Record>,
    writes: i64,
}

impl Cluster {
    /// Accepts a write that is based on what the lease is now.
    fn write(&mut self, record: &Record, based_on: &Option<Record>) -> bool {
        let accepted = self.lease == *based_on;
        if accepted {
            self.writes += 1;
            self.lease = Some(Record { stamp: Some(self.writes), ..record.clone() });
        }
        accepted
    }
}

/// A replica in simulated time, second by second.
struct Replica {
    election: Election,
    leads_until: Option<Instant>,
    paused: bool,
}

impl Replica {
    fn new(name: &str) -> Self {
        Self { election: Election::new(name, TIMING), leads_until: None, paused: false }
    }

    fn leads(&self, now: Instant) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }

    /// One look at the lease. `reached`: whether requests reach the API server; `answered`: whether its answers come
    /// back.
    fn turn(&mut self, cluster: &mut Cluster, now: Instant, reached: bool, answered: bool) {
        if self.paused {
            return;
        }
        if self.leads_until.is_some_and(|until| now >= until) {
            // Fail-stop: the process ends and is started again as another.
            *self = Self::new(&format!("{}+", self.election.identity()));
        }
        if !reached || (!answered && self.leads_until.is_none()) {
            return;
        }
        let seen = cluster.lease.clone();
        let record = match self.leads_until {
            Some(_) if seen.as_ref().is_some_and(|record| record.holder != self.election.identity()) => {
                self.leads_until = Some(now);
                return;
            }
            Some(_) => Some(self.election.renewal()),
            None => writes(self.election.observe(seen.clone(), now, 0.0)).map(|(record, _)| record),
        };
        if let Some(record) = record
            && cluster.write(&record, &seen)
            && answered
        {
            self.leads_until = Some(self.election.renewed(record, now));
        }
    }
}

/// Runs two replicas for some minutes; `event` breaks and mends things. Gives how many seconds had a leader.
fn simulate(minutes: u64, mut event: impl FnMut(u64, &mut [Replica; 2], &mut [bool; 2], &mut [bool; 2])) -> u64 {
    let start = Instant::now();
    let mut cluster = Cluster::default();
    let mut replicas = [Replica::new("a"), Replica::new("b")];
    let (mut reached, mut answered) = ([true; 2], [true; 2]);
    let mut led = 0;
    for second in 0..minutes * 60 {
        let now = start + seconds(second);
        event(second, &mut replicas, &mut reached, &mut answered);
        for index in 0..2 {
            // Each looks every other second, in turns.
            if second % 2 == index as u64 {
                replicas[index].turn(&mut cluster, now, reached[index], answered[index]);
            }
        }
        let leaders = replicas.iter().filter(|replica| !replica.paused && replica.leads(now)).count();
        assert!(leaders <= 1, "two lead at second {second}");
        led += leaders as u64;
    }
    led
}

#[test]
fn of_two_replicas_one_leads_all_the_time() {
    assert_eq!(simulate(10, |_, _, _, _| {}), 600);
}

#[test]
fn a_paused_leader_is_replaced_and_does_not_lead_when_it_wakes() {
    let led = simulate(10, |second, replicas, _, _| {
        let leader = usize::from(second >= 300);
        replicas[leader].paused = (60..200).contains(&second) || (360..500).contains(&second);
    });
    assert!(led > 540, "{led} s with a leader");
}

#[test]
fn a_leader_that_does_not_reach_the_api_stops_before_another_begins() {
    let led =
        simulate(10, |second, _, reached, _| *reached = [!(60..200).contains(&second), !(300..400).contains(&second)]);
    assert!(led > 560, "{led} s with a leader");
}

#[test]
fn a_leader_whose_answers_are_lost_stops_although_its_renewals_arrive() {
    let led = simulate(10, |second, _, _, answered| *answered = [!(60..80).contains(&second), true]);
    assert!(led > 540, "{led} s with a leader");
}

#[test]
fn an_api_that_is_away_for_everybody_stops_the_leader_and_one_leads_again_afterwards() {
    let led = simulate(10, |second, _, reached, _| *reached = [!(100..160).contains(&second); 2]);
    assert!((480..600).contains(&led), "{led} s with a leader");
}

proptest::proptest! {
    #[test]
    fn two_never_lead_whatever_fails(
        faults in proptest::collection::vec((0..2usize, 0..3u8, 0..600u64, 1..120u64), 0..12),
    ) {
        simulate(10, |second, replicas, reached, answered| {
            for replica in 0..2 {
                let hit = |kind: u8| faults.iter().any(|(who, what, from, long)| {
                    *who == replica && *what == kind && (*from..from + long).contains(&second)
                });
                replicas[replica].paused = hit(0);
                reached[replica] = !hit(1);
                answered[replica] = !hit(2);
            }
        });
    }
}
