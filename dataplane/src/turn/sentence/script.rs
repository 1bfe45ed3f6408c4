//! Letters and signs of the world's scripts, as far as they tell where a sentence ends, and abbreviations.

/// Abbreviations that something always follows, in English, German, French, Spanish, Italian, Portuguese and Dutch.
pub(super) const NEVER_LAST: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "rev", "hon", "gen", "col", "sgt", "capt", "lt", "vs", "e.g", "i.e",
    "cf", "approx", "fig", "eq", "ca", "hr", "fr", "frl", "nr", "bzw", "z.b", "d.h", "u.a", "ggf", "evtl", "inkl",
    "zzgl", "str", "mme", "mlle", "sr", "sra", "srta", "dra", "ud", "uds", "sig", "dott", "ing", "avv", "av", "bijv",
    "dhr", "mevr", "tel", "डॉ",
];

/// Abbreviations that may also end a sentence.
pub(super) const MAYBE_LAST: &[&str] = &[
    "etc", "inc", "ltd", "co", "corp", "jr", "no", "nos", "ext", "dept", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "usw", "okt", "dez",
    "ecc", "min", "max", "std", "hrs", "mins", "blvd", "ave", "rd",
];

pub(super) fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '‼' | '⁇' | '⁈' | '⁉') || is_wide_stop(c)
}

pub(super) fn is_wide_stop(c: char) -> bool {
    matches!(
        c,
        '。' | '！'
            | '？'
            | '．'
            | '｡'
            | '؟'
            | '۔'
            | '।'
            | '॥'
            | '။'
            | '។'
            | '៕'
            | '።'
            | '፧'
            | '፨'
            | '։'
            | '།'
            | '᱾'
    )
}

pub(super) fn is_closer(c: char) -> bool {
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

pub(super) fn is_opener(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '‘' | '„' | '»' | '«' | '‹' | '(' | '[' | '{' | '「' | '『' | '（' | '*' | '_' | '`')
}

/// Letters of scripts written without spaces between words.
pub(in crate::turn) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

pub(super) fn weight(c: char) -> usize {
    if is_unspaced(c) { 3 } else { 1 }
}

/// Marks and joiners that belong to the character before them.
pub(super) fn is_attached(c: char) -> bool {
    matches!(u32::from(c),
        0x0300..=0x036F | 0x200D | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0x1F3FB..=0x1F3FF | 0xE0020..=0xE007F)
}

/// Letters of scripts with spaces between words but without capitals, in which a letter behind a stop begins a sentence:
/// Hebrew, Arabic, the scripts of India, Ethiopic and Hangul.
pub(super) fn is_caseless(c: char) -> bool {
    matches!(u32::from(c),
        0x0590..=0x05FF | 0x0600..=0x06FF | 0x0750..=0x077F | 0x08A0..=0x08FF | 0x0900..=0x0DFF | 0x1200..=0x139F
        | 0xAC00..=0xD7AF)
}

/// Letters of Greek, which asks with a semicolon.
pub(super) fn is_greek(c: char) -> bool {
    matches!(u32::from(c), 0x0370..=0x037D | 0x037F..=0x03FF | 0x1F00..=0x1FFF)
}

/// Letters of scripts that put a space between phrases only, and most often no stop: Thai, Lao, Burmese and Khmer.
pub(super) fn is_phrased(c: char) -> bool {
    matches!(u32::from(c), 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF)
}

/// Commas and the like of scripts that put no space behind them.
pub(super) fn is_clause_end(c: char) -> bool {
    matches!(c, '，' | '；' | '：' | '،' | '؛' | '፣' | '፤')
}
