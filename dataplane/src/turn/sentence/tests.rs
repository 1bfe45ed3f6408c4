//! Where sentences end.

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
fn stops_without_a_space_end_sentences_where_the_script_has_none() {
    assert_eq!(split("我们九点开门.欢迎光临!请问您需要什么?"), ["我们九点开门.", "欢迎光临!", "请问您需要什么?"]);
    assert_eq!(split("房间号是200.请稍等."), ["房间号是200.", "请稍等."]);
    assert_eq!(split("はい.少々お待ちください?ええ。"), ["はい.", "少々お待ちください?", "ええ。"]);
    assert_eq!(split("他说\"好!\"然后走了。"), ["他说\"好!\"", "然后走了。"]);
    assert_eq!(split("สวัสดีครับ!ยินดีให้บริการ?ครับ"), ["สวัสดีครับ!", "ยินดีให้บริการ?", "ครับ"]);
    assert_eq!(split("नमस्ते.आप कैसे हैं?ठीक"), ["नमस्ते.", "आप कैसे हैं?", "ठीक"]);
    assert_eq!(split("नमस्ते।आप कैसे हैं॥ठीक"), ["नमस्ते।", "आप कैसे हैं॥", "ठीक"]);
    assert_eq!(split("مرحبا بكم.كيف حالك؟جيد"), ["مرحبا بكم.", "كيف حالك؟", "جيد"]);
    assert_eq!(split("ሰላም ነው።እንዴት ነህ፧ደህና"), ["ሰላም ነው።", "እንዴት ነህ፧", "ደህና"]);
    assert_eq!(split("안녕하세요.무엇을 도와드릴까요?네"), ["안녕하세요.", "무엇을 도와드릴까요?", "네"]);
    assert_eq!(split("嗯……好的。"), ["嗯……", "好的。"]);
}

#[test]
fn numbers_addresses_and_names_end_nothing_in_those_scripts_either() {
    for text in [
        "价格是3.5元",
        "价格是３．５元",
        "请访问example.com网站",
        "他用.NET写程序",
        "作者是J.K.罗琳",
        "请找Dr.王",
        "1.打开门",
        "डॉ.शर्मा यहाँ हैं",
        "т.е.так",
    ] {
        assert_eq!(split(text), [text]);
    }
}

#[test]
fn the_first_sentence_of_such_a_script_goes_out_while_the_rest_is_written() {
    for (text, first) in [
        ("我们九点开门.欢", "我们九点开门."),
        ("我们九点开门,中午休息,下午两点半再次开门营业，晚", "我们九点开门,中午休息,下午两点半再次开门营业，"),
        ("ยินดีต้อนรับสู่โรงแรมของเรา วันนี้", "ยินดีต้อนรับสู่โรงแรมของเรา "),
        ("है?आ", "है?"),
        ("हम खुले हैं। ", "हम खुले हैं। "),
        ("هل تريد الحجز؟ ", "هل تريد الحجز؟ "),
        ("አዎ፣ ክፍት ነን። ", "አዎ፣ ክፍት ነን። "),
        ("Θέλετε δωμάτιο; ", "Θέλετε δωμάτιο; "),
    ] {
        let mut splitter = SentenceSplitter::new(SplitSettings::default());
        let mut pieces = Vec::new();
        splitter.push(text, &mut pieces);
        assert_eq!(pieces, [first]);
    }
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
}
