//! What the caller of the demo does, and what comes back to the caller's ear. It listens and never looks into the pod.

use std::time::Duration;

use anyhow::{Context, Result};
use switchsim::{CallHandle, Happening, Snapshot};
use tokio::sync::mpsc::Sender;

use super::Told;
use super::voices::{Phrase, phrases};

/// How long the caller waits for anything.
const PATIENCE: Duration = Duration::from_secs(8);
/// Where in the agent's first answer the caller interrupts it: amid its second sentence.
const INTO_THE_ANSWER: Duration = Duration::from_millis(2_050);
/// A pause that means: the agent was cut.
const CUT: Duration = Duration::from_millis(300);
const KEYS: &str = "12#";

/// A moment of the call, as the caller has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scene {
    /// The call was answered.
    Answered {
        /// From the pod's connection to its answer, in milliseconds.
        setup_ms: f64,
        /// Codec and packet time.
        media: String,
    },
    /// The greeting was heard.
    Greeted,
    /// The caller begins to say something.
    Says {
        /// The words.
        words: String,
        /// Whether the agent is speaking.
        over_the_agent: bool,
    },
    /// The agent fell silent.
    FellSilent {
        /// How long ago that was.
        ago: Duration,
        /// How long after the caller's first sound that was.
        after: Duration,
    },
    /// The caller presses keys.
    Presses(&'static str),
    /// The agent's voice came so long after the last key.
    KeysAnswered(Duration),
    /// An answer was heard to its end.
    HeardAnswer,
    /// The caller hangs up.
    HangsUp,
}

/// Plays the caller's part, to the end or to the first thing that does not come.
///
/// # Errors
/// What was waited for in vain.
pub async fn play(call: &CallHandle, told: &Sender<Told>) -> Result<()> {
    let tell = async |scene| drop(told.send(Told::Caller(scene)).await);
    let [question, interruption] = phrases()?;
    let answered = call.wait_until("an answer", PATIENCE, |now| now.answered && !now.legs.is_empty()).await?;
    tell(how_it_was_answered(&answered)).await;

    call.agent_finishes(PATIENCE).await.context("the greeting")?;
    tell(Scene::Greeted).await;

    tell(Scene::Says { words: question.words.clone(), over_the_agent: false }).await;
    call.say(&question.clip).await;
    call.agent_speaks(PATIENCE).await.context("the first answer")?;
    tokio::time::sleep(INTO_THE_ANSWER).await;

    tell(Scene::Says { words: interruption.words.clone(), over_the_agent: true }).await;
    let silence = async {
        tell(falls_silent(call, &interruption).await.context("the interruption")?).await;
        anyhow::Ok(())
    };
    let (silence, ()) = tokio::join!(silence, call.say(&interruption.clip));
    silence?;
    call.agent_finishes(PATIENCE).await.context("the second answer")?;
    tell(Scene::HeardAnswer).await;

    tell(Scene::Presses(KEYS)).await;
    call.dtmf(KEYS).await;
    let pressed_ms = call.snapshot().at_ms;
    let answer = call.agent_speaks(PATIENCE).await.context("an answer to the keys")?;
    tell(Scene::KeysAnswered(millis(answer.at_ms - pressed_ms))).await;
    call.agent_finishes(PATIENCE).await.context("the third answer")?;
    tell(Scene::HeardAnswer).await;

    tell(Scene::HangsUp).await;
    call.hang_up();
    Ok(())
}

fn how_it_was_answered(call: &Snapshot) -> Scene {
    let setup = call.timeline.iter().find_map(|event| match &event.what {
        Happening::LegAnswered { setup_ms, .. } => Some(*setup_ms),
        _ => None,
    });
    let media = call.legs.first().map_or_else(String::new, |leg| format!("{}, {} ms", leg.codec, leg.ptime_ms));
    Scene::Answered { setup_ms: setup.unwrap_or_default(), media }
}

/// Waits for the agent to be cut by `phrase`, which begins now.
async fn falls_silent(call: &CallHandle, phrase: &Phrase) -> Result<Scene> {
    let sound_ms = call.snapshot().at_ms + phrase.lead_in.as_secs_f64() * 1e3;
    let silent = |now: &Snapshot| now.at_ms > sound_ms && now.agent_quiet_for.is_some_and(|quiet| quiet >= CUT);
    let silent = call.wait_until("the agent to fall silent", PATIENCE, silent).await?;
    let last_ms = silent.agent_speech.last().map_or(sound_ms, |burst| burst.end_ms);
    Ok(Scene::FellSilent { ago: millis(silent.at_ms - last_ms), after: millis(last_ms - sound_ms) })
}

fn millis(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1e3)
}
