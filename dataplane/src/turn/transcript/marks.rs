//! Telling what was said from a recogniser's remarks about it: sounds in brackets, control tokens, notes of music, times.

use super::sounds::names_a_sound;

/// A remark is no longer than this; what is longer and stands in round brackets or asterisks is words.
const MAX_REMARK_WORDS: usize = 8;
/// Beside words, a remark of which it is not known what it means is no longer than this.
const MAX_UNKNOWN_WORDS: usize = 2;
/// Looked through for a bracket's other half, in characters.
const MAX_REMARK_CHARS: usize = 200;

/// The words of a transcript, without remarks; empty when nothing was said.
///
/// Whatever stands in square brackets, in their relatives and in `<…>` is a remark, and so is what stands between notes of
/// music. In round brackets and asterisks stand words as well (a telephone number, an emphasis): those count as a remark
/// where they name a sound, or where there is nothing else.
#[must_use]
pub fn said(transcript: &str) -> String {
    let text: Vec<char> = transcript.chars().filter(|c| !is_invisible(*c)).collect();
    let pieces = pieces(&text);
    let alone = !pieces.iter().any(|piece| matches!(piece, Piece::Words(words) if has_words(words)));
    let mut words = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Words(text) => words.push_str(text),
            Piece::Remark => words.push(' '),
            Piece::Perhaps { inside, open, close } => {
                let at_edge = || stands_apart(&pieces, index);
                if is_remark(inside, alone, *open == '*', at_edge) {
                    words.push(' ');
                } else if *open == '*' {
                    words.push_str(inside);
                } else {
                    words.push(*open);
                    words.push_str(inside);
                    words.push(*close);
                }
            }
        }
    }
    let changed = pieces.len() > 1 || !matches!(pieces.first(), Some(Piece::Words(_)) | None);
    let words = joined(&words, changed);
    let words = unlabelled(&words);
    if has_words(&words) && !is_token(&words) && !is_label(&words) { words } else { String::new() }
}

#[derive(Debug)]
enum Piece {
    Words(String),
    /// Certainly no words.
    Remark,
    /// In round brackets or asterisks.
    Perhaps {
        inside: String,
        open: char,
        close: char,
    },
}

fn pieces(text: &[char]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut words = String::new();
    let mut at = 0;
    while let Some(&c) = text.get(at) {
        let found = remark_at(text, at);
        match found {
            Some((piece, length)) => {
                if !words.is_empty() {
                    pieces.push(Piece::Words(std::mem::take(&mut words)));
                }
                pieces.push(piece);
                at += length;
            }
            None => {
                words.push(c);
                at += 1;
            }
        }
    }
    if !words.is_empty() {
        pieces.push(Piece::Words(words));
    }
    pieces
}

/// What begins at `at` and is not simply words, and how many characters it has.
fn remark_at(text: &[char], at: usize) -> Option<(Piece, usize)> {
    let rest = &text[at..];
    let open = *rest.first()?;
    let inside = |length: usize| -> String { rest[1..1 + length].iter().collect() };
    let closes: &[char] = match open {
        '[' | '［' => &[']', '］'],
        '【' => &['】'],
        '〔' => &['〕'],
        '〖' => &['〗'],
        '{' | '｛' => &['}', '｝'],
        '(' | '（' => &[')', '）'],
        '<' | '＜' => &['>', '＞'],
        '*' => return asterisks(rest),
        _ if is_note(open) => return Some(music(rest)),
        '%' if rest.get(1).is_some_and(char::is_ascii_uppercase) => {
            // Watson's %HESITATION.
            let length = rest[1..].iter().take_while(|c| c.is_ascii_uppercase() || **c == '_').count();
            return (length > 2).then_some((Piece::Remark, length + 1));
        }
        _ => return None,
    };
    let length = length_inside(rest, open, closes);
    match open {
        '<' | '＜' => {
            // A tag or a control token, not "less than".
            let length = length.filter(|length| (1..=64).contains(length))?;
            let first = rest[1];
            let is_tag = first == '|' || first == '/' || first.is_alphabetic();
            (is_tag && !rest[1..=length].contains(&'<')).then_some((Piece::Remark, length + 2))
        }
        '(' | '（' => {
            let length = length?;
            Some((Piece::Perhaps { inside: inside(length), open, close: rest[length + 1] }, length + 2))
        }
        _ => match length {
            Some(length) => Some((Piece::Remark, length + 2)),
            // One that was cut off ends with the text.
            None if rest.len() <= 64 => Some((Piece::Remark, rest.len())),
            None => None,
        },
    }
}

