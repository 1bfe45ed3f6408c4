//! Builds HTML in which nothing from outside can be markup. Knows escaping and formats, not what a page says.

use std::fmt::Write as _;

/// HTML in the making: markup is written by [`Html::raw`] with literals, everything else by [`Html::text`].
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Appends markup. Only literals and numbers of our own may come here.
    pub(super) fn raw(&mut self, markup: impl AsRef<str>) -> &mut Self {
        self.0.push_str(markup.as_ref());
        self
    }

    /// Appends text, made safe both between tags and within quoted attributes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // Controls are not HTML, and marks of writing direction could turn what follows around.
                c if c.is_control() || is_direction_mark(c) => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Appends formatted numbers between markup.
    pub(super) fn number(&mut self, number: std::fmt::Arguments<'_>) -> &mut Self {
        self.0.write_fmt(number).expect("writing to a string does not fail");
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

const fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A moment on the call's axis: `1:02.5`.
pub(super) fn clock(at_ms: u64) -> String {
    let tenths = at_ms / 100;
    let (hours, minutes, seconds) = (tenths / 36_000, tenths / 600 % 60, tenths / 10 % 60);
    let tenth = tenths % 10;
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{tenth}")
    } else {
        format!("{minutes}:{seconds:02}.{tenth}")
    }
}

/// How long something took: `340 ms`, `1.25 s`, `4 min 05 s`, `1 h 02 min`.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.2} s", ms as f64 / 1_000.0),
        10_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// A count with thin spaces between thousands: `12 345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share as per cent: `0 %`, `0.04 %`, `1.3 %`, `12 %`.
pub(super) fn percent(ratio: f32) -> String {
    let percent = f64::from(ratio) * 100.0;
    match percent {
        p if p <= 0.0 => "0 %".to_owned(),
        p if p < 0.01 => "< 0.01 %".to_owned(),
        p if p < 1.0 => format!("{p:.2} %"),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

/// A level: `−20.4 dBFS`.
pub(super) fn dbfs(level: f32) -> String {
    format!("{level:.1} dBFS").replace('-', "\u{2212}")
}

/// Whether `name` is a plain file name that a link may hold: no path, no scheme, nothing hidden.
pub(super) fn is_plain_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let mut html = Html::default();
        html.text("<b a=\"x\" b='y'>&\u{0}\u{202e}\nend");
        assert_eq!(html.finish(), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\u{fffd}\u{fffd}\nend");
    }

    #[test]
    fn figures_are_short_and_carry_their_unit() {
        assert_eq!([clock(0), clock(62_540), clock(3_725_000)], ["0:00.0", "1:02.5", "1:02:05.0"]);
        assert_eq!(
            [999, 1_249, 30_040, 245_000, 3_720_000].map(duration),
            ["999 ms", "1.25 s", "30.0 s", "4 min 05 s", "1 h 02 min"]
        );
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([0.0, 0.00001, 0.004, 0.013, 0.5].map(percent), ["0 %", "< 0.01 %", "0.40 %", "1.3 %", "50 %"]);
    }

    #[test]
    fn a_link_goes_to_a_file_beside_the_page_and_nowhere_else() {
        assert!(is_plain_file_name("20251122T120314Z-0b8f.wav"));
        for name in ["", ".hidden", "../up.wav", "a/b.wav", "javascript:alert(1)", "a b.wav", "a\".wav"] {
            assert!(!is_plain_file_name(name), "{name}");
        }
    }
}
