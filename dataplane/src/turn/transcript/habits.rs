//! What recognisers write when they were given no speech: what stood under the silent ends of the films that they were
//! trained on. It only knows the words; whether somebody said them is decided by other things ([`super::judge`]).

/// How much a text is what recognisers make up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Made up, or said by somebody who speaks to an audience: nothing that is said to an agent.
    Credit,
    /// Made up often, and said by callers as well.
    Courtesy,
}

/// Parts of what stands at the end of films, in lower case and without punctuation.
const CREDITS: &[&str] = &[
    "thank you for watching",
    "thanks for watching",
    "thank you so much for watching",
    "please subscribe",
    "like and subscribe",
    "subscribe to my channel",
    "subscribe to our channel",
    "subscribe to the channel",
    "forget to subscribe",
    "see you in the next video",
    "see you in the next one",
    "in the next video",
    "subtitles by",
    "subtitled by",
    "subtitling by",
    "captions by",
    "captioned by",
    "captioning by",
    "transcription by",
    "transcribed by",
    "transcript by",
    "translated by",
    "translation by",
    "amara org",
    "otter ai",
    "www ",
    "all rights reserved",
    "for more information visit",
    "untertitel der",
    "untertitel von",
    "untertitel im auftrag",
    "untertitelung",
    "fürs zuschauen",
    "für das zuschauen",
    "fürs zusehen",
    "bis zum nächsten video",
    "abonniert den kanal",
    "abonniert meinen kanal",
    "sous titrage",
    "sous titres réalisés",
    "sous titres par",
    "d avoir regardé",
    "de vous abonner",
    "abonnez vous",
    "société radio canada",
    "subtítulos por",
    "subtítulos realizados",
    "subtitulado por",
    "gracias por ver",
    "gracias por mirar",
    "suscríbete al canal",
    "suscribirte al canal",
    "legendas pela",
    "legendas por",
    "legenda por",
    "obrigado por assistir",
    "obrigada por assistir",
    "inscreva se no canal",
    "sottotitoli creati",
    "sottotitoli e revisione",
    "sottotitoli a cura",
    "per la visione",
    "per aver guardato",
    "iscriviti al canale",
    "iscrivetevi al canale",
    "subtítols per",
    "ondertiteld door",
    "ondertiteling",
    "ondertitels ingediend",
    "voor het kijken",
    "undertekster av",
    "undertexter från",
    "undertexter av",
    "svensktextning",
    "textning stina",
    "tekstet av",
    "teksting av",
    "för att ni tittade",
    "för att du tittade",
    "för att du har tittat",
    "for at du så på",
    "fordi du så med",
    "fordi i så med",
    "scandinavian text service",
    "btistudios",
    "kiitos kun katsoit",
    "kiitos että katsoit",
    "napisy stworzone",
    "napisy by",
    "za oglądanie",
    "do zobaczenia w kolejnym",
    "titulky vytvořil",
    "za sledování",
    "za pozornost",
    "za gledanje",
    "hvala što pratite",
    "за просмотр",
    "продолжение следует",
    "субтитры сделал",
    "субтитры создавал",
    "субтитры добавил",
    "субтитры подогнал",
    "редактор субтитров",
    "подписывайтесь на канал",
    "подпишитесь на канал",
    "dimatorzok",
    "за перегляд",
    "підписуйтесь на канал",
    "далі буде",
    "hogy megnézt",
    "iratkozz fel",
    "pentru vizionare",
    "vizionare placuta",
    "που παρακολουθήσατε",
    "υπότιτλοι authorwave",
    "altyazı m k",
    "izlediğiniz için",
    "kanalıma abone ol",
    "abone olmayı unutmayın",
    "ترجمة نانسي",
    "شكرا على المشاهدة",
    "اشتركوا في القناة",
    "لا تنسوا الاشتراك",
    "תודה שצפיתם",
    "देखने के लिए धन्यवाद",
    "चैनल को सब्सक्राइब",
    "ขอบคุณที่รับชม",
    "กดติดตามช่อง",
    "cảm ơn các bạn đã theo dõi",
    "hãy subscribe",
    "ghiền mì gõ",
    "đăng ký kênh",
    "telah menonton",
    "jangan lupa subscribe",
    "ご視聴ありがとう",
    "ご清聴ありがとう",
    "チャンネル登録",
    "次の動画",
    "最後までご覧",
    "谢谢观看",
    "感谢观看",
    "謝謝觀看",
    "感謝觀看",
    "谢谢收看",
    "多谢收看",
    "多謝收看",
    "请不吝",
    "点赞 订阅",
    "订阅我的频道",
    "訂閱我的頻道",
    "打赏",
    "下期再见",
    "明镜与点点",
    "字幕志愿者",
    "字幕由",
    "字幕by",
    "字幕製作",
    "中文字幕",
    "시청해 주셔서",
    "시청해주셔서",
    "구독과 좋아요",
    "다음 영상에서",
    "한글자막",
    "자막 제공",
    "mbc 뉴스",
    "뉴스 이덕영",
];

