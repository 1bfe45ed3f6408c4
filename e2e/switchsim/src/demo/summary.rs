//! The end of the demo: what was checked, how the line was, where everything is. Reads only what is written down by then.

use std::io;

use sofia_dataplane::record::CallRecord;
use switchsim::CallOutcome;

use super::folder::{Folder, Kept};
use super::screen::{BAD, DIM, GOOD, STRONG, Screen, wrapped};
use super::tally::Tally;

/// Where the words begin.
const INDENT: usize = 12;

/// Prints it.
///
/// # Errors
/// Nobody reads any more.
pub fn print(
    screen: &mut Screen,
    tally: &Tally,
    outcome: Option<&CallOutcome>,
    kept: Option<&Kept>,
    folder: &Folder,
) -> io::Result<()> {
    screen.print("\n")?;
    for (what, done) in tally.checks() {
        let sign = if done { screen.styled(GOOD, "✓") } else { screen.styled(BAD, "✗") };
        screen.print(&format!("  {sign} {what}\n"))?;
    }
    for problem in &tally.problems {
        let sign = screen.styled(BAD, "✗");
        screen.print(&format!("  {sign} {}\n", wrapped(problem, 4)))?;
    }
    screen.print("\n")?;
    if let Some(wait) = median(&tally.waits_ms) {
        let mut text = format!("answers {:.2} s after the caller (median)", f64::from(wait) / 1e3);
        if let Some(after) = tally.silent_after {
            text += &format!(", falls silent {} ms after an interruption", after.as_millis());
        }
        row(screen, "agent", &text)?;
    }
    if let Some(outcome) = outcome {
        row(screen, "to caller", &heard_by_caller(outcome))?;
    }
    if let Some(Kept { record, recording_seconds }) = kept {
        if let Some(line) = heard_by_pod(record) {
            row(screen, "to pod", &line)?;
        }
        row(screen, "ended", &record.ending.words().to_lowercase())?;
        screen.print("\n")?;
        row(screen, "page", &folder.shown("call.html"))?;
        row(
            screen,
            "sound",
            &format!("{}: {recording_seconds:.0} s, caller left, agent right", folder.shown("call.wav")),
        )?;
        row(screen, "record", &folder.shown("call.json"))?;
    }
    row(screen, "pod's log", &folder.shown("pod.log"))?;
    let next = if kept.is_some() && tally.is_good() {
        format!("Next: open {} in a browser, and listen.", folder.shown("call.html"))
    } else {
        format!("The call did not do what it should; {} may tell why.", folder.shown("pod.log"))
    };
    let next = screen.styled(STRONG, &next);
    screen.print(&format!("\n{next}\n\n"))
}

fn row(screen: &mut Screen, name: &str, text: &str) -> io::Result<()> {
    let name = screen.styled(DIM, &format!("{name:<10}"));
    screen.print(&format!("  {name}{}\n", wrapped(text, INDENT)))
}

fn median(values: &[u32]) -> Option<u32> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

fn heard_by_caller(outcome: &CallOutcome) -> String {
    let jitter = outcome.legs.iter().map(|leg| leg.jitter_ms).fold(0.0, f64::max);
    format!(
        "{} packets, {} lost, jitter {jitter:.1} ms, pacing p50 {:.1} ms and p99 {:.1} ms off",
        outcome.packets_received(),
        outcome.packets_lost(),
        outcome.pacing.p50_ms,
        outcome.pacing.p99_ms
    )
}

fn heard_by_pod(record: &CallRecord) -> Option<String> {
    let rtp = record.rtp.as_ref()?;
    Some(format!("{} packets, {} lost, {} late, jitter {:.1} ms", rtp.received, rtp.lost, rtp.late, rtp.jitter_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_that_was_there() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1_200]), Some(1_200));
        assert_eq!(median(&[1_300, 1_200]), Some(1_200));
        assert_eq!(median(&[3, 1, 2]), Some(2));
    }
}
