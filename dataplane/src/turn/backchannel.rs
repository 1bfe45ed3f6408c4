//! Backchannels: the "mm-hmm", "ja" and "d'accord" with which people show that they listen, and do not ask for a turn.
//! It judges words and nothing else; whether the agent was speaking, or had asked something, is the conversation's to
//! know.
//!
//! The words are data, a file a language in `backchannel/`: a phrase a line, `#` before comments, and `!` before words
//! that always mean something, such as "no" and "wait". All languages' words count in each call: callers change
//! languages, recognisers write one language's sounds with another's letters, and no "ja" is a question in English.
//!
//! Phrases are compared without case, punctuation, spaces and accents, and with each run of a letter as one: "Mm-hmm.",
//! "mhmm" and "Mm hmm!" are the same. Several in a row are as good as one: "ja, ja, genau".

use std::collections::BTreeSet;

use super::sentence::is_unspaced;

/// Each file's words, and its language for those who look for it here.
const LISTS: [(&str, &str); 18] = [
    ("any", include_str!("backchannel/sounds.txt")),
    ("en", include_str!("backchannel/en.txt")),
    ("de", include_str!("backchannel/de.txt")),
    ("fr", include_str!("backchannel/fr.txt")),
    ("es", include_str!("backchannel/es.txt")),
    ("it", include_str!("backchannel/it.txt")),
    ("pt", include_str!("backchannel/pt.txt")),
    ("nl", include_str!("backchannel/nl.txt")),
    ("pl", include_str!("backchannel/pl.txt")),
    ("ja", include_str!("backchannel/ja.txt")),
    ("zh", include_str!("backchannel/zh.txt")),
    ("ru", include_str!("backchannel/ru.txt")),
    ("uk", include_str!("backchannel/uk.txt")),
    ("sv", include_str!("backchannel/sv.txt")),
    ("da", include_str!("backchannel/da.txt")),
    ("nb", include_str!("backchannel/nb.txt")),
    ("cs", include_str!("backchannel/cs.txt")),
    ("tr", include_str!("backchannel/tr.txt")),
];
/// Nobody shows for so many words that they only listen.
const MAX_WORDS: usize = 16;
/// Words of the longest phrase.
const MAX_PHRASE_WORDS: usize = 5;
/// Letters of a script without spaces that make a word, near enough.
const LETTERS_A_WORD: usize = 2;

/// What of the caller's words over the agent is let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backchannels {
    /// Normalised phrases.
    phrases: BTreeSet<String>,
    /// Normalised words that always mean something.
    urgent: BTreeSet<String>,
    min_words: usize,
}

impl Default for Backchannels {
    /// The built-in lists, and no least number of words.
    fn default() -> Self {
        let mut lists = Self { phrases: BTreeSet::new(), urgent: BTreeSet::new(), min_words: 0 };
        for (_, list) in LISTS {
            lists.read(list);
        }
        // What means something in one language is never let pass for the sake of another.
        let Self { phrases, urgent, .. } = &mut lists;
        phrases.retain(|phrase| !urgent.contains(phrase));
        lists
    }
}

impl Backchannels {
    /// No phrases: everything that is said over the agent interrupts it, but for what has too few words.
    #[must_use]
    pub fn none() -> Self {
        Self { phrases: BTreeSet::new(), ..Self::default() }
    }

    /// With further phrases, separated by commas; `!` before one takes it out, and makes it interrupt.
    #[must_use]
    pub fn with(mut self, phrases: &str) -> Self {
        for phrase in phrases.split(',') {
            match phrase.trim().strip_prefix('!') {
                Some(urgent) => self.add_urgent(urgent),
                None => {
                    let phrase = phrase_of(phrase);
                    self.urgent.remove(&phrase);
                    self.add(phrase);
                }
            }
        }
        self
    }

    /// With fewer words than `min_words` nothing interrupts, unless it is one of those that always do. Zero: any number
    /// does.
    #[must_use]
    pub fn with_min_words(mut self, min_words: usize) -> Self {
        self.min_words = min_words;
        self
    }

