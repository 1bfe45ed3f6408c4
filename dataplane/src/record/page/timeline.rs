//! The picture of a call: both sides' sound on one time axis, with turns, waits and marks. Draws, never judges.
//!
//! One SVG without a view box: positions along time are per cent, so that the picture takes the page's width while text
//! and strokes keep their size; heights are pixels. The sound itself is nested in a view box that is stretched.

use std::fmt::Write as _;

use super::html::{Html, clock};
use crate::record::call::{CallRecord, Mark, MarkKind, Span, Turn};
use crate::record::waveform::Peaks;

/// The picture's height, and where its lanes lie.
const HEIGHT: u32 = 268;
const TURNS_Y: u32 = 0;
const TURNS_HEIGHT: u32 = 22;
const CALLER_Y: u32 = 26;
const LANE_HEIGHT: u32 = 84;
const WAIT_Y: u32 = CALLER_Y + LANE_HEIGHT + 4;
const WAIT_HEIGHT: u32 = 8;
const AGENT_Y: u32 = WAIT_Y + WAIT_HEIGHT + 4;
const MARKS_Y: u32 = AGENT_Y + LANE_HEIGHT + 6;
const MARKS_HEIGHT: u32 = 20;
const AXIS_Y: u32 = MARKS_Y + MARKS_HEIGHT + 4;

/// Turns narrower than this share of the axis, in per cent, get no number.
const MIN_LABEL_PERCENT: f64 = 1.6;

/// Keys closer than this on the axis, in per cent, are drawn as one mark.
const KEY_PERCENT: f64 = 2.4;
/// The most keys that one mark shows.
const MAX_KEYS: usize = 12;

/// The call's axis: from 0 to its end.
#[derive(Debug, Clone, Copy)]
struct Axis {
    total_ms: u64,
}

impl Axis {
    /// `at_ms` in per cent of the axis.
    fn percent(self, at_ms: u64) -> f64 {
        at_ms.min(self.total_ms) as f64 * 100.0 / self.total_ms as f64
    }

    fn span(self, start_ms: u64, end_ms: u64) -> (f64, f64) {
        let start = self.percent(start_ms);
        (start, (self.percent(end_ms) - start).max(0.0))
    }
}

/// How long the drawn axis is, in milliseconds: the call, and whatever reached beyond it.
pub(super) fn axis_ms(record: &CallRecord) -> u64 {
    let sound = record
        .waveform
        .as_ref()
        .map_or(0, |waveform| waveform.offset_ms + (waveform.bucket_ms() * waveform.caller.iter().len() as f64) as u64);
    // A record from elsewhere may claim anything; a day is longer than any call.
    record.duration_ms().max(sound.min(record.duration_ms().saturating_add(2_000))).clamp(1_000, 86_400_000)
}

/// Draws the picture.
pub(super) fn draw(html: &mut Html, record: &CallRecord) {
    let axis = Axis { total_ms: axis_ms(record) };
    gutter(html);
    html.number(format_args!(
        "<div class=\"scope\" id=\"scope\"><svg id=\"timeline\" width=\"100%\" height=\"{HEIGHT}\" role=\"slider\" \
         tabindex=\"0\" aria-label=\"Time in the call\" aria-valuemin=\"0\" aria-valuemax=\"{0}\" aria-valuenow=\"0\" \
         data-total-ms=\"{0}\" data-offset-ms=\"{1}\">",
        axis.total_ms,
        record.waveform.as_ref().map_or(0, |waveform| waveform.offset_ms),
    ));
    html.raw(
        "<defs><pattern id=\"hatch\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><line class=\"hatch\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"7\"/></pattern></defs>",
    );
    grid(html, axis);
    turns(html, axis, &record.turns);
    lane(html, CALLER_Y, "caller");
    lane(html, AGENT_Y, "agent");
    spans(html, axis, CALLER_Y, "caller", &record.speech.caller);
    spans(html, axis, AGENT_Y, "agent", &record.speech.agent);
    sound(html, axis, record);
    held(html, axis, record);
    for turn in &record.turns {
        wait(html, axis, turn);
    }
    marks(html, axis, record);
    html.number(format_args!(
        "<line id=\"cursor\" class=\"cursor\" x1=\"0%\" x2=\"0%\" y1=\"{TURNS_Y}\" y2=\"{AXIS_Y}\"/></svg></div></div>"
    ));
}

