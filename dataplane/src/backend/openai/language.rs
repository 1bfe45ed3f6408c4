//! What recognisers call a language. They take ISO 639-1, as far as the Whisper family knows it and under the names that it
//! has there; a conversation's language is a BCP 47 tag. Only translates names; which of them a server takes, it finds out
//! ([`super::transcription`]).

/// Languages with another name at recognisers than in ISO 639-1, or none there: tag, and what they are called, the likeliest
/// first.
const RENAMED: &[(&str, &[&str])] = &[
    ("nb", &["no"]),
    ("nn", &["nn", "no"]),
    ("iw", &["he"]),
    ("in", &["id"]),
    ("ji", &["yi"]),
    ("jv", &["jw", "jv"]),
    ("jw", &["jw", "jv"]),
    ("mo", &["ro"]),
    ("sh", &["sr"]),
    ("cnr", &["sr"]),
    ("fil", &["tl", "fil"]),
    ("tl", &["tl", "fil"]),
    ("yue", &["yue", "zh"]),
    ("cmn", &["zh"]),
    ("wuu", &["zh"]),
    ("nan", &["zh"]),
    ("hak", &["zh"]),
    ("gsw", &["de"]),
    ("bar", &["de"]),
    ("arb", &["ar"]),
    ("prs", &["fa"]),
    ("pes", &["fa"]),
    ("swh", &["sw"]),
    ("zsm", &["ms"]),
    ("uzn", &["uz"]),
    ("ekk", &["et"]),
    ("lvs", &["lv"]),
    ("azj", &["az"]),
    ("npi", &["ne"]),
    ("khk", &["mn"]),
    ("als", &["sq"]),
    ("ydd", &["yi"]),
    ("plt", &["mg"]),
    ("haw", &["haw"]),
];

/// ISO 639-1 and its names of three letters in ISO 639-2 and -3.
const THREE_LETTERS: &str = "\
af afr|am amh|ar ara|as asm|az aze|ba bak|be bel|bg bul|bn ben|bo bod tib|br bre|bs bos|ca cat|cs ces cze|cy cym wel|da dan|\
de deu ger|el ell gre|en eng|es spa|et est|eu eus baq|fa fas per|fi fin|fo fao|fr fra fre|ga gle|gl glg|gu guj|ha hau|he heb|\
hi hin|hr hrv|ht hat|hu hun|hy hye arm|id ind|is isl ice|it ita|ja jpn|jv jav|ka kat geo|kk kaz|km khm|kn kan|ko kor|ku kur|\
ky kir|la lat|lb ltz|ln lin|lo lao|lt lit|lv lav|mg mlg|mi mri mao|mk mkd mac|ml mal|mn mon|mr mar|ms msa may|mt mlt|my mya bur|\
ne nep|nl nld dut|nn nno|nb nob|no nor|oc oci|or ori|pa pan|pl pol|ps pus|pt por|ro ron rum|ru rus|sa san|sd snd|si sin|\
sk slk slo|sl slv|sn sna|so som|sq sqi alb|sr srp|su sun|sv swe|sw swa|ta tam|te tel|tg tgk|th tha|tk tuk|tl tgl|tr tur|tt tat|\
uk ukr|ur urd|uz uzb|vi vie|xh xho|yi yid|yo yor|zh zho chi|zu zul";

/// Tags that name no language (BCP 47: undetermined, several, none), and the word for leaving it open.
const OPEN: [&str; 5] = ["auto", "und", "mul", "mis", "zxx"];

/// The names under which recognisers may know the language of `tag`, the likeliest first; none where the tag leaves the
/// language open.
pub(super) fn names(tag: &str) -> Vec<String> {
    let tag = tag.trim().to_ascii_lowercase().replace('_', "-");
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or_default();
    if language.is_empty() || OPEN.contains(&language) {
        return Vec::new();
    }
    // zh-yue, an older way to write yue.
    let extended = subtags.next().filter(|subtag| language == "zh" && RENAMED.iter().any(|(name, _)| name == subtag));
    let language = extended.unwrap_or(language);
    let short = THREE_LETTERS
        .split('|')
        .map(|names| names.split(' '))
        .find_map(|mut names| names.next().filter(|_| names.any(|name| name == language)))
        .unwrap_or(language);
    let mut names: Vec<String> = match RENAMED.iter().find(|(name, _)| *name == short) {
        Some((_, names)) => names.iter().map(|name| (*name).to_owned()).collect(),
        None => vec![short.to_owned()],
    };
    // A recogniser may know the tag as it was written after all.
    for other in [short, language] {
        if !names.iter().any(|name| name == other) {
            names.push(other.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_name_is_that_of_the_whisper_family() {
        let table = [
            ("de", "de"),
            ("de-AT", "de"),
            ("pt-BR", "pt"),
            ("pt_BR", "pt"),
            ("EN-us", "en"),
            ("nb", "no"),
            ("nb-NO", "no"),
            ("no", "no"),
            ("nn-NO", "nn"),
            ("zh-TW", "zh"),
            ("zh-Hant-HK", "zh"),
            ("yue-HK", "yue"),
            ("zh-yue", "yue"),
            ("cmn-Hans-CN", "zh"),
            ("iw", "he"),
            ("he-IL", "he"),
            ("fil-PH", "tl"),
            ("tl", "tl"),
            ("in", "id"),
            ("jv", "jw"),
            ("jw", "jw"),
            ("deu", "de"),
            ("ger", "de"),
            ("eng", "en"),
            ("nob", "no"),
            ("jav", "jw"),
            ("tgl", "tl"),
            ("zho", "zh"),
            ("gsw-CH", "de"),
            ("sr-Latn", "sr"),
            ("haw", "haw"),
            ("xx", "xx"),
        ];
        for (tag, name) in table {
            assert_eq!(names(tag).first().map(String::as_str), Some(name), "{tag}");
        }
    }

    #[test]
    fn other_names_follow_and_an_open_tag_has_none() {
        assert_eq!(names("nb"), ["no", "nb"]);
        assert_eq!(names("yue"), ["yue", "zh"]);
        assert_eq!(names("jav"), ["jw", "jv", "jav"]);
        assert_eq!(names("en"), ["en"]);
        for open in ["", "auto", "und", "mul", "und-Latn", " AUTO "] {
            assert_eq!(names(open), Vec::<String>::new(), "{open:?}");
        }
    }
}
