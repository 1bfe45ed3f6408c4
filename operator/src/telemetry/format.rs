//! The form of a log line for people. Whatever an object, a pod or the API server put into a field, an event stays one line, and the
//! line does nothing to the terminal that shows it. Not for JSON, whose strings hold no control characters.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Compact, Format, Writer},
    },
    registry::LookupSpan,
};

/// An event format that writes exactly one harmless line.
pub(super) struct OneLine {
    inner: Format<Compact>,
    colour: bool,
}

impl OneLine {
    /// With `colour`, warnings and errors stand out on a terminal.
    pub(super) fn new(colour: bool) -> Self {
        // Colours of the inner format would be escaped with the rest, so the line is coloured from outside.
        Self { inner: Format::default().compact().with_ansi(false), colour }
    }
}

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::with_capacity(256);
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let colour = match *event.metadata().level() {
            Level::ERROR if self.colour => Some("\x1b[31m"),
            Level::WARN if self.colour => Some("\x1b[33m"),
            _ => None,
        };
        writer.write_str(colour.unwrap_or_default())?;
        for character in line.strip_suffix('\n').unwrap_or(&line).chars() {
            if is_unwanted(character) {
                write!(writer, "{}", character.escape_default())?;
            } else {
                writer.write_char(character)?;
            }
        }
        writer.write_str(if colour.is_some() { "\x1b[0m\n" } else { "\n" })
    }
}

/// Control characters, line separators, and those that reverse the direction of text.
fn is_unwanted(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

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

    fn logged(colour: bool, log: impl FnOnce()) -> String {
        let out = Captured::default();
        let writer = out.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(OneLine::new(colour))
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = out.0.lock().expect("no test panics in here").clone();
        String::from_utf8(bytes).expect("logs are UTF-8")
    }

    #[test]
    fn no_field_span_or_message_forges_a_second_line() {
        let forged = "1\r\n2025-01-01T00:00:00Z ERROR the cluster is on fire\x1b[2J\u{9b}31m\u{202e}";
        let text = logged(false, || {
            let span = tracing::info_span!("pass", trunk = forged);
            let _in_pass = span.enter();
            tracing::info!(plain = forged, debugged = ?forged, shown = %forged, "refused: {forged}");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(text.ends_with('\n') && !text.trim_end_matches('\n').contains(is_unwanted), "{text:?}");
        assert!(text.contains("the cluster is on fire"), "escaped, not lost: {text}");
    }

    #[test]
    fn warnings_are_coloured_on_a_terminal_only_and_the_colour_ends_with_the_line() {
        let log = || tracing::warn!("careful");
        assert!(!logged(false, log).contains('\x1b'));
        let coloured = logged(true, log);
        assert!(coloured.starts_with("\x1b[33m") && coloured.ends_with("\x1b[0m\n"), "{coloured:?}");
    }
}