/// The lanes' names, beside the picture: they stay where a long call's picture is scrolled.
fn gutter(html: &mut Html) {
    html.number(format_args!(
        "<div class=\"lanes\"><svg class=\"gutter\" width=\"52\" height=\"{HEIGHT}\" aria-hidden=\"true\">\
         <text y=\"{}\">Turns</text><text class=\"caller\" y=\"{}\">Caller</text><text y=\"{}\">Wait</text>\
         <text class=\"agent\" y=\"{}\">Agent</text><text y=\"{}\">Events</text></svg>",
        TURNS_Y + 13,
        CALLER_Y + LANE_HEIGHT / 2 + 4,
        WAIT_Y + WAIT_HEIGHT,
        AGENT_Y + LANE_HEIGHT / 2 + 4,
        MARKS_Y + 13,
    ));
}

/// The step of the axis: a round number of seconds that makes at most a dozen steps.
fn tick_ms(total_ms: u64) -> u64 {
    const STEPS_S: [u64; 15] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400];
    STEPS_S.into_iter().map(|s| s * 1_000).find(|step| total_ms / step <= 12).unwrap_or(14_400_000)
}

fn grid(html: &mut Html, axis: Axis) {
    let step = tick_ms(axis.total_ms);
    for at_ms in (0..=axis.total_ms).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let x = axis.percent(at_ms);
        let (anchor, dx) = if at_ms == 0 { ("start", 1) } else { ("middle", 0) };
        html.number(format_args!(
            "<line class=\"grid\" x1=\"{x:.3}%\" x2=\"{x:.3}%\" y1=\"{CALLER_Y}\" y2=\"{AXIS_Y}\"/>"
        ));
        // A label at the very end would be cut in half.
        if x <= 97.5 {
            html.number(format_args!(
                "<text class=\"tick\" x=\"{x:.3}%\" dx=\"{dx}\" y=\"{}\" text-anchor=\"{anchor}\">{}:{:02}</text>",
                AXIS_Y + 15,
                at_ms / 60_000,
                at_ms / 1_000 % 60,
            ));
        }
    }
    html.number(format_args!("<line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"{AXIS_Y}\" y2=\"{AXIS_Y}\"/>"));
}

fn turns(html: &mut Html, axis: Axis, turns: &[Turn]) {
    for turn in turns {
        let (x, width) = axis.span(turn.started_ms, turn.ended_ms);
        html.number(format_args!(
            "<g class=\"turn\"><rect x=\"{x:.3}%\" width=\"{width:.3}%\" y=\"{TURNS_Y}\" height=\"{}\" rx=\"3\"/>\
             <line class=\"border\" x1=\"{x:.3}%\" x2=\"{x:.3}%\" y1=\"{TURNS_Y}\" y2=\"{MARKS_Y}\"/>",
            TURNS_HEIGHT - 4,
        ));
        if let Some(label) = turn_label(turn, width) {
            html.number(format_args!("<text x=\"{x:.3}%\" dx=\"6\" y=\"{}\">{label}</text>", TURNS_Y + 13));
        }
        html.number(format_args!(
            "<title>{}: {} to {}</title></g>",
            turn_name(turn),
            clock(turn.started_ms),
            clock(turn.ended_ms)
        ));
    }
}

fn turn_name(turn: &Turn) -> String {
    if turn.index == 0 && turn.caller_text.is_empty() { "Greeting".to_owned() } else { format!("Turn {}", turn.index) }
}

/// What of a turn's name there is room for in `percent` of the picture, which is at least 720 pixels wide.
fn turn_label(turn: &Turn, percent: f64) -> Option<String> {
    let name = turn_name(turn);
    if percent >= 1.0 + name.len() as f64 * 0.95 {
        Some(name)
    } else {
        (percent >= MIN_LABEL_PERCENT && turn.index > 0).then(|| turn.index.to_string())
    }
}

fn lane(html: &mut Html, y: u32, class: &str) {
    let middle = y + LANE_HEIGHT / 2;
    html.number(format_args!(
        "<rect class=\"lane\" x=\"0\" width=\"100%\" y=\"{y}\" height=\"{LANE_HEIGHT}\" rx=\"4\"/>\
         <line class=\"zero {class}\" x1=\"0\" x2=\"100%\" y1=\"{middle}\" y2=\"{middle}\"/>"
    ));
}

fn spans(html: &mut Html, axis: Axis, y: u32, class: &str, spans: &[Span]) {
    for span in spans {
        let (x, width) = axis.span(span.start_ms, span.end_ms);
        html.number(format_args!(
            "<rect class=\"speech {class}\" x=\"{x:.3}%\" width=\"{width:.3}%\" y=\"{y}\" height=\"{LANE_HEIGHT}\" \
             rx=\"4\"/>"
        ));
    }
}

