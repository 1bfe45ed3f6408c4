//! Cuts a streamed reply into pieces that can be spoken while the rest is still being written. It never rewords: its
//! pieces, put one after the other, are the text with its white space collapsed.
//!
//! A sentence is given out once the text behind its stop shows that it is one: "3." may become "3.5", and "Dr." wants
//! its name. Short sentences travel with the next, since a voice restarts with every piece; only the first piece of a
//! reply goes out however short it is, as the caller is waiting for it. [`speakable`] is apart: it drops what a voice
//! would read out as "asterisk".

/// How pieces are cut. Lengths are in characters (Unicode scalar values).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitSettings {
    /// Sentences shorter than this wait for the next one, except the first of a reply. Ideographs count three. Default
    /// 24.
    pub min_chars: usize,
    /// The first piece may also end at a comma once it is this long, so that speech begins earlier. Default 60.
    pub first_clause_chars: usize,
    /// Longest piece, its trailing space not counted; longer sentences are cut at a comma, else at a space. Default
    /// 200.
    pub max_chars: usize,
}

impl Default for SplitSettings {
    fn default() -> Self {
        Self { min_chars: 24, first_clause_chars: 60, max_chars: 200 }
    }
}

/// The splitter of one reply. It holds at most `max_chars` characters and one more.
#[derive(Debug, Clone)]
pub struct SentenceSplitter {
    settings: SplitSettings,
    buffer: String,
    chars: usize,
    /// Characters, ideographs counted three times.
    weight: usize,
    given: bool,
}

impl SentenceSplitter {
    /// A splitter at the beginning of a reply. A `max_chars` under 20 is taken as 20.
    pub fn new(mut settings: SplitSettings) -> Self {
        settings.max_chars = settings.max_chars.max(20);
        Self { settings, buffer: String::new(), chars: 0, weight: 0, given: false }
    }

    /// Takes the next part of the stream, however it is cut, and appends the pieces that it completes to `pieces`.
    ///
    /// A piece keeps the one space or line break that follows it, so that pieces can be put together again.
    pub fn push(&mut self, text: &str, pieces: &mut Vec<String>) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.push_space(c, pieces);
            } else {
                self.push_char(c, pieces);
            }
        }
    }

    /// Gives what is left at the end of the stream; the splitter is then as new, but for the first piece's privileges.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        (self.chars, self.weight) = (0, 0);
        let rest = rest.trim_end();
        (!rest.is_empty()).then(|| {
            self.given = true;
            rest.to_owned()
        })
    }

    /// What has come but is not complete yet.
    pub fn pending(&self) -> &str {
        &self.buffer
    }

    fn push_space(&mut self, c: char, pieces: &mut Vec<String>) {
        let line_break = matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}');
        match self.buffer.chars().next_back() {
            None => return,
            Some('\n') => return,
            Some(' ') if !line_break => return,
            Some(' ') => {
                self.buffer.pop();
            }
            Some(_) => {
                self.chars += 1;
                self.weight += 1;
            }
        }
        self.buffer.push(if line_break { '\n' } else { ' ' });
        let text = self.buffer.trim_end();
        if line_break {
            if self.long_enough(text) {
                self.cut(self.buffer.len(), pieces);
            }
        } else if stop(text) == Stop::Sure && self.long_enough(text) || self.ends_first_clause(text) {
            self.cut(self.buffer.len(), pieces);
        }
    }

    fn push_char(&mut self, c: char, pieces: &mut Vec<String>) {
        let before = self.buffer.len();
        let text = self.buffer.trim_end();
        if !text.is_empty() && self.long_enough(text) {
            let ends = match stop(text) {
                Stop::UnlessLower => text.len() < before && !c.is_lowercase(),
                Stop::Wide => !is_stop(c) && !is_closer(c),
                Stop::None | Stop::Sure => false,
            };
            if ends {
                self.cut(before, pieces);
            }
        }
        self.buffer.push(c);
        self.chars += 1;
        self.weight += weight(c);
        if self.chars > self.settings.max_chars {
            let end = cut_point(&self.buffer, self.settings.max_chars);
            self.cut(end, pieces);
        }
    }

    fn long_enough(&self, text: &str) -> bool {
        if self.given { self.weight >= self.settings.min_chars } else { text.chars().any(char::is_alphanumeric) }
    }

    fn ends_first_clause(&self, text: &str) -> bool {
        !self.given && self.chars >= self.settings.first_clause_chars && text.ends_with([',', ';', ':', '–', '—'])
    }

    /// Gives out the buffer's first `end` bytes.
    fn cut(&mut self, end: usize, pieces: &mut Vec<String>) {
        let rest = self.buffer.split_off(end);
        let piece = std::mem::replace(&mut self.buffer, rest);
        self.chars = self.buffer.chars().count();
        self.weight = self.buffer.chars().map(weight).sum();
        self.given = true;
        pieces.push(piece);
    }
}

