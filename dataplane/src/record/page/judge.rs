//! What figures mean to a listener, in plain words. Pure; the thresholds are common practice of telephony and stand here
//! only.

use super::html::{count, dbfs, percent};
use crate::record::call::{AudioFigures, CallRecord, RtpFigures};

/// How much a figure matters to whoever listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Nothing that a listener would notice.
    Good,
    /// Noticed by who pays attention.
    Fair,
    /// It disturbs.
    Poor,
}

impl Verdict {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Good => "Good",
            Self::Fair => "Fair",
            Self::Poor => "Poor",
        }
    }
}

/// One row: a figure, and what it means. `verdict` is `None` where a figure only informs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) verdict: Option<Verdict>,
    pub(super) words: &'static str,
}

/// The steps of a scale that gets worse upwards: below the first limit good, below the second fair, else poor.
fn upwards(value: f32, limits: [f32; 2], words: [&'static str; 3]) -> (Verdict, &'static str) {
    // A figure that is not a number came from a broken record; it is not good.
    if value < limits[0] {
        (Verdict::Good, words[0])
    } else if value < limits[1] {
        (Verdict::Fair, words[1])
    } else {
        (Verdict::Poor, words[2])
    }
}

fn row(name: &'static str, value: String, (verdict, words): (Verdict, &'static str)) -> Row {
    Row { name, value, verdict: Some(verdict), words }
}

/// The network's rows.
pub(super) fn network(rtp: &RtpFigures) -> Vec<Row> {
    const LOSS: [f32; 2] = [0.005, 0.03];
    let expected = rtp.received.saturating_add(rtp.lost);
    let share = |part: u64| if expected == 0 { 0.0 } else { part as f32 / expected as f32 };
    let heard_loss = ["Nothing audible", "A careful ear hears it", "Words get lost"];
    let silent = "Nothing came from the caller";
    let mut rows = vec![Row {
        name: "Packets received",
        value: count(rtp.received),
        verdict: (rtp.received == 0).then_some(Verdict::Poor),
        words: if rtp.received == 0 { silent } else { "" },
    }];
    let with_share = |part: u64| match part {
        0 => "0".to_owned(),
        _ => format!("{} ({})", count(part), percent(share(part))),
    };
    rows.push(row("Lost on the way", with_share(rtp.lost), upwards(share(rtp.lost), LOSS, heard_loss)));
    let late = ["In time", "Some came after their turn", "The buffer is too short for this network"];
    rows.push(row("Too late to play", with_share(rtp.late), upwards(share(rtp.late), LOSS, late)));
    let concealed = ["Hardly any made up", "Some sound made up", "Much sound made up"];
    rows.push(row("Frames concealed", with_share(rtp.concealed), upwards(share(rtp.concealed), LOSS, concealed)));
    let jitter = ["Steady", "The jitter buffer absorbs it", "More than the jitter buffer absorbs"];
    rows.push(row("Jitter", format!("{:.1} ms", rtp.jitter_ms), upwards(rtp.jitter_ms, [10.0, 40.0], jitter)));
    rows.push(Row { name: "Packets sent", value: count(rtp.sent), verdict: None, words: "" });
    let pacing = ["On the beat", "A jitter buffer absorbs it", "The pod was short of processor time"];
    let paced = format!("{:.2} / {:.2} ms", rtp.pacing_p50_ms, rtp.pacing_p99_ms);
    rows.push(row("Off schedule, p50 / p99", paced, upwards(rtp.pacing_p99_ms, [10.0, 30.0], pacing)));
    if let Some(loss) = rtp.remote_loss {
        rows.push(row("Lost towards the caller", percent(loss), upwards(loss, LOSS, heard_loss)));
    }
    if let Some(trip) = rtp.round_trip_ms {
        // ITU-T G.114: up to 150 ms one way goes unnoticed, beyond 400 ms conversation suffers.
        let delay = ["Close by", "Noticeable in quick exchanges", "People talk over each other"];
        rows.push(row("Round trip", format!("{trip:.0} ms"), upwards(trip, [300.0, 800.0], delay)));
    }
    rows
}

