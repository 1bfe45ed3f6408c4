use super::*;
use crate::metrics::WorkerCounters;

fn journal() -> Journal {
    let identity = CallIdentity {
        call_id: "a".to_owned(),
        caller: "+15550100".to_owned(),
        caller_name: String::new(),
        dialed: "1000".to_owned(),
        attempt: 1,
        pod: None,
        privacy: Privacy::Masked,
    };
    let now = Instant::now();
    Journal::new(&identity, Arc::new(Metrics::new(vec![Arc::new(WorkerCounters::new())], now)), now)
}

fn said(turn: u32) -> Mark {
    Mark::CallerSaid { turn: TurnId(turn), text: format!("words {turn}") }
}

#[test]
fn what_is_open_does_not_grow_with_the_call_and_every_turn_is_in_the_record_once() {
    let mut journal = journal();
    let now = Instant::now();
    for turn in 1..=300 {
        journal.conversation(now, &Mark::TurnStarted { turn: TurnId(turn) });
        journal.conversation(now, &said(turn));
        journal.speaking(Some(TurnId(turn)), ClipId(turn), "Yes.");
        journal.clip_started(ClipId(turn), now, Duration::ZERO);
        journal.clip_over(ClipId(turn), now);
        let mut entries = SessionEntries::default();
        journal.count(&mut entries);
        assert!(entries.journal_turns <= OPEN_TURNS && entries.journal_clips == 0, "{entries:?}");
    }
    // Too late to be of any use, and no second turn of that number.
    journal.conversation(now, &said(1));
    let record = journal.close(EndReason::CallerHungUp, None, now);
    let mut turns: Vec<u32> = record.turns.iter().map(|turn| turn.index).collect();
    turns.sort_unstable();
    assert_eq!(turns, (1..=300).collect::<Vec<_>>());
    assert!(record.turns.iter().all(|turn| turn.caller_text == format!("words {}", turn.index)));
}

#[test]
fn a_turn_whose_answer_is_being_heard_stays_open_over_many_others() {
    let mut journal = journal();
    let now = Instant::now();
    journal.conversation(now, &said(1));
    journal.speaking(Some(TurnId(1)), ClipId(1), "It is a long story.");
    journal.clip_started(ClipId(1), now, Duration::ZERO);
    for turn in 2..=100 {
        journal.conversation(now, &Mark::Backchannel { turn: TurnId(turn), text: "mm-hmm".to_owned() });
    }
    journal.conversation(now, &Mark::AgentSaid { turn: Some(TurnId(1)), text: "It is a long story.".to_owned() });
    let record = journal.close(EndReason::CallerHungUp, None, now);
    let first = record.turns.iter().find(|turn| turn.index == 1).expect("it is in the record");
    assert_eq!((first.heard_text.as_str(), record.turns.len()), ("It is a long story.", 100));
}
