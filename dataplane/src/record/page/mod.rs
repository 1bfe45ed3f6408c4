//! The page of a call: one HTML file that needs nothing else, drawn from the record alone. Works from a folder, from a
//! server with a strict content security policy, on paper and on a telephone. Never fetches anything but the recording
//! beside it.
//!
//! All that came from outside (names, words, keys) goes through one escaping function, and the page's own policy lets
//! only the script and the style with its nonce run, so that a hole in the one would still meet the other.

mod conversation;
mod figures;
mod html;
mod judge;
mod timeline;

#[cfg(test)]
pub(super) mod sample;

use super::call::{CallRecord, RecordingNote};
use html::{Html, duration, is_plain_file_name};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Draws the page of a call.
///
/// - `json_file`: the name of the record beside the page, for a link. The recording's name is in the record.
/// - `nonce`: random letters and digits, new for every page, for its content security policy.
///
/// Names that are not plain file names get no link.
#[must_use]
pub fn draw(record: &CallRecord, json_file: Option<&str>, nonce: &str) -> String {
    let nonce: String = nonce.chars().filter(char::is_ascii_alphanumeric).collect();
    let wav = match &record.recording {
        RecordingNote::Kept { file, .. } if is_plain_file_name(file) => Some(file.as_str()),
        _ => None,
    };
    let mut html = Html::default();
    head(&mut html, record, &nonce);
    html.raw("<body><main>");
    title(&mut html, record);
    facts(&mut html, record);
    html.raw("<section class=\"panel time\" aria-label=\"The call in time\">");
    player(&mut html, record, wav);
    timeline::draw(&mut html, record);
    html.raw("</section><div class=\"columns\">");
    conversation::draw(&mut html, record);
    html.raw("<div class=\"side\">");
    figures::waits(&mut html, record);
    figures::errors(&mut html, record);
    html.raw("</div></div>");
    figures::quality(&mut html, record);
    foot(&mut html, record, wav, json_file.filter(|name| is_plain_file_name(name)));
    html.raw("</main><script nonce=\"").raw(&nonce).raw("\">").raw(SCRIPT).raw("</script></body></html>\n");
    html.finish()
}

fn head(html: &mut Html, record: &CallRecord, nonce: &str) {
    html.raw(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; media-src 'self' file:; \
         base-uri 'none'; form-action 'none'; style-src 'nonce-",
    );
    html.raw(nonce).raw("'; script-src 'nonce-").raw(nonce).raw("'\"><title>Call ");
    html.text(&record.caller).raw(" → ").text(&record.dialed).raw(", ").raw(day(record)).raw("</title>");
    html.raw("<style nonce=\"").raw(nonce).raw("\">").raw(STYLE).raw("</style></head>");
}

fn day(record: &CallRecord) -> String {
    record.started_at.strftime("%-d %B %Y").to_string()
}

fn title(html: &mut Html, record: &CallRecord) {
    html.raw("<header><p class=\"brand\">Sofia Phone <span>call record</span></p><h1><bdi>");
    html.text(if record.caller.is_empty() { "unknown caller" } else { &record.caller });
    if !record.caller_name.is_empty() {
        html.raw("</bdi> <bdi>").text(&record.caller_name);
    }
    html.raw("</bdi> <span class=\"to\">→</span> <bdi>").text(&record.dialed).raw("</bdi></h1><p class=\"when\">");
    html.raw("<time id=\"when\" datetime=\"").text(&record.started_at.to_string()).raw("\">").raw(day(record));
    html.raw(record.started_at.strftime(", %H:%M:%S UTC").to_string()).raw("</time>");
    let class = if record.ending.is_regular() { "ending" } else { "ending poor" };
    html.raw("<span class=\"").raw(class).raw("\">").raw(record.ending.words()).raw("</span>");
    if record.attempt > 1 {
        html.number(format_args!("<span class=\"ending\">Taken over, pod {} of this call</span>", record.attempt));
    }
    html.raw("</p></header>");
}

