//! Real speech through the whole path, both ways: callers' recordings are recognised behind the pod, and what the
//! synthesiser says is recognised again at the caller's ear.

use e2e::{Dialogue, PodProcess, SpeechServer, skipped};
use switchsim::Impairments;

async fn words_get_through(codec: &str, named: &str) {
    let server = match SpeechServer::start().await {
        Ok(server) => server,
        Err(why) => return skipped(&why),
    };
    let voices = ["go_forward", "seven_of_clubs", "queen_of_clubs", "amiable_woman"];
    let pod = PodProcess::builder().set("CODECS", codec);
    let dialogue = match Dialogue::hold(&server, pod, Impairments::default(), &voices).await {
        Ok(dialogue) => dialogue,
        Err(why) => return skipped(&why),
    };
    println!("{dialogue}");
    let leg = &dialogue.outcome.legs[0];
    assert_eq!((leg.codec.as_str(), leg.lost), (named, 0));
    // Of the recogniser's own kind of mistakes one in ten words is allowed for.
    assert!(dialogue.understood_ratio() >= 0.9, "the pod's recogniser gets the callers' words");
    // The synthesiser's voice is hard for this recogniser on a narrow line, pod or no pod.
    assert!(
        dialogue.heard_ratio() >= dialogue.best_ratio() - 0.1,
        "no worse where the caller listens than at the synthesiser"
    );
    if named.ends_with("/16000") {
        assert!(dialogue.heard_ratio() >= 0.7, "the agent's words can be recognised where the caller listens");
    }
    assert_eq!(dialogue.record.turns.len(), voices.len(), "each was one turn: {:?}", dialogue.record.turns);
    assert!(dialogue.record.errors.is_empty(), "{:?}", dialogue.record.errors);
    let last = dialogue.record.turns.last().expect("turns");
    assert!(last.agent_text.contains("turn number four"), "the model was given the history: {last:?}");
}

#[tokio::test]
async fn words_get_through_both_ways_on_a_narrowband_line() {
    words_get_through("PCMU", "PCMU/8000").await;
}

#[tokio::test]
async fn words_get_through_both_ways_on_a_wideband_line() {
    words_get_through("G722", "G722/16000").await;
}