/// Characters up to the closing bracket that belongs to the first one.
fn length_inside(rest: &[char], open: char, closes: &[char]) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, c) in rest.iter().enumerate().skip(1).take(MAX_REMARK_CHARS) {
        if closes.contains(c) {
            if depth == 0 {
                return Some(index - 1);
            }
            depth -= 1;
        } else if *c == open {
            depth += 1;
        }
    }
    None
}

/// `*sighs*`, `**sighs**`; neither a key (`*`), nor several.
fn asterisks(rest: &[char]) -> Option<(Piece, usize)> {
    let run = rest.iter().take_while(|c| **c == '*').count();
    let length = rest[run..].iter().take(MAX_REMARK_CHARS).position(|c| *c == '*')?;
    let behind = rest[run + length..].iter().take_while(|c| **c == '*').count();
    let inside: String = rest[run..run + length].iter().collect();
    let is_wrapped = inside.chars().any(char::is_alphabetic) && !inside.chars().any(char::is_numeric);
    is_wrapped.then_some((Piece::Perhaps { inside, open: '*', close: '*' }, run + length + behind))
}

/// What stands between two notes is sung, or the name of the piece; a note alone is only a note.
fn music(rest: &[char]) -> (Piece, usize) {
    let run = rest.iter().take_while(|c| is_note(**c) || c.is_whitespace()).count();
    let sung = rest[run..].iter().take(MAX_REMARK_CHARS).position(|c| is_note(*c));
    match sung {
        Some(length) => {
            let behind = rest[run + length..].iter().take_while(|c| is_note(**c)).count();
            (Piece::Remark, run + length + behind)
        }
        None => (Piece::Remark, run),
    }
}

fn is_remark(inside: &str, alone: bool, emphasis: bool, at_edge: impl Fn() -> bool) -> bool {
    if !inside.chars().any(char::is_alphabetic) {
        // An area code is words; dots and dashes are not.
        return !inside.chars().any(char::is_numeric);
    }
    let words = inside.split_whitespace().count();
    if words > MAX_REMARK_WORDS {
        return false;
    }
    if names_a_sound(inside) {
        return true;
    }
    let is_sentence = inside.contains(['.', '?', '!', '。', '？', '！']);
    if is_sentence || inside.chars().any(char::is_numeric) {
        return false;
    }
    if emphasis {
        return alone && !inside.starts_with(char::is_uppercase);
    }
    alone || (words <= MAX_UNKNOWN_WORDS && inside.chars().count() <= 24 && at_edge())
}

/// Whether a piece stands before or behind all words, or between two sentences.
fn stands_apart(pieces: &[Piece], index: usize) -> bool {
    let words = |piece: &Piece| match piece {
        Piece::Words(words) => has_words(words).then(|| words.clone()),
        Piece::Remark => None,
        Piece::Perhaps { inside, .. } => Some(inside.clone()),
    };
    let before = pieces[..index].iter().rev().find_map(words);
    let after = pieces[index + 1..].iter().find_map(words);
    let ends = |text: String| text.trim_end().ends_with(['.', '?', '!', '。', '？', '！', '…']);
    after.is_none() || before.is_none_or(ends)
}