fn facts(html: &mut Html, record: &CallRecord) {
    html.raw("<dl class=\"facts\">");
    let mut fact = |name: &str, value: &str, note: &str, class: &str| {
        html.raw("<div><dt>").raw(name).raw("</dt><dd class=\"").raw(class).raw("\">").text(value);
        html.raw("</dd><dd class=\"note\">").text(note).raw("</dd></div>");
    };
    let interruptions = record.turns.iter().filter(|turn| turn.interrupted).count();
    let spoken = record.turns.iter().filter(|turn| !turn.caller_text.is_empty()).count();
    let times = match interruptions {
        0 => "none interrupted".to_owned(),
        1 => "one interrupted".to_owned(),
        more => format!("{more} interrupted"),
    };
    let wait = record.median_wait_ms();
    let line = judge::line(record);
    fact("Duration", &duration(record.duration_ms()), "", "");
    fact("Turns", &spoken.to_string(), &times, "");
    fact(
        "Response time",
        &wait.map_or_else(|| "–".to_owned(), |ms| duration(u64::from(ms))),
        wait.map_or("", |_| "median of the turns"),
        wait.map_or("", |ms| judge::wait(ms).0.class()),
    );
    fact("Line", line.map_or("–", judge::Verdict::word), line_note(record), line.map_or("", judge::Verdict::class));
    fact("Codec", record.codec.as_deref().unwrap_or("–"), codec_note(record), "");
    html.raw("</dl>");
}

fn line_note(record: &CallRecord) -> &'static str {
    match &record.rtp {
        None => "not measured",
        Some(rtp) if rtp.lost == 0 && rtp.late == 0 => "no packet missed",
        Some(rtp) if rtp.unplayed_ratio() < 0.005 => "losses nobody hears",
        Some(_) => "packets missed",
    }
}

fn codec_note(record: &CallRecord) -> &'static str {
    match record.codec.as_deref() {
        Some("PCMU" | "PCMA") => "narrowband, 8 kHz",
        Some("G722") => "wideband, 16 kHz",
        _ => "",
    }
}

fn player(html: &mut Html, record: &CallRecord, wav: Option<&str>) {
    html.raw("<div class=\"bar\">");
    if let Some(wav) = wav {
        html.raw("<audio id=\"audio\" preload=\"metadata\" src=\"").text(wav).raw("\"></audio>");
        html.raw(
            "<button id=\"play\" type=\"button\" aria-label=\"Play\"><svg viewBox=\"0 0 24 24\" width=\"22\" height=\"22\" \
             aria-hidden=\"true\"><path class=\"play\" d=\"M8 5v14l11-7z\"/><path class=\"pause\" d=\"M7 5h4v14H7zM13 \
             5h4v14h-4z\"/></svg></button>",
        );
    }
    html.raw("<output id=\"clock\" class=\"clock\">0:00.0</output><span class=\"of\">of ");
    html.raw(html::clock(record.duration_ms())).raw("</span><span id=\"notice\" class=\"notice\">");
    match &record.recording {
        RecordingNote::Off => html.raw("No recording was made."),
        RecordingNote::Dropped { reason } => html.raw("The recording was given up: ").text(reason).raw("."),
        RecordingNote::Kept { .. } if wav.is_none() => html.raw("The recording is not beside this page."),
        RecordingNote::Kept { .. } => html,
    };
    html.raw("</span></div>");
}

fn foot(html: &mut Html, record: &CallRecord, wav: Option<&str>, json: Option<&str>) {
    html.raw("<footer><p class=\"links\">");
    for (name, what) in [(json, "Record (JSON)"), (wav, "Recording (WAV)")] {
        if let Some(name) = name {
            html.raw("<a href=\"").text(name).raw("\">").raw(what).raw("</a>");
        }
    }
    for other in record.others.iter().filter(|other| is_plain_file_name(&other.name)) {
        let earlier = (other.started_at, other.attempt) < (record.started_at, record.attempt);
        html.raw("<a href=\"").text(&format!("{}.html", other.name)).raw("\">");
        html.raw(if earlier { "Before, on another pod" } else { "Afterwards, on another pod" }).raw("</a>");
    }
    html.raw("</p><p>Call <code>").text(&record.call_id).raw("</code>");
    if let Some(pod) = &record.pod {
        html.raw(" on <code>").text(pod).raw("</code>");
    }
    html.raw(", record version ").number(format_args!("{}", record.schema)).raw(".");
    if record.truncated {
        html.raw(" Longer than a record holds: the rest is left out.");
    }
    html.raw("</p></footer>");
}

#[cfg(test)]
mod tests;
