//! A bad network between the caller and the pod: the call goes on, words stay recognisable, and the record says what
//! was lost.

use std::time::Duration;

use e2e::{Dialogue, PodProcess, SpeechServer, skipped};
use switchsim::{EndedBy, Impairments};

#[tokio::test]
async fn five_percent_of_loss_sixty_milliseconds_of_jitter_and_reordering_leave_words_recognisable() {
    let server = match SpeechServer::start().await {
        Ok(server) => server,
        Err(why) => return skipped(&why),
    };
    let network = Impairments {
        loss: 0.05,
        jitter: Duration::from_millis(60),
        reorder: 0.02,
        duplicate: 0.01,
        clock_drift_ppm: 150.0,
        seed: 7,
    };
    let voices = ["go_forward", "seven_of_clubs", "queen_of_clubs", "amiable_woman"];
    let pod = PodProcess::builder().set("CODECS", "PCMU");
    let dialogue = match Dialogue::hold(&server, pod, network, &voices).await {
        Ok(dialogue) => dialogue,
        Err(why) => return skipped(&why),
    };
    println!("{dialogue}");
    let rtp = dialogue.record.rtp.expect("a call with packets");
    let leg = &dialogue.outcome.legs[0];
    println!(
        "the network lost {} packets and held {} back at the end; the record: {rtp:?}",
        leg.dropped, leg.undelivered
    );
    assert_eq!((dialogue.outcome.ended_by, dialogue.outcome.attempts), (EndedBy::Caller, 1), "the call goes on");
    assert_eq!(leg.lost, 0, "and the way back is not harmed");
    assert!(rtp.lost <= leg.dropped + leg.undelivered, "{leg:?}: {rtp:?}");
    // What was lost after the last packet that came cannot be known to be lost.
    assert!(rtp.lost + 10 >= leg.dropped, "{leg:?}: {rtp:?}");
    assert!(rtp.concealed >= rtp.lost / 2, "what is lost is concealed: {rtp:?}");
    assert!(rtp.duplicate > 0 && rtp.reordered > 0 && rtp.jitter_ms > 0.0, "{rtp:?}");
    assert!(dialogue.understood_ratio() >= 0.8, "words stay recognisable");
    assert!(dialogue.heard_ratio() >= dialogue.best_ratio() - 0.1, "the way back is as good as the line");
}
