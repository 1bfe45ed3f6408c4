//! Conversations of minutes, with everything that callers do, and two takeovers: what a call costs does not grow, nothing that it asked
//! for is left open, and the model knows of the agent's words those that the caller heard. `make marathon` holds more of them, for longer.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::counting_server::{FIRST_WORDS, LONG_SENTENCE, questions};
use e2e::structures::{Most, Watch, nothing_left};
use e2e::{CountingServer, PodBuilder, PodProcess, Usage, eventually, switch, tone_words, voice};
use nix::sys::signal::Signal;
use sofia_dataplane::record::CallRecord;
use switchsim::{CallHandle, CallOutcome, CallPlan, Clip, EndedBy, Switch, WaitError};

/// Callers who get no answer for so long ask again, as people do: their words were lost with a pod.
const PATIENT_FOR: Duration = Duration::from_secs(20);
/// All calls at once have to share two cores with whoever else works there.
const LONG: Duration = Duration::from_secs(60);
const TOKEN: &str = "looks-inside";
/// The most that one call may ever hold of each structure that grows, whatever it is asked for; but of the record, which grows with it.
const HELD: [(&str, u64); 13] = [
    ("history", 50),
    ("sentences", 32),
    ("utterances", 8),
    ("lost_words", 1),
    ("clips", 64),
    ("voice", 32),
    ("requests", 4),
    ("answers", 64),
    ("media_clips", 6),
    ("media_marks", 6),
    ("commands", 8),
    ("journal_turns", 16),
    ("journal_clips", 8),
];
/// What callers offer, in turn.
const CODECS: [&str; 3] = ["PCMU", "PCMA", "G722"];

