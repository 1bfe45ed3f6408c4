//! Runs the steps of a plan, and reads them from text. Never waits for a fixed time unless a step says so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::call::CallShared;
use crate::handle::{Progress, Snapshot, WaitError};
use crate::media::pump::Order;
use crate::media::{Clip, ClipError};
use crate::plan::{CallPlan, Step};

/// Why a script stopped, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A step waited in vain.
    #[error("step {number} ({step}): {source}")]
    Step {
        /// 1 for the first.
        number: usize,
        /// Its name.
        step: String,
        /// What it waited for.
        source: WaitError,
    },
    /// No answer.
    #[error(transparent)]
    NoAnswer(WaitError),
    /// A line that is no step.
    #[error("line {number}: {line:?}: expected {expected}")]
    Line {
        /// 1 for the first.
        number: usize,
        /// The line.
        line: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A file that a line names.
    #[error("line {number}: {source}")]
    Clip {
        /// 1 for the first.
        number: usize,
        /// What is wrong with it.
        source: ClipError,
    },
}

/// Runs the plan's steps from the answer on.
pub(crate) async fn run(call: Arc<CallShared>, plan: CallPlan) -> Result<(), ScriptError> {
    match call.answered(plan.answer_timeout).await {
        Ok(_) => {}
        // Refused: that is an outcome, not a script that went wrong.
        Err(error) if error.ended => return Ok(()),
        Err(error) => return Err(ScriptError::NoAnswer(error)),
    }
    for (at, step) in plan.steps.iter().enumerate() {
        let failed = |source| ScriptError::Step { number: at + 1, step: name(step), source };
        let wait = |what: &'static str| (what, plan.step_timeout);
        let result = match step {
            Step::Say(clip) => {
                call.say(clip).await;
                Ok(())
            }
            Step::SayForEver(clip) => {
                call.order(Order::Say { clip: clip.clone(), looped: true, done: None });
                Ok(())
            }
            Step::StopSaying => {
                call.order(Order::StopSaying);
                Ok(())
            }
            Step::Dtmf(digits) => {
                call.dial(digits).await;
                Ok(())
            }
            Step::Info(digits) => {
                call.info(digits).await;
                Ok(())
            }
            Step::Wait(duration) => {
                // An end before its time ends the wait.
                call.reaches(Progress::Ended, *duration).await;
                Ok(())
            }
            Step::Hold => {
                call.hold(true);
                Ok(())
            }
            Step::Unhold => {
                call.hold(false);
                Ok(())
            }
            Step::HangUp => {
                call.hang_up();
                return Ok(());
            }
            Step::WaitForAgent => call.agent_finishes(plan.step_timeout).await.map(drop),
            Step::WaitForSpeech => {
                let (what, limit) = wait("the agent to speak");
                call.wait_until(what, limit, |snapshot| snapshot.agent_speaks).await.map(drop)
            }
            Step::WaitForSilence(pause) => {
                let (what, limit) = wait("silence");
                let since = call.now_ms();
                let quiet = |snapshot: &Snapshot| {
                    let waited = Duration::from_secs_f64((snapshot.at_ms - since).max(0.0) / 1e3);
                    snapshot.agent_quiet_for.map_or(waited, |quiet| quiet) >= *pause
                };
                call.wait_until(what, limit, quiet).await.map(drop)
            }
            Step::ExpectDtmf(digits) => {
                let (what, limit) = wait("digits");
                call.wait_until(what, limit, |snapshot| snapshot.digits.ends_with(digits.as_str())).await.map(drop)
            }
            Step::WaitForAttempt(attempt) => {
                let (what, limit) = wait("a takeover");
                let taken =
                    |snapshot: &Snapshot| snapshot.legs.iter().any(|leg| leg.attempt >= *attempt && leg.received > 0);
                call.wait_until(what, limit, taken).await.map(drop)
            }
            Step::WaitForHangup => {
                let (what, limit) = wait("the other side to hang up");
                call.wait_until(what, limit, |snapshot| snapshot.progress == Progress::Ended).await.map(drop)
            }
        };
        result.map_err(failed)?;
    }
    Ok(())
}

