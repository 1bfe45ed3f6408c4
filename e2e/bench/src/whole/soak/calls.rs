//! The callers of a long run: each calls again and again, each time as another kind of caller. Judges nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchsim::{CallHandle, CallOutcome, CallPlan, Clip, EndedBy, Impairments, Progress, Switch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::callers::NUMBER;
use super::super::talk;

/// Number of the echo test.
pub(super) const ECHO: &str = "9999";
/// The shortest and the longest call.
const SHORTEST_S: u64 = 15;
const LONGEST_S: u64 = 75;
/// After a refusal a caller waits so long before they call again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Has a conversation with turns and interruptions.
    Talks,
    /// The same over a network that loses, delays and reorders.
    TalksOverABadLine,
    /// Says nothing, until the agent hangs up.
    IsSilent,
    /// Presses keys.
    PressesKeys,
    /// Puts the agent on hold, and comes back.
    Holds,
    /// Dials the echo test and speaks.
    HearsTheEcho,
    /// Hangs up within a second of the answer.
    HangsUpAtOnce,
    /// Gives up while it rings, or just after.
    GivesUp,
}

impl Kind {
    /// What the call number so-and-so is; half of them are conversations.
    fn of(number: usize) -> Self {
        match number % 12 {
            0 => Self::TalksOverABadLine,
            1 => Self::IsSilent,
            2 => Self::PressesKeys,
            3 => Self::Holds,
            4 => Self::HearsTheEcho,
            5 => Self::HangsUpAtOnce,
            6 if number % 24 == 6 => Self::GivesUp,
            _ => Self::Talks,
        }
    }
}

/// One who calls.
pub(super) struct Caller {
    pub(super) switch: Switch,
    pub(super) clips: Arc<[Clip]>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) end: Instant,
}

impl Caller {
    /// Calls until the run is over.
    pub(super) async fn keeps_calling(self, slot: usize) {
        let mut round = 0;
        while Instant::now() < self.end {
            let number = slot * 7 + round * 5;
            let kind = Kind::of(number);
            let outcome = self.call(kind, slot, number).await;
            let answered = outcome.answered;
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).add(kind, &outcome);
            if !answered && kind != Kind::GivesUp {
                sleep(AGAIN).await;
            }
            round += 1;
        }
    }

    async fn call(&self, kind: Kind, slot: usize, number: usize) -> CallOutcome {
        let to = if kind == Kind::HearsTheEcho { ECHO } else { NUMBER };
        let mut plan = CallPlan::new(to).from(format!("+1555{slot:07}")).deaf();
        if kind == Kind::TalksOverABadLine {
            plan = plan.impairments(Impairments {
                loss: 0.03,
                jitter: Duration::from_millis(30),
                reorder: 0.01,
                duplicate: 0.01,
                seed: number as u64,
                ..Impairments::default()
            });
        }
        let call = self.switch.dial(plan);
        if kind == Kind::GivesUp {
            sleep(Duration::from_millis(number as u64 % 60)).await;
        } else {
            call.reaches(Progress::Answered).await;
            let seconds = SHORTEST_S + (number as u64).wrapping_mul(2_654_435_761) % (LONGEST_S - SHORTEST_S);
            let until = (Instant::now() + Duration::from_secs(seconds)).min(self.end);
            tokio::select! {
                () = self.behave(&call, kind, number, until) => {}
                () = call.reaches(Progress::Ended) => {}
            }
        }
        call.hang_up();
        call.outcome().await
    }

    async fn behave(&self, call: &CallHandle, kind: Kind, number: usize, until: Instant) {
        let answered = Instant::now();
        match kind {
            Kind::Talks | Kind::TalksOverABadLine => {
                let lengths: Vec<Duration> = self.clips.iter().map(Clip::duration).collect();
                for line in talk::lines(number, until - answered, &lengths) {
                    sleep_until(answered + line.at).await;
                    call.say(&self.clips[line.clip]).await;
                }
                sleep_until(until).await;
            }
            // The agent asks once whether they are there, and hangs up; a minute is more than that takes.
            Kind::IsSilent => drop(timeout(Duration::from_secs(60), call.reaches(Progress::Ended)).await),
            Kind::PressesKeys => {
                while Instant::now() < until {
                    sleep(Duration::from_secs(2)).await;
                    call.dtmf("12#").await;
                }
            }
            Kind::Holds => {
                while Instant::now() < until {
                    sleep(Duration::from_secs(4)).await;
                    call.hold();
                    sleep(Duration::from_secs(2)).await;
                    call.unhold();
                    call.say(&self.clips[number % self.clips.len()]).await;
                }
            }
            Kind::HearsTheEcho => {
                call.say_for_ever(&self.clips[number % self.clips.len()]);
                sleep_until(until).await;
            }
            Kind::HangsUpAtOnce | Kind::GivesUp => sleep(Duration::from_millis(number as u64 % 1_000)).await,
        }
    }
}

/// What became of the calls.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) kinds: BTreeMap<Kind, usize>,
    pub(super) refused: usize,
    pub(super) hung_up_by_the_agent: usize,
    /// Ended by the other side though nothing was wrong with the caller, by why and after how many attempts.
    pub(super) cut: BTreeMap<String, usize>,
    pub(super) taken_over: usize,
    pub(super) packets: u64,
    /// Packets that never reached their callers.
    pub(super) lost: u64,
    pub(super) script_errors: usize,
}

impl Tally {
    fn add(&mut self, kind: Kind, outcome: &CallOutcome) {
        *self.kinds.entry(kind).or_default() += 1;
        self.script_errors += usize::from(outcome.script_error.is_some());
        if !outcome.answered {
            self.refused += usize::from(kind != Kind::GivesUp);
            return;
        }
        match (outcome.ended_by, kind) {
            (EndedBy::Switch, Kind::IsSilent) => self.hung_up_by_the_agent += 1,
            (EndedBy::Switch, _) => {
                let how = format!("{kind:?}: {} after {} attempts", outcome.cause, outcome.attempts);
                *self.cut.entry(how).or_default() += 1;
            }
            (EndedBy::Caller, _) => {}
        }
        self.taken_over += usize::from(outcome.legs.len() > 1);
        self.packets += outcome.packets_received();
        self.lost += outcome.packets_lost();
    }

    /// Calls in all.
    pub(super) fn calls(&self) -> usize {
        self.kinds.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls: {:?}", self.calls(), self.kinds)?;
        write!(
            f,
            "{} refused, {} hung up by the agent, {} taken over, {} packets heard",
            self.refused, self.hung_up_by_the_agent, self.taken_over, self.packets
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_every_kind_of_caller_in_turn() {
        for slot in 0..5 {
            let kinds: std::collections::BTreeSet<Kind> = (0..24).map(|round| Kind::of(slot * 7 + round * 5)).collect();
            assert_eq!(kinds.len(), 8, "{kinds:?}");
        }
    }
}