/// How much of it.
struct Marathon {
    calls: usize,
    /// From the last greeting to the last word.
    lasts: Duration,
    /// When the pod of all calls is killed, and when the next one of all calls is drained.
    killed: Duration,
    drained: Duration,
    /// Of so many calls one is listened to word by word.
    heard_of: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_go_on_over_two_pods_and_leave_nothing_open_or_made_up() {
    let seconds = Duration::from_secs;
    let small = Marathon { calls: 20, lasts: seconds(120), killed: seconds(40), drained: seconds(80), heard_of: 1 };
    small.run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a quarter of an hour: make marathon"]
async fn marathon() {
    let seconds = Duration::from_secs;
    let whole = Marathon { calls: 200, lasts: seconds(660), killed: seconds(40), drained: seconds(80), heard_of: 4 };
    let minutes = whole.run().await;
    stays_flat(&minutes, whole.calls);
}

impl Marathon {
    /// Holds the conversations; returns what the last pod had used at each full minute.
    async fn run(&self) -> Vec<Usage> {
        let server = CountingServer::start().await;
        let pod = || server.backend_of(pods(self.calls)).start();
        let (first, mut second, last) = (pod().await, pod().await, pod().await);
        let watched = [&first, &second, &last].map(|pod| Watch::of(pod, TOKEN));
        let switch = switch(&[&first.esl(), &second.esl(), &last.esl()]).start().unwrap();
        let callers = self.dial(&switch).await;
        let began = Instant::now();
        let until = began + self.lasts;
        let talking: Vec<_> = callers.into_iter().map(|caller| tokio::spawn(caller.talk(until))).collect();

        tokio::time::sleep_until((began + self.killed).into()).await;
        first.signal(Signal::SIGKILL);
        tokio::time::sleep_until((began + self.drained).into()).await;
        let taken_over = second.metric("sofia_phone_takeovers_total").await as usize;
        assert!(taken_over >= self.calls, "{taken_over} were taken over");
        second.signal(Signal::SIGTERM);
        second.exit().await;
        let mut minutes = Vec::new();
        while Instant::now() + Duration::from_secs(60) < until {
            minutes.push(Usage::of(last.id()));
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        minutes.push(Usage::of(last.id()));

        let mut outcomes = Vec::new();
        for talking in talking {
            outcomes.push(talking.await.expect("callers do not panic"));
        }
        last.await_empty().await;
        println!(
            "{} replies asked for, {} of them open at most at a time, callers asked again {} times",
            server.chats(),
            server.most_open(),
            outcomes.iter().map(|outcome| outcome.asked_again).sum::<usize>(),
        );
        // A machine that stands still for a second while all callers come back at once costs some of them another attempt.
        let further: u32 = outcomes.iter().map(|talked| talked.outcome.attempts.saturating_sub(3)).sum();
        let further = further as usize;
        println!("{further} attempts beyond the three of each call");
        assert!(further <= self.calls / 20, "{further} attempts failed");
        for Talked { outcome, asked_again } in &outcomes {
            assert_eq!((outcome.answered, outcome.ended_by), (true, EndedBy::Caller), "{outcome}");
            assert!(outcome.attempts >= 3, "{outcome}");
            // Once for each pod that was lost with words of theirs.
            assert!(*asked_again <= 2, "asked again {asked_again} times\n{outcome}");
        }
        let mut records = eventually("a record of each call", async || {
            let records = last.folder().records(self.calls).await;
            let calls: BTreeSet<&str> = records.iter().map(|record| &*record.call_id).collect();
            (calls.len() == self.calls).then_some(records)
        })
        .await;
        assert!(records.len() <= self.calls + further, "one record a call, and one of each attempt that failed");
        // What the last attempt knows is the newest.
        records.sort_by_key(|record| Reverse(record.attempt));
        self.model_knows_what_was_heard(&server, &records, &outcomes);
        assert_eq!(server.left_open(), [], "replies that nobody took back although the call had gone on");
        eventually("every reply to be closed", async || (server.open() == 0).then_some(())).await;
        for watched in &watched {
            self.is_bounded(&watched.most());
        }
        nothing_left(&last, TOKEN).await;
        minutes
    }

    /// No structure holds more than a call needs, however long it lasts.
    fn is_bounded(&self, most: &Most) {
        println!("{} looks; the most of a call {:?}; of the pod {:?}", most.looks, most.call, most.pod);
        assert!(most.looks > 5 && most.pod["sessions"] as usize == self.calls, "{most:?}");
        let named: Vec<&str> = HELD.iter().map(|(name, _)| *name).chain(["record"]).collect();
        for (name, held) in &most.call {
            assert!(named.contains(&name.as_str()), "nothing is said here of how much a call may hold of {name}");
            let bound = HELD.iter().find(|(known, _)| known == name).map_or(u64::MAX, |(_, bound)| *bound);
            assert!(*held <= bound, "a call held {held} {name}, expected {bound} at most: {most:?}");
        }
        let calls = self.calls as u64;
        for (name, held) in &most.pod {
            let bound = match name.rsplit('.').next() {
                Some("addresses" | "scheduled") => 2 * calls,
                _ => calls,
            };
            assert!(*held <= bound, "the pod held {held} {name}, expected {bound} at most: {most:?}");
        }
    }

    /// Dials, and waits until each was greeted.
    async fn dial(&self, switch: &Switch) -> Vec<Caller> {
        let mut callers = Vec::new();
        for at in 0..self.calls {
            let plan = CallPlan::new("15550100").from(format!("+1555{at:07}")).codecs(CODECS[at % CODECS.len()]);
            let plan = plan.answer_timeout(LONG).step_timeout(LONG);
            let plan = if at.is_multiple_of(self.heard_of) { plan } else { plan.unrecorded() };
            callers.push(Caller { at, call: switch.dial(plan) });
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        for caller in &callers {
            let greeted = caller
                .call
                .wait_until("its greeting", LONG, |call| call.agent_finished(0.0, Duration::from_millis(700)));
            greeted.await.unwrap_or_else(|error| panic!("call {}: {error}", caller.at));
        }
        callers
    }

    fn model_knows_what_was_heard(&self, server: &CountingServer, records: &[CallRecord], outcomes: &[Talked]) {
        let (mut answers, mut differ) = (0, 0);
        for Talked { outcome, .. } in outcomes.iter().filter(|talked| !talked.outcome.heard.is_empty()) {
            let record =
                records.iter().find(|record| record.call_id == outcome.uuid).expect("each call has its record");
            let said = record.turns.iter().flat_map(|turn| questions(&turn.caller_text));
            let known = said.into_iter().rev().find_map(|question| server.answers(question)).expect("it was answered");
            let heard = replies(&tone_words::heard(&outcome.heard));
            let known: Vec<Vec<usize>> = known.into_iter().filter(|words| !words.is_empty()).collect();
            let differences = differences(&known, &heard);
            answers += known.len();
            // A pod that is lost takes the place in a sentence with it: that sentence begins anew.
            let wrong: Vec<_> = differences.iter().filter(|words| **words > 1).collect();
            differ += wrong.len();
            assert!(
                wrong.len() <= 2 && wrong.iter().all(|words| **words <= LONG_SENTENCE + 1),
                "{differences:?}\nthe model knows of {known:?}\nheard was {heard:?}\n{outcome}"
            );
        }
        println!("{answers} answers, known as they were heard but for a word; {differ} over a takeover");
    }
}

fn pods(calls: usize) -> PodBuilder {
    PodProcess::builder()
        .recording()
        .set("RECORD_AUDIO", false)
        .set("MAX_SESSIONS", calls * 2)
        .set("GREETING", "Bapa nivo nisa.")
        .set("SILENCE_SECONDS", 0)
        .set("DRAIN_DEADLINE_SECONDS", 1)
        .set("ADMIN_TOKEN", TOKEN)
}

struct Caller {
    at: usize,
    call: CallHandle,
}

struct Talked {
    outcome: CallOutcome,
    asked_again: usize,
}

impl Caller {
    /// Does one thing after the other, each caller beginning elsewhere in the same round, and hangs up.
    async fn talk(self, until: Instant) -> Talked {
        let mut asked_again = 0;
        for turn in self.at.. {
            if Instant::now() >= until {
                break;
            }
            let done = match turn % 7 {
                0 | 4 => self.ask().await,
                1 | 5 => self.interrupt(Duration::from_millis(700 + 300 * (turn as u64 % 6))).await,
                2 => self.ask_in_two_halves().await,
                3 => self.press_keys().await,
                _ => self.hold(Duration::from_secs(5)).await,
            };
            if let Err(error) = done {
                assert!(!error.ended, "call {}: {error}", self.at);
                asked_again += 1;
            }
        }
        self.call.hang_up();
        Talked { outcome: self.call.outcome().await, asked_again }
    }

    async fn ask(&self) -> Result<(), WaitError> {
        self.call.say(&voice("five_five")).await;
        self.call.agent_finishes(PATIENT_FOR).await.map(drop)
    }

    async fn interrupt(&self, after: Duration) -> Result<(), WaitError> {
        self.call.say(&voice("go_forward")).await;
        self.call.agent_speaks(PATIENT_FOR).await?;
        self.call.say(&Clip::silence(after)).await;
        self.call.say(&voice("go_somewhere")).await;
        self.call.agent_finishes(PATIENT_FOR).await.map(drop)
    }

    /// A pause that is a little longer than what ends a turn: the first half is being answered when the second one comes.
    async fn ask_in_two_halves(&self) -> Result<(), WaitError> {
        self.call.say(&voice("five_five")).await;
        self.call.say(&Clip::silence(Duration::from_millis(950))).await;
        self.call.say(&voice("go_forward")).await;
        self.call.agent_finishes(PATIENT_FOR).await.map(drop)
    }

    async fn press_keys(&self) -> Result<(), WaitError> {
        self.call.dtmf("12#").await;
        self.call.agent_finishes(PATIENT_FOR).await.map(drop)
    }

    async fn hold(&self, held: Duration) -> Result<(), WaitError> {
        self.call.hold();
        tokio::time::sleep(held).await;
        self.call.unhold();
        Ok(())
    }
}

/// The words that were heard, reply by reply.
fn replies(heard: &[usize]) -> Vec<Vec<usize>> {
    let mut replies: Vec<Vec<usize>> = Vec::new();
    for word in heard {
        match replies.last_mut() {
            Some(reply) if *word >= FIRST_WORDS => reply.push(*word),
            _ => replies.push(vec![*word]),
        }
    }
    replies
}

/// What becomes of the next answer that is known and the next reply that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    BelongTogether,
    NeverHeard,
    NotKnown,
}

/// By how many words each answer that is known differs from what was heard of it, where they fit together best. The conversation may have
/// begun before what is known, and may have gone on after it.
fn differences(known: &[Vec<usize>], heard: &[Vec<usize>]) -> Vec<usize> {
    // From each place on to the end: how many words differ, and the next step.
    let mut best = vec![vec![(0, Step::NotKnown); heard.len() + 1]; known.len() + 1];
    for answer in (0..known.len()).rev() {
        for reply in (0..=heard.len()).rev() {
            let mut choices = vec![(best[answer + 1][reply].0 + known[answer].len(), Step::NeverHeard)];
            if let Some(heard) = heard.get(reply) {
                let together = best[answer + 1][reply + 1].0 + distance(&known[answer], heard);
                let before_all = answer == 0;
                let not_known = best[answer][reply + 1].0 + if before_all { 0 } else { heard.len() };
                choices.extend([(together, Step::BelongTogether), (not_known, Step::NotKnown)]);
            }
            best[answer][reply] = choices.into_iter().min().expect("there is a choice");
        }
    }
    let (mut differences, mut reply) = (Vec::new(), 0);
    while differences.len() < known.len() {
        let answer = &known[differences.len()];
        match best[differences.len()][reply].1 {
            Step::NeverHeard => differences.push(answer.len()),
            Step::NotKnown => reply += 1,
            Step::BelongTogether => {
                differences.push(distance(answer, &heard[reply]));
                reply += 1;
            }
        }
    }
    differences
}

/// Levenshtein's, in words.
fn distance(one: &[usize], other: &[usize]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, word) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, theirs) in other.iter().enumerate() {
            let changed = diagonal + usize::from(word != theirs);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// What a call costs from the second minute to the last.
fn stays_flat(minutes: &[Usage], calls: usize) {
    let share = |from: &Usage, to: &Usage| (to.cpu - from.cpu).as_secs_f64() / (to.at - from.at).as_secs_f64();
    let shares: Vec<f64> = minutes.windows(2).map(|pair| 100.0 * share(&pair[0], &pair[1]) / calls as f64).collect();
    let memory: Vec<f64> = minutes.iter().map(|usage| usage.rss_bytes as f64 / 1e6).collect();
    println!("% of a core a call, minute by minute: {shares:.3?}; MB in all: {memory:.1?}");
    let (first, last) = (shares[..2].iter().sum::<f64>(), shares[shares.len() - 2..].iter().sum::<f64>());
    assert!(last < first * 1.05, "the last minutes cost {:.1} % of the first", 100.0 * last / first);
    let (first, last) = (memory[1], memory[memory.len() - 1]);
    assert!(last < first * 1.05, "memory grew from {first:.1} to {last:.1} MB");
}