fn sound(html: &mut Html, axis: Axis, record: &CallRecord) {
    let Some(waveform) = &record.waveform else { return };
    // One gain for both sides: the louder one fills its lane, and the other is seen as the quieter one that it is.
    let loudest = waveform.caller.loudest().max(waveform.agent.loudest());
    let gain = (0.96 / loudest.max(0.01)).min(8.0);
    for (y, class, peaks) in [(CALLER_Y, "caller", &waveform.caller), (AGENT_Y, "agent", &waveform.agent)] {
        let buckets = peaks.iter().len();
        let length_ms = waveform.bucket_ms() * buckets as f64;
        let x = axis.percent(waveform.offset_ms);
        let width = length_ms * 100.0 / axis.total_ms as f64;
        html.number(format_args!(
            "<svg x=\"{x:.3}%\" width=\"{width:.3}%\" y=\"{y}\" height=\"{LANE_HEIGHT}\" viewBox=\"0 -100 {} 200\" \
             preserveAspectRatio=\"none\"><path class=\"wave {class}\" d=\"{}\"/></svg>",
            buckets.max(1),
            outline(peaks, gain),
        ));
    }
}

/// The area between highs and lows, at least a hair thick: along the highs to the right, along the lows back.
fn outline(peaks: &Peaks, gain: f32) -> String {
    let mut path = String::with_capacity(peaks.iter().len() * 16);
    let scaled = |value: f32| (-value * gain * 100.0).clamp(-100.0, 100.0);
    let highs = peaks.iter().map(|(_, high)| scaled(high).min(-0.8));
    let lows: Vec<f32> = peaks.iter().map(|(low, _)| scaled(low).max(0.8)).collect();
    path.push_str("M0 0");
    for (index, high) in highs.enumerate() {
        let _ = write!(path, "L{index}.5 {high:.0}");
    }
    for (index, low) in lows.iter().enumerate().rev() {
        let _ = write!(path, "L{index}.5 {low:.0}");
    }
    path.push('Z');
    path
}

/// The stretches in which the call was held, or no packet came.
fn held(html: &mut Html, axis: Axis, record: &CallRecord) {
    let kinds = [
        (MarkKind::Hold, MarkKind::Unhold, "hold"),
        (MarkKind::PacketsStopped, MarkKind::PacketsResumed, "no packets"),
    ];
    for (from, to, name) in kinds {
        let mut open = None;
        for mark in record.marks.iter().filter(|mark| mark.kind == from || mark.kind == to) {
            if mark.kind == from {
                open.get_or_insert(mark.at_ms);
            } else if let Some(start_ms) = open.take() {
                stretch(html, axis, start_ms, mark.at_ms, name);
            }
        }
        if let Some(start_ms) = open {
            stretch(html, axis, start_ms, axis.total_ms, name);
        }
    }
}

fn stretch(html: &mut Html, axis: Axis, start_ms: u64, end_ms: u64, name: &str) {
    let (x, width) = axis.span(start_ms, end_ms);
    html.number(format_args!(
        "<g class=\"held\"><rect fill=\"url(#hatch)\" x=\"{x:.3}%\" width=\"{width:.3}%\" y=\"{CALLER_Y}\" \
         height=\"{}\"/><text x=\"{:.3}%\" y=\"{}\" text-anchor=\"middle\">{name}</text><title>{name}: {} to \
         {}</title></g>",
        MARKS_Y - CALLER_Y - 6,
        x + width / 2.0,
        MARKS_Y + 14,
        clock(start_ms),
        clock(end_ms),
    ));
}

/// Between the lanes: what the caller waited for.
fn wait(html: &mut Html, axis: Axis, turn: &Turn) {
    let Some(mut at_ms) = turn.speech_ended_ms else { return };
    for (stage, (name, took_ms)) in turn.latencies.stages().into_iter().enumerate() {
        let Some(took_ms) = took_ms.filter(|&ms| ms > 0) else { continue };
        let end_ms = at_ms.saturating_add(u64::from(took_ms));
        let (x, width) = axis.span(at_ms, end_ms);
        html.number(format_args!(
            "<rect class=\"stage{stage}\" x=\"{x:.3}%\" width=\"{width:.3}%\" y=\"{WAIT_Y}\" \
             height=\"{WAIT_HEIGHT}\"><title>{name}: {took_ms} ms</title></rect>"
        ));
        at_ms = end_ms;
    }
}

/// Keys pressed one after the other, as one mark: what was pressed, or `None` for a mark that is drawn with an earlier one.
/// Marks of another kind in between don't part them.
fn keys(axis: Axis, marks: &[Mark], index: usize) -> Option<String> {
    let near = |a: &Mark, b: &Mark| axis.percent(b.at_ms) - axis.percent(a.at_ms) < KEY_PERCENT;
    let (before, from) = marks.split_at(index);
    let alike = |mark: &&Mark| mark.kind == from[0].kind;
    if before.iter().rev().find(alike).is_some_and(|last| near(last, &from[0])) {
        return None;
    }
    let mut last = &from[0];
    let run = from.iter().filter(alike).take_while(|mark| near(std::mem::replace(&mut last, mark), mark));
    Some(run.filter_map(|mark| mark.detail.chars().next()).take(MAX_KEYS).collect())
}