/// What the end of a text says about its being the end of a sentence, provided that it is not the end of the stream.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    None,
    /// A sentence, once white space follows.
    Sure,
    /// A sentence, once white space and then anything but a small letter follows: "etc. and", "p.m. We".
    UnlessLower,
    /// A sentence whatever follows: scripts that put no space behind a stop.
    Wide,
}

fn stop(text: &str) -> Stop {
    let bare = text.trim_end_matches(is_closer);
    let Some(last) = bare.chars().next_back().filter(|c| is_stop(*c)) else { return Stop::None };
    if is_wide_stop(last) {
        return Stop::Wide;
    }
    let before = bare.trim_end_matches(is_stop);
    match &bare[before.len()..] {
        "." => full_stop(before),
        run if run.chars().all(|c| matches!(c, '.' | '…')) => Stop::UnlessLower,
        _ => Stop::Sure,
    }
}

/// Judges a single full stop by the word before it.
fn full_stop(before: &str) -> Stop {
    let start = before
        .char_indices()
        .rev()
        .find(|(_, c)| c.is_whitespace() || is_opener(*c))
        .map_or(0, |(at, c)| at + c.len_utf8());
    let word = &before[start..];
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (None, _) => return Stop::None,
        // An initial: "J. Smith". "I" is nearly always the pronoun.
        (Some(c), None) if c.is_alphabetic() => {
            return if c.is_uppercase() && c != 'I' { Stop::None } else { Stop::UnlessLower };
        }
        _ => {}
    }
    // The number of a list item: "1. First".
    if start == 0 && word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit()) {
        return Stop::None;
    }
    let lower = word.to_lowercase();
    if NEVER_LAST.contains(&lower.as_str()) {
        Stop::None
    } else if MAYBE_LAST.contains(&lower.as_str()) || word.split('.').all(|part| part.chars().count() == 1) {
        Stop::UnlessLower
    } else {
        Stop::Sure
    }
}

/// Abbreviations that something always follows, in English, German, French, Spanish, Italian, Portuguese and Dutch.
const NEVER_LAST: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "rev", "hon", "gen", "col", "sgt", "capt", "lt", "vs", "e.g", "i.e",
    "cf", "approx", "fig", "eq", "ca", "hr", "fr", "frl", "nr", "bzw", "z.b", "d.h", "u.a", "ggf", "evtl", "inkl",
    "zzgl", "str", "mme", "mlle", "sr", "sra", "srta", "dra", "ud", "uds", "sig", "dott", "ing", "avv", "av", "bijv",
    "dhr", "mevr", "tel",
];

/// Abbreviations that may also end a sentence.
const MAYBE_LAST: &[&str] = &[
    "etc", "inc", "ltd", "co", "corp", "jr", "no", "nos", "ext", "dept", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "usw", "okt", "dez",
    "ecc", "min", "max", "std", "hrs", "mins", "blvd", "ave", "rd",
];

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '‼' | '⁇' | '⁈' | '⁉') || is_wide_stop(c)
}

