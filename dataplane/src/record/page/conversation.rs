//! The conversation as a transcript, with what happened in between, in order of time. Shows of an interrupted answer what
//! was heard and what was not.

use super::html::{Html, clock};
use crate::record::call::{CallRecord, Mark, MarkKind, Side, Turn};

enum Line<'a> {
    Caller(&'a Turn),
    Agent(&'a Turn),
    Mark(&'a Mark),
    /// Keys in a row, joined.
    Keys(MarkKind, String),
}

/// Draws it.
pub(super) fn draw(html: &mut Html, record: &CallRecord) {
    html.raw("<section class=\"panel\"><h2>Conversation</h2>");
    before(html, record);
    let lines = lines(record);
    if lines.is_empty() {
        html.raw("<p class=\"none\">Nothing was said.</p></section>");
        return;
    }
    html.raw("<ol class=\"talk\" id=\"talk\">");
    for (at_ms, line) in lines {
        let class = match line {
            Line::Caller(_) => "say caller",
            Line::Agent(_) => "say agent",
            Line::Mark(mark) if mark.kind == MarkKind::BargeIn => "event barge-in",
            Line::Mark(_) | Line::Keys(..) => "event",
        };
        html.number(format_args!(
            "<li class=\"{class}\" data-at-ms=\"{at_ms}\"><button type=\"button\" class=\"time\" \
             data-seek-ms=\"{at_ms}\">{}</button>",
            clock(at_ms)
        ));
        match line {
            Line::Keys(kind, keys) => {
                html.raw("<div><p>").raw(kind.words()).raw(" <code>").text(&keys).raw("</code></p></div>");
            }
            Line::Caller(turn) => {
                html.raw("<div><b>Caller</b><p dir=\"auto\">").text(&turn.caller_text).raw("</p></div>");
            }
            Line::Agent(turn) => agent(html, turn),
            Line::Mark(mark) => {
                html.raw("<div><p>").raw(mark.kind.words());
                if !mark.detail.is_empty() {
                    html.raw(" <code>").text(&mark.detail).raw("</code>");
                }
                html.raw("</p></div>");
            }
        }
        html.raw("</li>");
    }
    html.raw("</ol></section>");
}

/// What was said on the pods before this one: it has no time here.
fn before(html: &mut Html, record: &CallRecord) {
    if record.before.is_empty() {
        return;
    }
    html.raw("<ol class=\"talk before\" aria-label=\"Before this pod took the call over\">");
    for said in &record.before {
        let (class, who) = match said.by {
            Side::Caller => ("say caller", "Caller"),
            Side::Agent => ("say agent", "Agent"),
        };
        html.raw("<li class=\"").raw(class).raw("\"><span class=\"time\">earlier</span><div><b>").raw(who);
        html.raw("</b><p dir=\"auto\">").text(&said.text).raw("</p></div></li>");
    }
    html.raw("</ol>");
}

fn agent(html: &mut Html, turn: &Turn) {
    html.raw("<div><b>Agent</b><p dir=\"auto\">");
    let (heard, unheard) = split(turn);
    html.text(heard);
    if !unheard.is_empty() {
        html.raw(" <del title=\"Not heard by the caller\">").text(unheard).raw("</del>");
    }
    html.raw("</p></div>");
}

/// What was heard of the agent's words, and what was not. Words that were cut amid a sentence end in `…`.
fn split(turn: &Turn) -> (&str, &str) {
    let heard = turn.heard_text.trim_end().trim_end_matches('…').trim_end();
    match turn.agent_text.strip_prefix(heard) {
        Some(rest) if turn.interrupted || !heard.is_empty() => (heard, rest.trim_start()),
        // What was heard is not how the answer began, or was not measured: the answer as it is.
        _ => (&turn.agent_text, ""),
    }
}

fn lines(record: &CallRecord) -> Vec<(u64, Line<'_>)> {
    let told = |mark: &&Mark| !matches!(mark.kind, MarkKind::SpeechStart | MarkKind::SpeechEnd | MarkKind::Answered);
    // Before the turns: of what has the same time, a key comes before the turn that it begins.
    let mut lines: Vec<_> = record.marks.iter().filter(told).map(|mark| (mark.at_ms, Line::Mark(mark))).collect();
    for turn in &record.turns {
        // Keys are there as marks.
        if !turn.caller_text.is_empty() && !turn.caller_text.starts_with("[DTMF: ") {
            lines.push((turn.started_ms, Line::Caller(turn)));
        }
        if !turn.agent_text.is_empty() {
            let answered =
                turn.speech_ended_ms.zip(turn.latencies.total_ms).map(|(at, ms)| at.saturating_add(u64::from(ms)));
            let at_ms = answered.or(turn.speech_ended_ms).unwrap_or(turn.started_ms);
            lines.push((at_ms, Line::Agent(turn)));
        }
    }
    lines.sort_by_key(|(at_ms, _)| *at_ms);
    join_keys(lines)
}

/// Makes one line of keys that follow each other.
fn join_keys(lines: Vec<(u64, Line<'_>)>) -> Vec<(u64, Line<'_>)> {
    let mut joined: Vec<(u64, Line<'_>)> = Vec::with_capacity(lines.len());
    for (at_ms, line) in lines {
        match line {
            Line::Mark(mark) if matches!(mark.kind, MarkKind::Dtmf | MarkKind::DtmfSent) => match joined.last_mut() {
                Some((_, Line::Keys(kind, keys))) if *kind == mark.kind => keys.push_str(&mark.detail),
                _ => joined.push((at_ms, Line::Keys(mark.kind, mark.detail.clone()))),
            },
            other => joined.push((at_ms, other)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(agent: &str, heard: &str, interrupted: bool) -> Turn {
        Turn { agent_text: agent.to_owned(), heard_text: heard.to_owned(), interrupted, ..Turn::default() }
    }

    #[test]
    fn an_interrupted_answer_shows_what_was_not_heard() {
        let cut = turn("One moment. I look it up.", "One moment. ", true);
        assert_eq!(split(&cut), ("One moment.", "I look it up."));
        let amid = turn("One moment. I look it up.", "One moment. I look…", true);
        assert_eq!(split(&amid), ("One moment. I look", "it up."));
        let at_once = turn("One moment.", "", true);
        assert_eq!(split(&at_once), ("", "One moment."));
        let whole = turn("One moment.", "One moment.", false);
        assert_eq!(split(&whole), ("One moment.", ""));
        let unmeasured = turn("One moment.", "", false);
        assert_eq!(split(&unmeasured), ("One moment.", ""));
    }
}
