//! What a caller is told whose last words were lost with a pod, in the languages that are known here. Plain data.

/// By the language's own subtag (BCP 47).
const PHRASES: [(&str, &str); 17] = [
    ("en", "Sorry, I missed your last words. Could you say that again?"),
    ("de", "Entschuldigung, Ihre letzten Worte habe ich nicht verstanden. Könnten Sie das noch einmal sagen?"),
    ("fr", "Excusez-moi, je n'ai pas entendu vos derniers mots. Pouvez-vous répéter ?"),
    ("es", "Perdone, no he oído sus últimas palabras. ¿Podría repetirlo?"),
    ("it", "Mi scusi, non ho sentito le sue ultime parole. Può ripetere?"),
    ("pt", "Desculpe, não ouvi as suas últimas palavras. Pode repetir?"),
    ("nl", "Sorry, ik heb uw laatste woorden niet gehoord. Kunt u dat nog eens zeggen?"),
    ("pl", "Przepraszam, nie usłyszałem ostatnich słów. Czy można powtórzyć?"),
    ("ja", "申し訳ありません、最後のお言葉が聞き取れませんでした。もう一度お願いできますか。"),
    ("zh", "抱歉，我没有听清您刚才的话，请您再说一遍好吗？"),
    ("ru", "Извините, ваши последние слова не были слышны. Повторите, пожалуйста."),
    ("uk", "Вибачте, ваших останніх слів не було чутно. Повторіть, будь ласка."),
    ("sv", "Ursäkta, jag hörde inte det sista du sa. Kan du säga det igen?"),
    ("da", "Undskyld, jeg hørte ikke det sidste, du sagde. Kan du sige det igen?"),
    ("nb", "Beklager, jeg hørte ikke det siste du sa. Kan du si det en gang til?"),
    ("cs", "Promiňte, vaše poslední slova nebylo slyšet. Můžete to zopakovat?"),
    ("tr", "Özür dilerim, son sözlerinizi duyamadım. Tekrar eder misiniz?"),
];

/// The phrase in the language of a BCP 47 tag, where it is known.
#[must_use]
pub fn phrase(tag: &str) -> Option<&'static str> {
    let language = tag.split(['-', '_']).next()?.to_ascii_lowercase();
    let language = if matches!(language.as_str(), "no" | "nn") { "nb" } else { language.as_str() };
    PHRASES.iter().find(|(known, _)| *known == language).map(|(_, phrase)| *phrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_decides_whatever_its_region() {
        assert!(phrase("de-CH").unwrap().starts_with("Entschuldigung"));
        assert_eq!(phrase("PT_br"), phrase("pt"));
        assert_eq!(phrase("no"), phrase("nb"));
        assert_eq!(phrase("tlh"), None);
        assert_eq!(phrase(""), None);
    }
}