    fn read(&mut self, list: &str) {
        for line in list.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            match line.strip_prefix('!') {
                Some(urgent) => self.add_urgent(urgent),
                None => self.add(phrase_of(line)),
            }
        }
    }

    fn add(&mut self, phrase: String) {
        if !phrase.is_empty() {
            self.phrases.insert(phrase);
        }
    }

    fn add_urgent(&mut self, phrase: &str) {
        let phrase = phrase_of(phrase);
        self.phrases.remove(&phrase);
        if !phrase.is_empty() {
            self.urgent.insert(phrase);
        }
    }

    /// Do these words, said over the agent, leave it the floor?
    #[must_use]
    pub fn leave_the_floor(&self, text: &str) -> bool {
        let words = words(text);
        if words.is_empty() {
            return false;
        }
        let is_short = self.min_words > 0 && count(&words) < self.min_words && !self.has_urgent(&words);
        is_short || (words.len() <= MAX_WORDS && self.are_phrases(&words))
    }

    fn has_urgent(&self, words: &[String]) -> bool {
        runs(words).any(|(_, _, phrase)| self.urgent.contains(&phrase))
    }

    /// Whether the words, from the first to the last, are phrases one after the other.
    fn are_phrases(&self, words: &[String]) -> bool {
        let mut reached = vec![false; words.len() + 1];
        reached[0] = true;
        for (from, to, phrase) in runs(words) {
            if reached[from] && (self.phrases.contains(&phrase) || (to == from + 1 && self.is_repeated(&words[from]))) {
                reached[to] = true;
            }
        }
        reached[words.len()]
    }

    /// Whether one word is a phrase said several times ("jaja"), or, in a script without spaces, several phrases.
    fn is_repeated(&self, word: &str) -> bool {
        let letters: Vec<char> = word.chars().collect();
        if letters.len() > 4 * MAX_WORDS {
            return false;
        }
        if letters.iter().all(|letter| is_unspaced(*letter)) {
            let mut reached = vec![false; letters.len() + 1];
            reached[0] = true;
            for from in 0..letters.len() {
                for to in from + 1..=letters.len() {
                    let phrase: String = letters[from..to].iter().collect();
                    reached[to] |= reached[from] && self.phrases.contains(&phrase);
                }
            }
            return reached[letters.len()];
        }
        (1..=letters.len() / 2).filter(|length| letters.len().is_multiple_of(*length)).any(|length| {
            let phrase: String = letters[..length].iter().collect();
            letters.chunks(length).all(|chunk| chunk == &letters[..length]) && self.phrases.contains(&phrase)
        })
    }
}

/// All runs of words that may be a phrase, in the order of their beginnings.
fn runs(words: &[String]) -> impl Iterator<Item = (usize, usize, String)> {
    (0..words.len()).flat_map(move |from| {
        let longest = words.len().min(from + MAX_PHRASE_WORDS);
        (from + 1..=longest).map(move |to| (from, to, joined(&words[from..to])))
    })
}

fn phrase_of(text: &str) -> String {
    joined(&words(text))
}

fn joined(words: &[String]) -> String {
    let mut phrase = String::new();
    for letter in words.iter().flat_map(|word| word.chars()) {
        push_letter(&mut phrase, letter);
    }
    phrase
}

/// How many words there are; a script without spaces has some in each run of its letters.
fn count(words: &[String]) -> usize {
    let of = |word: &String| match word.chars().filter(|letter| is_unspaced(*letter)).count() {
        0 => 1,
        letters => letters.div_ceil(LETTERS_A_WORD),
    };
    words.iter().map(of).sum()
}

/// The words of a text, in small letters without accents, each run of a letter as one.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            // What belongs to a word and makes no other of it: apostrophes, accents that stand alone, long vowels.
            '\'' | '’' | 'ʼ' | '´' | '`' | '\u{300}'..='\u{36f}' | 'ー' | '〜' | '～' => {}
            c if c.is_alphanumeric() => {
                if let Some(word) = words.last_mut() {
                    plain(c).chars().for_each(|letter| push_letter(word, letter));
                }
            }
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn push_letter(word: &mut String, letter: char) {
    if !word.ends_with(letter) {
        word.push(letter);
    }
}