fn marks(html: &mut Html, axis: Axis, record: &CallRecord) {
    for (index, mark) in record.marks.iter().enumerate() {
        let x = axis.percent(mark.at_ms);
        let y = MARKS_Y;
        let class = match mark.kind {
            MarkKind::BargeIn => "barge-in",
            MarkKind::FalseAlarm | MarkKind::Backchannel => "false-alarm",
            MarkKind::Dtmf | MarkKind::DtmfSent => "dtmf",
            MarkKind::TakenOver | MarkKind::Apology | MarkKind::SilencePrompt | MarkKind::Transfer => "note",
            // These are seen as spans, or in the list only.
            _ => continue,
        };
        html.number(format_args!("<g class=\"mark {class}\" data-at-ms=\"{}\">", mark.at_ms));
        match mark.kind {
            MarkKind::BargeIn => html.number(format_args!(
                "<line x1=\"{x:.3}%\" x2=\"{x:.3}%\" y1=\"{CALLER_Y}\" y2=\"{y}\"/>\
                 <svg x=\"{x:.3}%\" y=\"{y}\" overflow=\"visible\"><path d=\"M0 0L6 11H-6Z\"/></svg>"
            )),
            MarkKind::Dtmf | MarkKind::DtmfSent => {
                let Some(keys) = keys(axis, &record.marks, index) else {
                    html.raw("</g>");
                    continue;
                };
                let width = 8 + 8 * keys.chars().count();
                html.number(format_args!(
                    "<svg x=\"{x:.3}%\" y=\"{y}\" overflow=\"visible\"><rect x=\"-8\" y=\"0\" width=\"{width}\" \
                     height=\"18\" rx=\"3\"/><text x=\"{}\" y=\"13\" text-anchor=\"middle\">",
                    width / 2 - 8,
                ));
                html.text(&keys).raw("</text></svg>")
            }
            MarkKind::FalseAlarm | MarkKind::Backchannel => html.number(format_args!(
                "<svg x=\"{x:.3}%\" y=\"{y}\" overflow=\"visible\"><path d=\"M0 1L6 7L0 13L-6 7Z\"/></svg>"
            )),
            _ => html.number(format_args!(
                "<line x1=\"{x:.3}%\" x2=\"{x:.3}%\" y1=\"{CALLER_Y}\" y2=\"{y}\"/>\
                 <svg x=\"{x:.3}%\" y=\"{y}\" overflow=\"visible\"><circle cy=\"6\" r=\"5\"/></svg>"
            )),
        };
        html.number(format_args!("<title>{} {}", clock(mark.at_ms), mark.kind.words()));
        if !mark.detail.is_empty() {
            html.raw(": ").text(&mark.detail);
        }
        html.raw("</title></g>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_has_round_steps_and_never_too_many() {
        assert_eq!(
            [5_000, 30_000, 61_000, 1_800_000, 86_400_000].map(tick_ms),
            [1_000, 5_000, 5_000, 300_000, 7_200_000]
        );
    }

    #[test]
    fn what_lies_beyond_the_call_is_drawn_at_its_end() {
        let axis = Axis { total_ms: 10_000 };
        assert_eq!(axis.span(9_000, u64::MAX), (90.0, 10.0));
        assert_eq!(axis.span(u64::MAX, 0), (100.0, 0.0));
    }

    #[test]
    fn keys_pressed_in_a_row_are_one_mark() {
        let axis = Axis { total_ms: 100_000 };
        let key = |at_ms, digit: &str| Mark { at_ms, kind: MarkKind::Dtmf, detail: digit.to_owned() };
        let noise = Mark { at_ms: 1_500, kind: MarkKind::SpeechStart, detail: String::new() };
        let marks = [key(1_000, "4"), noise, key(2_000, "2"), key(9_000, "#")];
        let drawn: Vec<_> = [0, 2, 3].map(|index| keys(axis, &marks, index)).into();
        assert_eq!(drawn, [Some("42".to_owned()), None, Some("#".to_owned())]);
    }

    #[test]
    fn a_held_call_without_an_end_is_hatched_to_its_end() {
        let mut record = super::super::sample::record();
        record.marks.retain(|mark| mark.kind != MarkKind::Unhold);
        let mut html = Html::default();
        draw(&mut html, &record);
        assert!(html.finish().contains("url(#hatch)"));
    }
}