fn name(step: &Step) -> String {
    match step {
        Step::Say(clip) => format!("say {:.1} s", clip.duration().as_secs_f64()),
        Step::SayForEver(clip) => format!("say-for-ever {:.1} s", clip.duration().as_secs_f64()),
        other => format!("{other:?}"),
    }
}

const EXPECTED: &str = "say FILE.wav, say-for-ever FILE.wav, stop-saying, wait MS, wait-for-agent, wait-for-speech, wait-for-silence MS, wait-for-attempt N, \
    wait-for-hangup, dtmf DIGITS, info DIGITS, expect-dtmf DIGITS, hold, unhold or hangup";

impl CallPlan {
    /// Adds the steps of a script: one a line, empty lines and lines beginning with `#` left out. WAV files are looked for in
    /// `directory`.
    ///
    /// ```text
    /// wait-for-agent
    /// say hello.wav
    /// wait-for-agent
    /// dtmf 12#
    /// hangup
    /// ```
    ///
    /// # Errors
    /// A line that is no step, or a file that cannot be said.
    pub fn script(self, text: &str, directory: &Path) -> Result<Self, ScriptError> {
        self.script_of(text, |file| Clip::from_wav(directory.join(file)))
    }

    /// As [`Self::script`], with the recordings from `clip`, by the name that stands behind `say`.
    ///
    /// # Errors
    /// See there.
    pub fn script_of(
        mut self,
        text: &str,
        clip: impl Fn(&str) -> Result<Clip, ClipError>,
    ) -> Result<Self, ScriptError> {
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = at + 1;
            let bad = || ScriptError::Line { number, line: line.to_owned(), expected: EXPECTED };
            let (word, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let argument = argument.trim();
            let ms = || argument.parse().map(Duration::from_millis).map_err(|_| bad());
            let text = || if argument.is_empty() { Err(bad()) } else { Ok(argument.to_owned()) };
            let recording = || clip(&text()?).map_err(|source| ScriptError::Clip { number, source });
            let step = match word {
                "say" => Step::Say(recording()?),
                "say-for-ever" => Step::SayForEver(recording()?),
                "stop-saying" => Step::StopSaying,
                "wait" => Step::Wait(ms()?),
                "wait-for-agent" => Step::WaitForAgent,
                "wait-for-speech" => Step::WaitForSpeech,
                "wait-for-silence" => Step::WaitForSilence(ms()?),
                "wait-for-attempt" => Step::WaitForAttempt(argument.parse().map_err(|_| bad())?),
                "wait-for-hangup" => Step::WaitForHangup,
                "dtmf" => Step::Dtmf(text()?),
                "info" => Step::Info(text()?),
                "expect-dtmf" => Step::ExpectDtmf(text()?),
                "hold" => Step::Hold,
                "unhold" => Step::Unhold,
                "hangup" => Step::HangUp,
                _ => return Err(bad()),
            };
            self.steps.push(step);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_line_by_line() {
        let script = "# greeting\nwait-for-agent\n\n  dtmf 12#\nwait 250\nhold\nunhold\nhangup\n";
        let plan = CallPlan::new("1").script(script, Path::new(".")).unwrap();
        let names: Vec<String> = plan.steps.iter().map(name).collect();
        assert_eq!(names, ["WaitForAgent", "Dtmf(\"12#\")", "Wait(250ms)", "Hold", "Unhold", "HangUp"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (script, line) in
            [("hangup\nshout\n", 2), ("wait soon", 1), ("say", 1), ("dtmf", 1), ("say /no/such.wav", 1)]
        {
            let error = CallPlan::new("1").script(script, Path::new(".")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{error}");
        }
    }
}
