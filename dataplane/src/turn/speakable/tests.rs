//! What is spoken of what a model writes.

use proptest::prelude::*;

use super::*;

/// The same whole, in two pieces, and letter by letter.
fn spoken(text: &str) -> String {
    let pieces = |pieces: &[&str]| {
        let (mut speakable, mut out) = (Speakable::default(), String::new());
        for piece in pieces {
            speakable.push(piece, &mut out);
            assert!(speakable.held.len() <= MAX_HELD_BYTES + piece.len() + 4, "memory is bounded");
        }
        speakable.finish(&mut out);
        out
    };
    let whole = pieces(&[text]);
    for (cut, _) in text.char_indices() {
        assert_eq!(pieces(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}: {text:?}");
    }
    let letters: Vec<String> = text.chars().map(String::from).collect();
    assert_eq!(pieces(&letters.iter().map(String::as_str).collect::<Vec<_>>()), whole, "letter by letter: {text:?}");
    one_line(&whole)
}

#[test]
fn markdown_and_emoji_are_not_spoken() {
    assert_eq!(spoken("**Hello** _there_ 😀!"), "Hello there !");
    assert_eq!(spoken("# Hours\n- `nine` to ~~five~~ six"), "Hours nine to five six");
    assert_eq!(spoken("See [our site](https://example.com)."), "See our site.");
    assert_eq!(spoken("snake_case stays"), "snake_case stays");
    assert_eq!(spoken("[unclosed and \u{7} bell"), "[unclosed and bell");
    assert_eq!(spoken("It's 5 ~ 6 o'clock"), "It's 5 ~ 6 o'clock");
    assert_eq!(spoken("---"), "");
    assert_eq!(spoken("👍"), "");
    assert_eq!(
        spoken("1. Open\n2. Close\n\n***\n> Said she.\n* Eggs\n+ Milk\n- [x] Done"),
        "1. Open 2. Close Said she. Eggs Milk Done"
    );
    assert_eq!(spoken("Title\n=====\nText\n- - -\nMore"), "Title Text More");
    assert_eq!(spoken("```python\nhello\n```\nBye."), "hello Bye.");
    assert_eq!(spoken("Use ```code``` or `this`."), "Use code or this.");
    assert_eq!(spoken("![A map](map.png) of [the town][1].\n\n[1]: https://example.com/x"), "A map of the town.");
    assert_eq!(spoken("2*3 is 6, -5 is less, \\*not\\* bold"), "2×3 is 6, -5 is less, not bold");
    assert_eq!(spoken("- 5 degrees\n-5 degrees"), "5 degrees -5 degrees");
}

#[test]
fn citations_in_private_characters_and_marks_of_direction_are_not_spoken() {
    assert_eq!(
        spoken("We open at nine \u{E200}cite\u{E202}turn0search1\u{E202}turn0news2\u{E201}. Fine."),
        "We open at nine. Fine."
    );
    assert_eq!(spoken("We open \u{E200}at nine\nand close at ten."), "We open at nine and close at ten.");
    assert_eq!(spoken("Nine\u{E203}."), "Nine.");
    assert_eq!(spoken("We open <co: 0,1>at nine</co: 0,1>. Fine."), "We open at nine. Fine.");
    assert_eq!(spoken("Call \u{2066}\u{202A}030 12\u{202C}\u{2069} now."), "Call 030 12 now.");
}

#[test]
fn a_table_is_read_row_by_row_with_the_heads_of_its_columns() {
    let table = "Our hours:\n\n| Day | **Opens** | Closes |\n|:----|:---:|---:|\n| Monday | 9 | 17 |\n| Sunday | – | |\n\nAnything else?";
    assert_eq!(spoken(table), "Our hours: Day: Monday, Opens: 9, Closes: 17. Day: Sunday. Anything else?");
    assert_eq!(spoken("| one | two |\n| three | four |"), "one, two. three, four.");
    assert_eq!(spoken("| one |\ntwo"), "one. two");
    assert_eq!(spoken("Day | Opens\n--- | ---\nMonday | 9"), "Day, Opens Monday, 9");
    assert_eq!(spoken("|  | Price |\n|--|--|\n| Single \\| room | [80 €](u) |"), "Single room, Price: 80 €.");
    let long = format!("| {} |", "word ".repeat(2_000));
    assert!(one_line(&spoken_lines(&long)).starts_with("word word"));
}

#[test]
fn html_is_not_spoken() {
    assert_eq!(spoken("<p>Tom &amp; Jerry&#39;s &quot;<b>bar</b>&quot;</p>"), "Tom & Jerry's \"bar\"");
    assert_eq!(spoken("one<br>two<br/>three<!-- four --><span class=\"x\"> five</span>"), "one two three five");
    assert_eq!(spoken("5 < 6 and 7 > 3"), "5 < 6 and 7 > 3");
    assert_eq!(spoken("a &unknown; AT&T & co; &#x41;&#128512;&#0;"), "a &unknown; AT&T & co; A&#0;");
    assert_eq!(spoken("<answer>Yes.</answer>"), "Yes.");
    assert_eq!(spoken("if a<b and c>d"), "if a<b and c>d");
}

#[test]
fn of_formulas_the_signs_are_spoken_that_mean_something() {
    assert_eq!(spoken("The sum is $3 + 4 = 7$ and \\(x^2\\)."), "The sum is 3 + 4 = 7 and x^2.");
    assert_eq!(spoken("\\[ 5 \\times 6 = 30 \\] today. \\boxed{30}"), "5 × 6 = 30 today. 30");
    assert_eq!(spoken("$\\frac{1}{2}$ of $x$, $$y = \\sqrt{2}$$"), "1/2 of x, y = √2");
    assert_eq!(spoken("\\text{about } 5 \\,\\text{km}"), "about 5 km");
    for text in
        ["It costs $5.", "$5 or $6, or $7.50-$9", "US$ 5 and 5$", "C:\\Users\\me", "\\unknown{x}", "$HOME and $PATH"]
    {
        assert_eq!(spoken(text), text, "{text}");
    }
    let (mut speakable, mut words) = (super::Speakable::default(), String::new());
    speakable.push("It costs $5 a night. ", &mut words);
    assert!(words.starts_with("It costs $5 a night."), "money holds nothing back: {words}");
    assert_eq!(spoken("Yes.<script>alert(1)</script><style>p{}</style> Fine."), "Yes. Fine.");
}

#[test]
fn citations_are_not_spoken() {
    assert_eq!(spoken("We open at nine [1]. Then[2][3], we close【4†source】."), "We open at nine. Then, we close.");
    assert_eq!(spoken("We open at nine.[^1] And [1, 2] so [3-5].\n\n[^1]: The page."), "We open at nine. And so.");
    assert_eq!(spoken("It is open ([source](https://example.com/?a=b))."), "It is open.");
    assert_eq!(spoken("It is open ([a](u), [b](v)) and [1](https://x.example)."), "It is open and.");
    assert_eq!(
        spoken("Press [1] or [2], in 【round】 [brackets] (here)."),
        "Press 1 or 2, in 【round】 [brackets] (here)."
    );
    assert_eq!(spoken("Room [2024] and [12345]"), "Room [2024] and [12345]");
}

#[test]
fn an_address_is_spoken_as_where_it_leads() {
    assert_eq!(spoken("See https://www.example.com/booking?utm=1#top."), "See example.com/booking.");
    assert_eq!(
        spoken("(http://example.com/), <https://example.com>, <a@example.com>"),
        "(example.com), example.com, a@example.com"
    );
    assert_eq!(spoken("https://example.com/a_very_long/path/with%20signs/and/more"), "example.com");
    assert_eq!(spoken("how https is spoken"), "how https is spoken");
}

#[test]
fn plain_words_pass_at_once() {
    let (mut speakable, mut out) = (Speakable::default(), String::new());
    for (piece, expected) in [
        ("Good day. ", "Good day. "),
        ("How", "How"),
        (" are", " are"),
        (" you?", " you?"),
        (" 我们九点开门。", " 我们九点开门。"),
    ] {
        out.clear();
        speakable.push(piece, &mut out);
        assert_eq!(out, expected);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-zA-Z]{1,7}",
        3 => prop::sample::select(vec![" ", "\n", "\n\n", ". ", "\r\n"]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "**", "*", "_", "`", "```", "~~", "~", "# ", "- ", "> ", "| ", " | ", "|", "|--|", "[", "]", "](", ")", "(", "([", "[1]",
            "[^1]", "[^1]: ", "【", "】", "†", "<", ">", "<b>", "</b>", "<br>", "&amp;", "&", ";", "&#3", "http", "https://", "www.",
            "/path", "?q=1", "😀", "---", "===", "\\", "!", "1. ", "é", "我", "[ ] ", "press", ":", "$", "$5", " = ", "\\frac{", "\\text{", "}", "{", "\\times", "<script>", "</script>",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn how_a_text_is_cut_changes_nothing(text in any_text(), step in 1_usize..9) {
        let (mut speakable, mut out) = (Speakable::default(), String::new());
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(step) {
            speakable.push(&piece.iter().collect::<String>(), &mut out);
        }
        speakable.finish(&mut out);
        prop_assert_eq!(out, spoken_lines(&text));
    }

    #[test]
    fn what_is_spoken_is_one_line_without_control_characters(text in any_text()) {
        let spoken = super::speakable(&text);
        prop_assert!(!spoken.contains(char::is_control), "{spoken:?}");
        prop_assert!(spoken.is_empty() || is_spoken(&spoken));
    }

    #[test]
    fn words_pass_whole(text in "[a-zA-Z0-9,.;:?é我 ]{0,60}") {
        let plain = one_line(&text);
        prop_assert_eq!(super::speakable(&text), plain);
    }
}