/// The rows of one side's sound.
pub(super) fn sound(audio: &AudioFigures) -> Vec<Row> {
    let level = if audio.silent_ratio >= 0.995 {
        (Verdict::Poor, "Nothing was heard: one-way audio")
    } else if audio.rms_dbfs.is_nan() || audio.rms_dbfs < -42.0 {
        (Verdict::Poor, "Too quiet to follow")
    } else if audio.rms_dbfs < -33.0 {
        (Verdict::Fair, "Quiet")
    } else if audio.rms_dbfs > -9.0 {
        (Verdict::Fair, "Loud")
    } else {
        (Verdict::Good, "Comfortable")
    };
    let clipping = ["Clean", "Some peaks are cut", "Distorted"];
    vec![
        row("Level", dbfs(audio.rms_dbfs), level),
        Row { name: "Peak", value: dbfs(audio.peak_dbfs), verdict: None, words: "" },
        row("Clipped", percent(audio.clipped_ratio), upwards(audio.clipped_ratio, [0.001, 0.01], clipping)),
        Row { name: "Silent", value: percent(audio.silent_ratio), verdict: None, words: "" },
    ]
}

/// The worst of all that is known of the line; `None` when nothing is.
pub(super) fn line(record: &CallRecord) -> Option<Verdict> {
    let rows = record.rtp.iter().flat_map(network);
    let rows = rows.chain(record.caller_audio.iter().flat_map(sound));
    rows.chain(record.agent_audio.iter().flat_map(sound)).filter_map(|row| row.verdict).max()
}

/// How a wait for the agent's answer feels.
pub(super) fn wait(total_ms: u32) -> (Verdict, &'static str) {
    upwards(
        total_ms as f32,
        [1_500.0, 3_000.0],
        ["Feels natural", "A noticeable pause", "Callers ask whether you are there"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(rows: &[Row], name: &str) -> Option<Verdict> {
        rows.iter().find(|row| row.name == name).expect("there is such a row").verdict
    }

    #[test]
    fn a_clean_line_is_good_and_a_lossy_one_is_not() {
        let clean =
            RtpFigures { received: 1_500, sent: 1_500, jitter_ms: 0.6, pacing_p99_ms: 0.4, ..Default::default() };
        assert!(network(&clean).iter().all(|row| row.verdict.is_none_or(|verdict| verdict == Verdict::Good)));
        let lossy = RtpFigures { lost: 20, late: 100, jitter_ms: 55.0, ..clean };
        let rows = network(&lossy);
        assert_eq!(verdict_of(&rows, "Lost on the way"), Some(Verdict::Fair));
        assert_eq!(verdict_of(&rows, "Too late to play"), Some(Verdict::Poor));
        assert_eq!(verdict_of(&rows, "Jitter"), Some(Verdict::Poor));
    }

    #[test]
    fn a_caller_of_whom_nothing_came_is_told_as_one_way_audio() {
        let none = RtpFigures { sent: 900, ..Default::default() };
        assert_eq!(verdict_of(&network(&none), "Packets received"), Some(Verdict::Poor));
        let mute = AudioFigures { rms_dbfs: -120.0, peak_dbfs: -120.0, clipped_ratio: 0.0, silent_ratio: 1.0 };
        assert!(sound(&mute)[0].words.contains("one-way"));
    }

    #[test]
    fn a_broken_figure_is_not_called_good() {
        let broken = RtpFigures { received: 1, jitter_ms: f32::NAN, ..Default::default() };
        assert_eq!(verdict_of(&network(&broken), "Jitter"), Some(Verdict::Poor));
        let level = AudioFigures { rms_dbfs: f32::NAN, ..Default::default() };
        assert_eq!(verdict_of(&sound(&level), "Level"), Some(Verdict::Poor));
    }
}