/// A small letter without its accent.
fn plain(c: char) -> String {
    let plain = match c {
        'á' | 'à' | 'â' | 'ä' | 'ã' | 'å' | 'ą' | 'ā' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' => "d",
        'é' | 'è' | 'ê' | 'ë' | 'ę' | 'ě' | 'ē' => "e",
        'ğ' => "g",
        'í' | 'ì' | 'î' | 'ï' | 'ı' => "i",
        'ł' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ó' | 'ò' | 'ô' | 'ö' | 'õ' | 'ø' | 'ő' => "o",
        'œ' => "oe",
        'ř' => "r",
        'ś' | 'š' | 'ş' => "s",
        'ß' => "s",
        'ť' => "t",
        'ú' | 'ù' | 'û' | 'ü' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        c => return c.to_string(),
    };
    plain.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_only_listens_leaves_the_floor() {
        let lists = Backchannels::default();
        let said = [
            "Mm-hmm.|Mhm|mmhmm|Mmmmm|Mm hmm, mm hmm.|Uh-huh.|uh huh|Aha!|Hm.|Ok|OK.|Okay, okay.|Uh...|Mm-hm, okay",
            "Yeah.|Yes, yes.|Right.|I see.|Got it.|Sure, sure.|that’s right",
            "ja|Ja, ja, ja.|Jaja|Jaaa|JA GENAU|Genau.|Ach so.|Achso, ja genau.|Alles klar.",
            "D'accord.|d’accord|Oui oui|C'est ça.|Sí, sí.|sisi|Vale, vale.|Si\u{301}|Ho capito.|Sì|Va bene.|Pois é.|Está bom",
            "Tak, tak.|właśnie|Rozumiem.|Klopt.|Precies!|Just det.|Evet, tamam|Да, да.|Угу|Ano, ano.",
            "はい|はいはい。|はい、はい。|はーい|うんうん|そうですね。|嗯嗯|好的。",
        ];
        for text in said.iter().flat_map(|said| said.split('|')) {
            assert!(lists.leave_the_floor(text), "{text}");
        }
    }

    #[test]
    fn whoever_says_something_gets_the_floor() {
        let lists = Backchannels::default();
        let said = [
            "No.|No, no.|No no no|Stop!|Wait.|ok stop|Yes, but when?|What?|Hello?|Sorry?|Are you open on Sundays?",
            "And on Sundays?|right now please|sure about that?|[DTMF: 1]|1|five",
            "Nein|ja aber|Halt!|Moment|Nee.|Non.|Attendez|oui mais non|espera|sí pero|Aspetti|não|Nie.|Wacht even|нет|Nej",
            "いいえ|待って|はい、でも|不|等一下",
        ];
        for text in said.iter().flat_map(|said| said.split('|')).chain(["", "…"]) {
            assert!(!lists.leave_the_floor(text), "{text}");
        }
    }

    #[test]
    fn no_list_lets_pass_what_means_something_in_another() {
        let lists = Backchannels::default();
        assert!(lists.phrases.is_disjoint(&lists.urgent));
        for (language, list) in LISTS {
            let mut alone = Backchannels { phrases: BTreeSet::new(), urgent: BTreeSet::new(), min_words: 0 };
            alone.read(list);
            let lost: Vec<_> = alone.phrases.difference(&lists.phrases).collect();
            assert!(lost.is_empty(), "{language}: {lost:?} can never count, take it out");
            assert!(language == "any" || alone.phrases.len() >= 12 && alone.urgent.len() >= 7, "{language}");
        }
    }

    #[test]
    fn the_lists_can_be_added_to_and_taken_from() {
        let lists = Backchannels::default().with("gell, weiter so ,!super,, !Genau");
        assert!(lists.leave_the_floor("Gell!") && lists.leave_the_floor("ja, weiter so"));
        assert!(!lists.leave_the_floor("Super.") && !lists.leave_the_floor("ja genau"));
        assert!(Backchannels::default().with("wait").leave_the_floor("Wait."), "whoever sets it knows");
        assert!(!Backchannels::none().leave_the_floor("mhm"));
        assert!(!Backchannels::none().with_min_words(2).leave_the_floor("stop"));
        assert!(Backchannels::none().with_min_words(2).leave_the_floor("mhm"));
    }

    #[test]
    fn too_few_words_leave_the_floor_where_that_is_asked_unless_they_are_urgent() {
        let lists = Backchannels::default().with_min_words(3);
        for text in ["Blue.", "two words", "青い"] {
            assert!(lists.leave_the_floor(text), "{text}");
        }
        for text in ["this is three", "Stop!", "no", "Please wait", "待って", "日曜日も開いていますか"] {
            assert!(!lists.leave_the_floor(text), "{text}");
        }
        assert!(!Backchannels::default().leave_the_floor("Blue."));
    }

    #[test]
    fn texts_of_any_length_are_judged_in_short_time() {
        let lists = Backchannels::default().with_min_words(3);
        for text in
            ["ja ".repeat(700), "はい".repeat(1_000), "ja".repeat(1_000), "ba".repeat(1_000), "\u{300}".repeat(2_000)]
        {
            let lists = lists.clone().with_min_words(0);
            assert!(!lists.leave_the_floor(&text));
        }
    }
}
