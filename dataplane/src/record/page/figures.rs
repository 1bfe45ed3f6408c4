//! The page's figures: the waits of each turn as a waterfall, the line's quality, what went wrong.

use super::html::{Html, clock, duration};
use super::judge::{self, Row, Verdict};
use crate::record::call::{CallRecord, Latencies};

/// Draws a row a turn: what the caller waited for, on one scale.
pub(super) fn waits(html: &mut Html, record: &CallRecord) {
    let waited = |ms: Option<u32>| ms.is_some_and(|ms| ms > 0);
    // A turn without speech, such as keys, has no last sound from which there is a wait.
    let spoken = record.turns.iter().filter(|turn| turn.speech_ended_ms.is_some());
    let turns: Vec<_> = spoken.filter(|turn| turn.latencies.stages().iter().any(|&(_, ms)| waited(ms))).collect();
    if turns.is_empty() {
        return;
    }
    let sum = |stages: [(&str, Option<u32>); 5]| stages.iter().filter_map(|&(_, ms)| ms).map(u64::from).sum::<u64>();
    let longest = turns.iter().map(|turn| sum(turn.latencies.stages())).max().unwrap_or(1).max(1);
    html.raw(
        "<section class=\"panel\"><h2>Response time</h2><p class=\"lead\">From the caller’s last sound to the agent’s \
         first.</p><ul class=\"legend\">",
    );
    for (stage, (name, _)) in Latencies::default().stages().into_iter().enumerate() {
        html.number(format_args!("<li><i class=\"stage{stage}\"></i>{}</li>", name.to_lowercase()));
    }
    html.raw("</ul><ol class=\"waits\">");
    for turn in turns {
        html.number(format_args!("<li data-at-ms=\"{}\"><span class=\"no\">{}</span>", turn.started_ms, turn.index));
        html.raw("<svg width=\"100%\" height=\"18\" role=\"img\" aria-label=\"Stages of the wait\">");
        let mut x = 0.0;
        for (stage, (name, took_ms)) in turn.latencies.stages().into_iter().enumerate() {
            let width = f64::from(took_ms.unwrap_or(0)) * 100.0 / longest as f64;
            if width > 0.0 {
                html.number(format_args!(
                    "<rect class=\"stage{stage}\" x=\"{x:.2}%\" width=\"{width:.2}%\" height=\"18\"><title>{name}: {} \
                     ms</title></rect>",
                    took_ms.unwrap_or(0)
                ));
            }
            x += width;
        }
        html.raw("</svg>");
        match turn.latencies.total_ms {
            Some(total) => {
                let (verdict, words) = judge::wait(total);
                html.raw("<span class=\"total ").raw(verdict.class()).raw("\" title=\"").raw(words).raw("\">");
                html.raw(duration(u64::from(total))).raw("</span>")
            }
            None => html.raw("<span class=\"total none\" title=\"The agent did not come to speak\">cut</span>"),
        };
        html.raw("<span class=\"parts\">");
        for (stage, (name, took_ms)) in turn.latencies.stages().into_iter().enumerate() {
            if let Some(took_ms) = took_ms {
                html.number(format_args!("<span title=\"{name}\"><i class=\"stage{stage}\"></i>{took_ms}</span>"));
            }
        }
        html.raw("</span></li>");
    }
    html.raw("</ol><p class=\"unit\">Stages in milliseconds.</p></section>");
}

/// Draws the line's figures, with what they mean.
pub(super) fn quality(html: &mut Html, record: &CallRecord) {
    html.raw("<section class=\"panel\"><h2>Line quality</h2>");
    let line = judge::line(record);
    html.raw("<p class=\"lead\">");
    html.raw(match line {
        None => "Not measured.",
        Some(Verdict::Good) => "Nothing that a listener would notice.",
        Some(Verdict::Fair) => "A careful listener notices something.",
        Some(Verdict::Poor) => "Something disturbs the conversation.",
    });
    html.raw("</p><div class=\"tables\">");
    if let Some(rtp) = &record.rtp {
        table(html, "Packets", "packets", &judge::network(rtp));
    }
    if let Some(audio) = &record.caller_audio {
        table(html, "The caller’s sound", "sound", &judge::sound(audio));
    }
    if let Some(audio) = &record.agent_audio {
        table(html, "The agent’s sound", "sound", &judge::sound(audio));
    }
    html.raw("</div></section>");
}

fn table(html: &mut Html, name: &str, class: &str, rows: &[Row]) {
    html.raw("<table class=\"").raw(class).raw("\"><caption>").raw(name).raw("</caption><tbody>");
    for row in rows {
        html.raw("<tr><th scope=\"row\">").raw(row.name).raw("</th><td class=\"value\">").text(&row.value);
        html.raw("</td><td class=\"words\">");
        if let Some(verdict) = row.verdict {
            html.raw("<i class=\"dot ").raw(verdict.class()).raw("\" title=\"").raw(verdict.word()).raw("\"></i>");
        }
        html.raw(row.words).raw("</td></tr>");
    }
    html.raw("</tbody></table>");
}

/// Draws what went wrong, if anything did.
pub(super) fn errors(html: &mut Html, record: &CallRecord) {
    if record.errors.is_empty() {
        return;
    }
    html.raw("<section class=\"panel\"><h2>Errors</h2><ol class=\"errors\">");
    for error in &record.errors {
        html.number(format_args!(
            "<li><button type=\"button\" class=\"time\" data-seek-ms=\"{}\">{}</button><div><b>",
            error.at_ms,
            clock(error.at_ms)
        ));
        html.text(&error.stage).raw("</b> ").text(&error.message).raw("</div></li>");
    }
    html.raw("</ol></section>");
}
