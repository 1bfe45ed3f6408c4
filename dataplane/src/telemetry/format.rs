//! The form of a log line. Whatever a caller, a switch or a backend put into a field, an event stays one line, and the line
//! does nothing to the terminal that shows it.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How unwanted characters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// As in Rust: `\n`, `\u{1b}`.
    Text,
    /// As in JSON: `\u001b`. Inside strings only, which is where the serialiser leaves such characters.
    Json,
}

/// An event format that writes exactly one harmless line.
pub(super) struct OneLine<F> {
    inner: F,
    escapes: Escapes,
    colour: bool,
}

impl OneLine<Format<Compact>> {
    /// For people. With `colour`, warnings and errors stand out on a terminal.
    pub(super) fn text(colour: bool) -> Self {
        // Colours of the inner format would be escaped with the rest, so the line is coloured from outside.
        Self { inner: Format::default().compact().with_ansi(false), escapes: Escapes::Text, colour }
    }
}

impl OneLine<Format<Json>> {
    /// For machines: fields beside `timestamp`, `level`, `message`, `target` and the current `span`.
    pub(super) fn json() -> Self {
        let inner = Format::default().json().flatten_event(true).with_current_span(true).with_span_list(false);
        Self { inner, escapes: Escapes::Json, colour: false }
    }
}

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::with_capacity(256);
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let colour = match *event.metadata().level() {
            Level::ERROR if self.colour => Some("\x1b[31m"),
            Level::WARN if self.colour => Some("\x1b[33m"),
            _ => None,
        };
        if let Some(colour) = colour {
            writer.write_str(colour)?;
        }
        write_escaped(&mut writer, line.strip_suffix('\n').unwrap_or(&line), self.escapes)?;
        writer.write_str(if colour.is_some() { "\x1b[0m\n" } else { "\n" })
    }
}

/// Control characters, line separators, and those that reverse the direction of text.
fn is_unwanted(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_escaped(out: &mut dyn fmt::Write, line: &str, escapes: Escapes) -> fmt::Result {
    let mut rest = line;
    while let Some(at) = rest.find(is_unwanted) {
        let c = rest[at..].chars().next().expect("the character was just found");
        out.write_str(&rest[..at])?;
        match escapes {
            Escapes::Text => write!(out, "{}", c.escape_default())?,
            // All unwanted characters lie in the basic plane: four digits do.
            Escapes::Json => write!(out, "\\u{:04x}", u32::from(c))?,
        }
        rest = &rest[at + c.len_utf8()..];
    }
    out.write_str(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics in here").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Captured {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no test panics in here").clone()).expect("logs are UTF-8")
        }
    }

    fn logged_as_text(colour: bool, log: impl FnOnce()) -> String {
        let out = Captured::default();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).event_format(OneLine::text(colour));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_writer(out.clone())), log);
        out.text()
    }

    fn logged_as_json(log: impl FnOnce()) -> String {
        let out = Captured::default();
        let layer = tracing_subscriber::fmt::layer().json().event_format(OneLine::json());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_writer(out.clone())), log);
        out.text()
    }

    const FORGED: &str = "1\r\n2025-01-01T00:00:00Z ERROR the pod is on fire\x1b[2J\u{9b}31m\u{202e}";

    fn log_forged() {
        let span = tracing::info_span!("call", caller = FORGED);
        let _in_call = span.enter();
        tracing::info!(dialed = FORGED, debugged = ?FORGED, shown = %FORGED, "call came: {FORGED}");
    }

    #[test]
    fn no_field_span_or_message_forges_a_second_line_of_text() {
        let text = logged_as_text(false, log_forged);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(text.ends_with('\n'));
        assert!(!text.trim_end_matches('\n').contains(is_unwanted), "{text:?}");
        assert!(text.contains("the pod is on fire"), "escaped, not lost: {text}");
    }

    #[test]
    fn no_field_span_or_message_forges_a_second_line_of_json() {
        let text = logged_as_json(log_forged);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end_matches('\n').contains(is_unwanted), "{text:?}");
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("a line of JSON");
        assert_eq!(parsed["dialed"], FORGED, "a reader of JSON gets the value as it was");
        assert_eq!(parsed["span"]["caller"], FORGED);
        assert_eq!(parsed["level"], "INFO");
    }

    #[test]
    fn warnings_are_coloured_on_a_terminal_only_and_the_colour_ends_with_the_line() {
        let log = || tracing::warn!("careful");
        assert!(!logged_as_text(false, log).contains('\x1b'));
        let coloured = logged_as_text(true, log);
        assert!(coloured.starts_with("\x1b[33m") && coloured.ends_with("\x1b[0m\n"), "{coloured:?}");
    }

    proptest! {
        #[test]
        fn any_value_gives_one_line(value in any::<String>()) {
            let text = logged_as_text(false, || tracing::info!(value, "x"));
            prop_assert_eq!(text.matches('\n').count(), 1);
            let json = logged_as_json(|| tracing::info!(value, "x"));
            let parsed: serde_json::Value = serde_json::from_str(&json).expect("a line of JSON");
            prop_assert_eq!(&parsed["value"], &serde_json::Value::String(value));
        }
    }
}