fn is_wide_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '．' | '｡' | '؟' | '۔' | '।' | '॥' | '။' | '។' | '።')
}

fn is_closer(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | '”'
            | '’'
            | '»'
            | '«'
            | '›'
            | ')'
            | ']'
            | '}'
            | '」'
            | '』'
            | '）'
            | '】'
            | '》'
            | '*'
            | '_'
            | '`'
    )
}

fn is_opener(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '‘' | '„' | '»' | '«' | '‹' | '(' | '[' | '{' | '「' | '『' | '（' | '*' | '_' | '`')
}

/// Letters of scripts written without spaces between words.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

fn weight(c: char) -> usize {
    if is_unspaced(c) { 3 } else { 1 }
}

/// Marks and joiners that belong to the character before them.
fn is_attached(c: char) -> bool {
    matches!(u32::from(c),
        0x0300..=0x036F | 0x200D | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0x1F3FB..=0x1F3FF | 0xE0020..=0xE007F)
}

/// Where to cut a text of more than `max` characters that holds no end of a sentence: at the last comma or the like in
/// its second half, else at its last space, else between two characters.
fn cut_point(text: &str, max: usize) -> usize {
    let (mut clause, mut space, mut joint, mut hard) = (None, None, None, text.len());
    let mut previous = '\u{200D}';
    for (n, (at, c)) in text.char_indices().enumerate() {
        if n > max {
            break;
        }
        if c.is_whitespace() && n > 0 {
            let end = at + c.len_utf8();
            space = Some(end);
            if n >= max / 2 && matches!(previous, ',' | ';' | ':' | '–' | '—') {
                clause = Some(end);
            }
        } else if n >= max / 2 && matches!(previous, '，' | '、' | '；' | '：') {
            clause = Some(at);
        }
        if n > max / 2 && !is_attached(c) && previous != '\u{200D}' {
            joint = Some(at);
        }
        if n == max {
            hard = at;
        }
        previous = c;
    }
    clause.or(space).or(joint).unwrap_or(hard)
}

/// The text as a voice should get it: without Markdown's signs for emphasis, code, headings, list items and links,
/// without emoji and control characters, on one line. Empty where nothing in it can be spoken.
///
/// It is modest: tables and formulas stay as they are. The system prompt is the place to ask for plain sentences.
pub fn speakable(text: &str) -> String {
    let mut spoken = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim_start();
        let line = line.trim_start_matches('#').trim_start_matches('>').trim_start();
        let line = ["- ", "* ", "+ ", "• "].iter().find_map(|bullet| line.strip_prefix(bullet)).unwrap_or(line);
        if !spoken.is_empty() && !spoken.ends_with(' ') {
            spoken.push(' ');
        }
        push_line(line, &mut spoken);
    }
    if !spoken.chars().any(char::is_alphanumeric) {
        return String::new();
    }
    spoken.truncate(spoken.trim_end().len());
    spoken
}

fn push_line(mut line: &str, spoken: &mut String) {
    while let Some(c) = line.chars().next() {
        if let Some((label, rest)) = link(line) {
            push_line(label, spoken);
            line = rest;
            continue;
        }
        let between_words = c == '_'
            && spoken.ends_with(char::is_alphanumeric)
            && line[1..].starts_with(|next: char| next.is_alphanumeric());
        match c {
            '_' if between_words => spoken.push('_'),
            '*' | '`' | '_' => {}
            '~' if line.starts_with("~~") => line = &line[1..],
            c if c.is_control() || is_emoji(c) => {}
            c if c.is_whitespace() => {
                if !spoken.is_empty() && !spoken.ends_with(' ') {
                    spoken.push(' ');
                }
            }
            c => spoken.push(c),
        }
        line = &line[line.chars().next().map_or(0, char::len_utf8)..];
    }
}