/// Whole texts. Answers (yes, no) are not among them: who whispers one must be heard.
const COURTESIES: &[&str] = &[
    "thank you",
    "thank you very much",
    "thank you so much",
    "thanks",
    "thank you thank you",
    "you",
    "you you",
    "bye",
    "bye bye",
    "goodbye",
    "good night",
    "okay",
    "ok",
    "oh",
    "so",
    "yeah",
    "hmm",
    "hm",
    "mm",
    "mmm",
    "mhm",
    "uh",
    "um",
    "ah",
    "eh",
    "huh",
    "i",
    "the",
    "and",
    "a",
    "it",
    "i m sorry",
    "sorry",
    "all right",
    "right",
    "see you next time",
    "danke",
    "vielen dank",
    "tschüss",
    "tschüs",
    "merci",
    "au revoir",
    "gracias",
    "muchas gracias",
    "adiós",
    "obrigado",
    "obrigada",
    "tchau",
    "grazie",
    "ciao",
    "bedankt",
    "dank je wel",
    "tack",
    "takk",
    "tak",
    "kiitos",
    "dziękuję",
    "dzięki",
    "děkuji",
    "спасибо",
    "пока",
    "дякую",
    "köszönöm",
    "mulțumesc",
    "ευχαριστώ",
    "teşekkürler",
    "teşekkür ederim",
    "شكرا",
    "תודה",
    "धन्यवाद",
    "ขอบคุณ",
    "ขอบคุณครับ",
    "ขอบคุณค่ะ",
    "cảm ơn",
    "terima kasih",
    "ありがとうございました",
    "ありがとうございます",
    "おやすみなさい",
    "うん",
    "んー",
    "谢谢",
    "謝謝",
    "谢谢大家",
    "嗯",
    "감사합니다",
    "아",
];

/// What recognisers write over noise, if `said` is of that kind. Asked with the words alone, it is no reason to drop them.
#[must_use]
pub fn habit(said: &str) -> Option<Habit> {
    let said = plain(said);
    if CREDITS.iter().any(|credit| said.contains(credit)) {
        return Some(Habit::Credit);
    }
    (COURTESIES.contains(&said.as_str()) || COURTESIES.contains(&once(&said).as_str())).then_some(Habit::Courtesy)
}

/// `said` in lower case and without punctuation: texts that sound alike are the same then.
pub(super) fn plain(said: &str) -> String {
    let letters: String = said
        .chars()
        .flat_map(char::to_lowercase)
        // What a Turkish capital leaves behind in lower case.
        .filter(|c| *c != '\u{307}')
        // Marks of vowels are no letters of their own.
        .map(|c| if c.is_alphanumeric() || is_combining(c) { c } else { ' ' })
        .collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{0900}'..='\u{0DFF}' | '\u{0E00}'..='\u{0E7F}' | '\u{3099}' | '\u{309A}')
}

/// How often the words of `plain` are the same ones again: 1 for words that are not.
pub(super) fn repetitions(plain: &str) -> usize {
    let units = units(plain);
    units.len().max(1) / period(&units)
}

/// The words without their repetitions.
fn once(plain: &str) -> String {
    let mut units = units(plain);
    units.truncate(period(&units));
    units.concat().trim_end().to_owned()
}

/// Words, each with the space behind it; characters where there are no spaces.
fn units(plain: &str) -> Vec<String> {
    if plain.contains(' ') {
        plain.split(' ').map(|word| format!("{word} ")).collect()
    } else {
        plain.chars().map(String::from).collect()
    }
}

/// After how many of them it is the same ones again; the last time may be cut off.
fn period(units: &[String]) -> usize {
    (1..units.len())
        .find(|period| units.iter().zip(&units[*period..]).all(|(a, b)| a == b) && units.len() >= 2 * period)
        .unwrap_or(units.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_films_are_known_in_many_languages() {
        for credit in [
            "Thank you for watching!",
            "Thanks for watching, and don't forget to like and subscribe.",
            "Subtitles by the Amara.org community",
            "Untertitel der Amara.org-Community",
            "Untertitelung des ZDF, 2020",
            "Vielen Dank fürs Zuschauen!",
            "Sous-titres réalisés par la communauté d'Amara.org",
            "Merci d'avoir regardé cette vidéo !",
            "Subtítulos realizados por la comunidad de Amara.org",
            "Legendas pela comunidade Amara.org",
            "Sottotitoli creati dalla comunità Amara.org",
            "ご視聴ありがとうございました",
            "Продолжение следует...",
            "Субтитры сделал DimaTorzok",
            "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
            "시청해 주셔서 감사합니다.",
            "Dziękuję za oglądanie!",
            "İzlediğiniz için teşekkür ederim.",
            "www.example.org",
        ] {
            assert_eq!(habit(credit), Some(Habit::Credit), "{credit}");
        }
        for courtesy in
            ["Thank you.", "you", "Bye-bye.", "Thank you. Thank you. Thank you.", "ありがとうございました。", "Danke."]
        {
            assert_eq!(habit(courtesy), Some(Habit::Courtesy), "{courtesy}");
        }
        for words in ["I'd like to book a table.", "Thank you, that is all.", "Go forward ten meters.", "五番"] {
            assert_eq!(habit(words), None, "{words}");
        }
    }

    #[test]
    fn repetitions_are_counted_in_whole_phrases() {
        for (text, times) in [
            ("thank you thank you thank you", 3),
            ("no no no no", 4),
            ("yes", 1),
            ("a b c a b c a", 2),
            ("", 1),
            ("はいはいはい", 3),
        ] {
            assert_eq!(repetitions(text), times, "{text}");
        }
    }
}