/// One line of words. Where something was taken out, the marks that now stand alone go too.
fn joined(text: &str, changed: bool) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        let follows = changed && word.chars().all(|c| matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '。' | '、'));
        if !words.is_empty() && !follows {
            words.push(' ');
        }
        words.push_str(word);
    }
    // Subtitles mark another speaker so.
    let words = words.trim_start_matches(|c: char| c == '>' || c.is_whitespace());
    let words =
        words.strip_prefix(['-', '–', '—', '•']).filter(|words| words.starts_with(' ')).map_or(words, str::trim_start);
    let idle = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '-' | '–' | '—' | '.' | '、' | '。');
    if changed { words.trim_start_matches(idle).trim_end().to_owned() } else { words.to_owned() }
}

fn has_words(text: &str) -> bool {
    // The sound mark of Japanese is a letter to Unicode, and alone it is nothing.
    text.chars().any(|c| c.is_alphanumeric() && !matches!(c, 'ー' | 'ｰ' | '々' | 'ﾞ' | 'ﾟ' | 'ʔ' | 'ʕ'))
}

/// `BLANK_AUDIO`, without its brackets; `#NOISE#`, `-Silence-`, `+noise+`, `%noise`; the silence, noise and unknown words of recognisers
/// that were made from word lists.
fn is_token(text: &str) -> bool {
    const LISTED: [&str; 6] = ["SIL", "SPN", "NSN", "NSPC", "UNK", "EPS"];
    let bare = text.trim_matches(|c: char| c.is_ascii_punctuation());
    let signed = text.starts_with(['#', '%', '+', '~', '=', '@', '$', '|', '-', '_'])
        && bare.split_whitespace().count() <= 2
        && names_a_sound(bare);
    signed || LISTED.contains(&bare) || bare.contains('_') && bare.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Without the labels of who speaks, as recognisers that tell speakers apart put them: `Speaker 0:`, `SPEAKER_01:`, `spk1:`.
fn unlabelled(text: &str) -> String {
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit()) && (1..=3).contains(&text.len());
    let label = |word: &str| word.strip_suffix([':', '：']).map(str::to_lowercase);
    let mut kept: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let Some(label) = label(word) else {
            kept.push(word);
            continue;
        };
        if is_number(&label)
            && kept.last().is_some_and(|before| matches!(before.to_lowercase().as_str(), "speaker" | "spk"))
        {
            kept.pop();
            continue;
        }
        let whole = ["speaker", "spk"]
            .iter()
            .find_map(|name| label.strip_prefix(name))
            .map(|rest| rest.trim_start_matches(['_', '-']));
        if !whole.is_some_and(is_number) {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// `Speaker 1:`, `SPEAKER_00:` and nothing behind.
fn is_label(text: &str) -> bool {
    text.ends_with([':', '：']) && text.split_whitespace().count() <= 2
}

fn is_note(c: char) -> bool {
    matches!(c, '♩' | '♪' | '♫' | '♬' | '♭' | '♮' | '♯' | '🎵' | '🎶' | '🎼')
}

/// Takes no room in print. Joiners do, inside words of some scripts.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' | '\u{00AD}' | '\u{061C}' | '\u{180E}'
            | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{FE0E}' | '\u{FE0F}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_transcript_of_remarks_says_nothing() {
        let table = [
            "",
            " ",
            ".",
            "…",
            "...",
            "- -",
            "—",
            "?!",
            "。",
            "♪♪",
            "♪",
            "🎵 🎶",
            "\u{200b}",
            "\u{feff}\u{200d}",
            "\u{3164}",
            "[BLANK_AUDIO]",
            " [ Silence ]",
            "[Music]",
            "[inaudible]",
            "[no speech]",
            "[_BEG_]",
            "[BLANK_AUDIO",
            "(coughing)",
            "(silence)",
            "(Coughs.)",
            "(upbeat music)",
            "(dog barks)",
            "(speaking in foreign language)",
            "(音楽)",
            "（笑）",
            "【拍手】",
            "〔音声なし〕",
            "［音乐］",
            "(박수)",
            "(Musik)",
            "[Musique]",
            "(Applaus)",
            "(rires)",
            "(música)",
            "(музыка)",
            "(смех)",
            "(öksürük)",
            "(موسيقى)",
            "*sighs*",
            "**coughs**",
            "*door creaks*",
            "*Musik*",
            "<|nospeech|>",
            "<|en|><|nospeech|>",
            "<unk>",
            "</s>",
            "<|startoftranscript|><|endoftext|>",
            "{noise}",
            "♪ la la la ♪",
            "🎵 you are the one 🎵",
            "[Music] [Applause]",
            "(coughing) (laughs)",
            "[00:00.000 --> 00:02.000]",
            "%HESITATION",
            "BLANK_AUDIO",
            "Speaker 1: [silence]",
            "SPEAKER_00:",
            "Speaker 0:",
            "#NOISE#",
            "-Silence-",
            "%noise",
            "+noise+",
            "SIL",
            "ʔ",
            ">> [music]",
            "- (sighs)",
            "(...)",
            "ー",
            "([noise])",
        ];
        for text in table {
            assert_eq!(said(text), "", "{text}");
        }
    }

    #[test]
    fn what_was_said_beside_remarks_is_kept() {
        let table = [
            ("[coughing] Yes please (laughs)", "Yes please"),
            ("(coughs) Yes, please.", "Yes, please."),
            ("Yes please (laughs).", "Yes please."),
            ("Well, *sighs* I don't know.", "Well, I don't know."),
            ("<|en|><|NEUTRAL|><|Speech|><|woitn|>hello there", "hello there"),
            ("<i>Good day.</i>", "Good day."),
            ("♪ Hello?", "Hello?"),
            (">> Hello?", "Hello?"),
            ("[00:00.000 --> 00:02.000]  Hello.\n[00:02.000 --> 00:03.000]  Yes.", "Hello. Yes."),
            ("I want the [inaudible] please", "I want the please"),
            ("(door slams) Hello?", "Hello?"),
            ("【拍手】はい、お願いします。", "はい、お願いします。"),
            ("%HESITATION yes", "yes"),
            ("Yes\u{200b}.", "Yes."),
            ("Speaker 0: Hello there.", "Hello there."),
            ("SPEAKER_01: Hello. SPEAKER_00: Yes.", "Hello. Yes."),
            ("[Speaker 1]: Hello there.", "Hello there."),
            ("- Hello there.", "Hello there."),
        ];
        for (text, words) in table {
            assert_eq!(said(text), words, "{text}");
        }
    }

    #[test]
    fn words_are_left_as_they_are() {
        let table = [
            "Thank you.",
            "you",
            "Thank you for watching.",
            "Music.",
            "Silence!",
            "5",
            "(202) 555-0143",
            "My number is (202) 555-0143.",
            "Cancel it (not the other one), please.",
            "do (not) cancel",
            "Is 3 < 5?",
            "100 %",
            "The speaker said 5: no more.",
            "Meet me at 5:30",
            "-5 degrees",
            "Yes.",
            "¿Sí?",
            "はい",
            "네",
            "да",
            "می\u{200c}خواهم",
            "It's 50% off",
            "a_b",
            "Call *67 or *82.",
            "(I would like to cancel my appointment for tomorrow.)",
        ];
        for text in table {
            assert_eq!(said(text), text);
        }
        assert_eq!(said("I *really* mean *Not* that."), "I really mean Not that.");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_left_is_one_line_of_words(text in "[a-z\\[\\]()<>*{}♪%A-Z_.| \u{3000}【】é\u{200b}\n-]{0,60}") {
            let words = said(&text);
            prop_assert!(words.is_empty() || words.chars().any(char::is_alphanumeric), "{words:?}");
            prop_assert!(!words.contains('\n') && words.trim() == words, "{words:?}");
        }

        #[test]
        fn plain_words_are_never_changed(text in "[a-zäé]{1,8}( [a-zäé']{1,8}){0,6}[.?!]?") {
            prop_assert_eq!(said(&text), text);
        }
    }
}