/// `[label](address)` at the beginning of a line: its label, and what follows. A label holds no bracket.
fn link(line: &str) -> Option<(&str, &str)> {
    let (label, rest) = line.strip_prefix('[')?.split_once("](")?;
    let (address, rest) = rest.split_once(')')?;
    (!label.contains(['[', ']']) && !address.contains(char::is_whitespace)).then_some((label, rest))
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c),
        0x200D | 0x20E3 | 0x2600..=0x27BF | 0x2B00..=0x2BFF | 0xFE00..=0xFE0F | 0x1F000..=0x1FAFF | 0xE0020..=0xE007F)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Splits a text that comes `step` characters at a time.
    fn split_by(text: &str, step: usize) -> Vec<String> {
        let mut splitter = SentenceSplitter::new(SplitSettings { min_chars: 1, ..Default::default() });
        let mut pieces = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for part in chars.chunks(step) {
            splitter.push(&part.iter().collect::<String>(), &mut pieces);
        }
        pieces.extend(splitter.finish());
        pieces
    }

    fn split(text: &str) -> Vec<String> {
        let whole = split_by(text, usize::MAX);
        assert_eq!(whole, split_by(text, 1), "how the stream is cut does not matter");
        whole.into_iter().map(|piece| piece.trim_end().to_owned()).collect()
    }

    fn normalised(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sentences_end_at_stops() {
        assert_eq!(
            split("Hello there. How are you? Fine! Well… Good."),
            ["Hello there.", "How are you?", "Fine!", "Well…", "Good."]
        );
        assert_eq!(split("你好。今天天气很好！是吗？"), ["你好。", "今天天气很好！", "是吗？"]);
        assert_eq!(split("नमस्ते। आप कैसे हैं?"), ["नमस्ते।", "आप कैसे हैं?"]);
        assert_eq!(split("First line\nSecond line"), ["First line", "Second line"]);
    }

    #[test]
    fn a_sentence_goes_out_as_soon_as_what_follows_shows_that_it_is_one() {
        let mut splitter = SentenceSplitter::new(SplitSettings::default());
        let mut pieces = Vec::new();
        splitter.push("Sure.", &mut pieces);
        assert!(pieces.is_empty(), "it might be Sure.com");
        splitter.push(" The", &mut pieces);
        assert_eq!(pieces, ["Sure. "]);
        assert_eq!(splitter.pending(), "The");
    }

    #[test]
    fn the_first_piece_may_be_short_and_later_ones_wait_for_company() {
        let mut splitter = SentenceSplitter::new(SplitSettings::default());
        let mut pieces = Vec::new();
        splitter.push("Yes. Sure. No problem at all, sir. Bye.", &mut pieces);
        pieces.extend(splitter.finish());
        assert_eq!(pieces, ["Yes. ", "Sure. No problem at all, sir. ", "Bye."]);
    }

    #[test]
    fn abbreviations_initials_and_numbers_end_nothing() {
        for text in [
            "Dr. Smith and Mrs. Jones are in.",
            "Bring fruit, e.g. apples, i.e. fruit.",
            "J. R. R. Tolkien wrote it.",
            "It costs 3.50 euros or 1.000 yen.",
            "Version 2.0.1 is out.",
            "See www.example.com/a.b?c=d!e for more.",
            "Apples etc. and pears.",
            "It opens at 9 a.m. on Sundays.",
            "Well... maybe.",
            "1. Open the door.",
            "Das ist z.B. Herr Dr. Meier.",
        ] {
            assert_eq!(split(text), [text]);
        }
    }

    #[test]
    fn abbreviations_can_end_a_sentence_where_a_capital_follows() {
        assert_eq!(split("We sell apples etc. Come in."), ["We sell apples etc.", "Come in."]);
        assert_eq!(split("It opens at 9 a.m. We wait."), ["It opens at 9 a.m.", "We wait."]);
        assert_eq!(split("So do I. You too."), ["So do I.", "You too."]);
    }

    #[test]
    fn quotes_and_brackets_stay_with_their_sentence() {
        assert_eq!(split("He said \"Stop!\" Then he left."), ["He said \"Stop!\"", "Then he left."]);
        assert_eq!(split("(It is open.) Come in."), ["(It is open.)", "Come in."]);
        assert_eq!(split("「你好。」他说。"), ["「你好。」", "他说。"]);
        assert_eq!(split("What?! No way."), ["What?!", "No way."]);
    }

    #[test]
    fn a_long_sentence_is_cut_at_a_comma_else_at_a_space_else_anywhere() {
        let comma = format!("{}, {}", "word ".repeat(30).trim(), "word ".repeat(30).trim());
        let pieces = split_by(&comma, 7);
        assert!(pieces.len() >= 2 && pieces.iter().any(|piece| piece.ends_with(", ")), "{pieces:?}");
        let spaces = "word ".repeat(100);
        assert!(
            split_by(&spaces, 3)
                .iter()
                .all(|piece| piece.trim_end().chars().count() <= 200 && piece.trim().ends_with("word"))
        );
        let solid = "x".repeat(1_000);
        assert!(split_by(&solid, 9).iter().all(|piece| piece.chars().count() <= 200));
    }

    #[test]
    fn the_first_piece_may_end_at_a_comma() {
        let text = "If you would like to change the date of your appointment here, please tell me which day suits you.";
        assert_eq!(split(text).len(), 2);
    }

    #[test]
    fn a_cut_does_not_part_a_letter_from_its_accent() {
        let text = "e\u{301}".repeat(300);
        assert!(split_by(&text, 5).iter().all(|piece| piece.starts_with('e')));
    }

    #[test]
    fn markdown_and_emoji_are_not_spoken() {
        assert_eq!(speakable("**Hello** _there_ 😀!"), "Hello there !");
        assert_eq!(speakable("# Hours\n- `nine` to ~~five~~ six"), "Hours nine to five six");
        assert_eq!(speakable("See [our site](https://example.com)."), "See our site.");
        assert_eq!(speakable("snake_case stays"), "snake_case stays");
        assert_eq!(speakable("[unclosed and \u{7} bell"), "[unclosed and bell");
        assert_eq!(speakable("It's 5 ~ 6 o'clock"), "It's 5 ~ 6 o'clock");
        assert_eq!(speakable("---"), "");
        assert_eq!(speakable("👍"), "");
    }

    fn any_text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            4 => "[a-zA-Z]{1,9}",
            3 => Just(" ".to_owned()),
            2 => "[.!?…。！？,;:\n\"')*_]{1,3}",
            1 => "[0-9.]{1,5}",
            1 => prop::sample::select(vec!["Dr.", "e.g.", "你好", "👩‍👩‍👧", "e\u{301}", "\u{2028}", "\t \r\n", "ไทย"])
                .prop_map(str::to_owned),
            1 => "\\PC{0,300}",
        ];
        prop::collection::vec(part, 0..120).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(
            text in any_text(), step in 1usize..40, min in 0usize..40, max in 0usize..250,
        ) {
            let settings = SplitSettings { min_chars: min, max_chars: max, ..Default::default() };
            let mut splitter = SentenceSplitter::new(settings);
            let mut pieces = Vec::new();
            let chars: Vec<char> = text.chars().collect();
            for part in chars.chunks(step) {
                splitter.push(&part.iter().collect::<String>(), &mut pieces);
                prop_assert!(splitter.pending().chars().count() <= max.max(20) + 1, "memory is bounded");
            }
            pieces.extend(splitter.finish());
            for piece in &pieces {
                prop_assert!(!piece.trim().is_empty());
                prop_assert!(piece.trim_end().chars().count() <= max.max(20), "{piece:?}");
            }
            prop_assert_eq!(normalised(&pieces.concat()), normalised(&text));
        }

        #[test]
        fn any_text_can_be_made_speakable(text in any_text()) {
            let spoken = speakable(&text);
            prop_assert!(!spoken.contains(char::is_control) && spoken.len() <= text.len() + 1);
        }
    }
}
