//! The marks of models' own languages that servers let through into the text: around thoughts and calls, between turns,
//! at the end. Reads one mark; what it means for the reply is [`super::scanner`]'s matter.
//!
//! Marks are written as `<name>`, `<|name|>`, `<|name>`, `<name|>`, `[NAME]`, `[|name|]` or `◁name▷`, in any case, with
//! DeepSeek's wide bars and blanks too. A mark in bars that is not known is one all the same: nobody says such a thing.

use super::written::{plain_bars, starts_with};

/// The longest mark, in bytes, its attributes included.
pub(super) const MAX_MARK_BYTES: usize = 256;

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing that matters here.
    Nothing,
    /// A thought begins.
    Thought,
    /// A thought ends.
    ThoughtEnd,
    /// A tool call, or several, begin. They end with one of these marks, or with the reply. `whole` says that the mark
    /// itself is part of the call.
    Call { ends: Vec<String>, whole: bool },
    /// The reply has ended.
    Stop,
    /// A turn begins; its role may follow.
    Turn,
    /// A message's head begins (harmony).
    Head,
    /// A message's text begins (harmony).
    Message,
    /// A message ends (harmony), or the reply (Phi).
    End,
    /// Who speaks follows, in a line (Functionary).
    From,
    /// To whom a message goes follows, in a line (Functionary).
    Recipient,
}

/// What stands at the front of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// No mark: at least the first character is text.
    Plain,
    /// That can't be told yet.
    Wait,
    /// A mark of so many bytes.
    Mark(usize, Mark),
}

/// Elements that hold thoughts.
const THOUGHTS: [&str; 10] = [
    "reason",
    "reflect",
    "scratchpad",
    "antthinking",
    "rationale",
    "analysis",
    "cot",
    "internal",
    "plan",
    // What a page shows to those only who ask for it.
    "details",
];
/// Words in the names of elements that hold thoughts: families and prompts put their own before and behind them, as in
/// `<longcat_think>`, `<seed:think>` or `<chain_of_thought>`.
const THOUGHT_WORDS: [&str; 7] = ["think", "thinking", "thought", "thoughts", "reasoning", "reflection", "monologue"];
/// The longest name of an element that is looked at word by word, in bytes.
const MAX_NAME_BYTES: usize = 40;
/// Marks in bars that begin a thought.
const THOUGHT_BARS: [&str; 10] = [
    "|think|",
    "|thinking|",
    "|thought|",
    "|reasoning|",
    "|begin_of_thought|",
    "|begin_thought|",
    "|start_thinking|",
    "|start_of_thought|",
    "|channel",
    // MedGemma's.
    "unused94",
];
/// Marks in bars that end one.
const THOUGHT_END_BARS: [&str; 11] = [
    "|/think|",
    "|/thinking|",
    "|/thought|",
    "|end_think|",
    "|end_of_thought|",
    "|end_thought|",
    "|end_thinking|",
    "/|think|",
    "channel|",
    "|/reasoning|",
    "unused95",
];
/// Elements that hold calls.
const CALLS: [&str; 14] = [
    "tool_call",
    "tool_calls",
    "toolcall",
    "toolcalls",
    "function_call",
    "function_calls",
    "functioncall",
    "function",
    "invoke",
    "tool_use",
    "tools",
    "tool",
    "antml:invoke",
    "tool_code",
];
/// How the names of elements that hold calls end, whatever families put before it.
const CALL_ENDINGS: [&str; 4] = ["tool_call", "tool_calls", "function_call", "function_calls"];
/// Calls whose mark is part of them.
const NAMED_CALLS: [&str; 4] = ["function", "invoke", "antml:invoke", "tool"];
/// Marks in bars that begin calls, and what ends them.
const CALL_BARS: [(&str, &[&str]); 18] = [
    ("|tool_call:begin|", &["|tool_call:end|"]),
    ("start_function_call", &["end_function_call"]),
    ("|tool_call|", &["|/tool_call|", "/|tool_call|", "|tool_call_end|"]),
    ("|tool_calls|", &["|/tool_calls|", "/|tool_calls|"]),
    ("|function_call|", &["|/function_call|", "/|function_call|"]),
    ("|tool_call", &["tool_call|"]),
    ("|python_tag|", &[]),
    ("|tool_call_start|", &["|tool_call_end|"]),
    ("|tool_calls_section_begin|", &["|tool_calls_section_end|"]),
    ("|tool_calls_begin|", &["|tool_calls_end|"]),
    ("|tool_call_begin|", &["|tool_call_end|"]),
    ("|start_action|", &["|end_action|"]),
    ("|action_start|", &["|action_end|"]),
    ("|dsml|function_calls", &["/|dsml|function_calls"]),
    ("|dsml|tool_calls", &["/|dsml|tool_calls"]),
    ("|dsml|invoke", &["/|dsml|invoke"]),
    ("|function_calls|", &["|/function_calls|"]),
    ("|tool_use|", &["|/tool_use|"]),
];
/// Marks that end a reply.
const STOPS: [&str; 33] = [
    "/s",
    "eos",
    "end_of_turn",
    "turn|",
    "|im_end|",
    "|eot_id|",
    "|eot|",
    "|eom_id|",
    "|eos|",
    "|eod|",
    "|endoftext|",
    "|end_of_text|",
    "|return|",
    "|call|",
    "|end_of_turn|",
    "|endofturn|",
    "|end_of_turn_token|",
    "|end_of_sentence|",
    "|end_of_message|",
    "|message_end|",
    "|stop|",
    "|user|",
    "|human|",
    "|system|",
    "|observation|",
    "|endofuser|",
    "|end_of_user|",
    "|im_user|",
    "|im_system|",
    "|role_end|",
    "|end_of_document|",
    "|eoa|",
    "|endofresponse|",
];
/// Marks that begin a turn.
const TURNS: [&str; 9] = [
    "|im_assistant|",
    "|header_start|",
    "start_of_turn",
    "|turn",
    "|im_start|",
    "|start_header_id|",
    "|start_of_role|",
    "|role_start|",
    "|start_of_turn_token|",
];
/// Marks without bars that say nothing.
const NOTHINGS: [&str; 7] = ["bos", "unk", "pad", "mask", "answer", "sop", "eop"];
/// Marks in square brackets.
const BRACKETS: [(&str, Bracket); 16] = [
    ("[gmask]", Bracket::Nothing),
    ("[end of text]", Bracket::Stop),
    ("[think]", Bracket::Thought),
    ("[/think]", Bracket::ThoughtEnd),
    ("[tool_calls]", Bracket::Call),
    ("[inst]", Bracket::Stop),
    ("[/inst]", Bracket::Stop),
    ("[eos]", Bracket::Stop),
    ("[tool_results]", Bracket::Stop),
    ("[available_tools]", Bracket::Stop),
    ("[bos]", Bracket::Nothing),
    ("[unk]", Bracket::Nothing),
    ("[pad]", Bracket::Nothing),
    ("[begin final response]", Bracket::ThoughtEnd),
    ("[end final response]", Bracket::Stop),
    ("[/tool_calls]", Bracket::Nothing),
];
/// Kimi's.
const TRIANGLES: [(&str, Bracket); 2] = [("◁think▷", Bracket::Thought), ("◁/think▷", Bracket::ThoughtEnd)];

#[derive(Debug, Clone, Copy)]
enum Bracket {
    Nothing,
    Thought,
    ThoughtEnd,
    Call,
    Stop,
}

impl Bracket {
    fn mark(self) -> Mark {
        match self {
            Self::Nothing => Mark::Nothing,
            Self::Thought => Mark::Thought,
            Self::ThoughtEnd => Mark::ThoughtEnd,
            Self::Call => Mark::Call { ends: Vec::new(), whole: false },
            Self::Stop => Mark::Stop,
        }
    }
}

/// Looks for a mark at the front of `text`, which is all that has come; `ended` says that nothing more will.
pub(super) fn look(text: &str, ended: bool) -> Look {
    match text.chars().next() {
        Some('<') => angle(text, ended),
        Some('[') if text.starts_with("[|") => bracketed(text, ended),
        Some('[') => listed(text, &BRACKETS, ended),
        Some('◁') => listed(text, &TRIANGLES, ended),
        _ => Look::Plain,
    }
}

fn listed(text: &str, marks: &[(&str, Bracket)], ended: bool) -> Look {
    for (mark, what) in marks {
        if starts_with(text, mark) {
            return Look::Mark(mark.len(), what.mark());
        }
    }
    if !ended && marks.iter().any(|(mark, _)| starts_with(mark, &text.to_ascii_lowercase())) {
        return Look::Wait;
    }
    Look::Plain
}

/// `[|name|]`, which is EXAONE's way to write `<|name|>`.
fn bracketed(text: &str, ended: bool) -> Look {
    let inner = &text[1..];
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '|');
    let length = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let name = normal(&inner[..length]);
    match inner[length..].chars().next() {
        _ if length > MAX_NAME_BYTES => Look::Plain,
        None if !ended => Look::Wait,
        Some(']') if name.len() > 2 && name.ends_with('|') => {
            Look::Mark(length + 2, meaning(&name).unwrap_or(Mark::Nothing))
        }
        _ => Look::Plain,
    }
}

fn angle(text: &str, ended: bool) -> Look {
    let inner = &text[1..];
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | ':' | '.' | '-' | '|' | '｜' | '▁');
    let length = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    if length > MAX_MARK_BYTES {
        return Look::Plain;
    }
    let name = normal(&inner[..length]);
    let behind = &inner[length..];
    match behind.chars().next() {
        None if ended => Look::Plain,
        None if may_become_known(&name) => Look::Wait,
        Some('>') => match meaning(&name) {
            Some(mark) => Look::Mark(1 + length + 1, mark),
            None => Look::Plain,
        },
        Some(c) if (c.is_whitespace() || c == '=') && has_attributes(&name) => match behind.find('>') {
            Some(end) if end <= MAX_MARK_BYTES => match meaning(&name) {
                Some(mark) => Look::Mark(1 + length + end + 1, mark),
                None => Look::Plain,
            },
            None if !ended && behind.len() <= MAX_MARK_BYTES => Look::Wait,
            _ => Look::Plain,
        },
        _ => Look::Plain,
    }
}

fn normal(name: &str) -> String {
    plain_bars(name).to_ascii_lowercase()
}

/// May a name that has not ended yet become that of a mark?
fn may_become_known(name: &str) -> bool {
    // Which words are in it shows only at its end.
    let element = name.strip_prefix('/').unwrap_or(name);
    let may_be_element = element.len() <= MAX_NAME_BYTES
        && element.is_ascii()
        && element.chars().next().is_none_or(|c| c.is_ascii_alphabetic());
    let bars = [&THOUGHT_END_BARS[..], &STOPS, &TURNS, &NOTHINGS].concat();
    name.starts_with('|')
        || may_be_element
        || "0x00".starts_with(name)
        || is_byte(name)
        || name.len() == 3 && name.starts_with("0x")
        || bars.iter().any(|known| known.starts_with(name))
        || CALL_BARS.iter().any(|(_, ends)| ends.iter().any(|end| end.starts_with(name)))
}

fn has_attributes(name: &str) -> bool {
    let element = name.strip_prefix('/').unwrap_or(name);
    holds_thoughts(element) || holds_calls(element) || name.starts_with("|dsml|")
}

fn holds_thoughts(name: &str) -> bool {
    let words = |name: &str| name.split(['_', ':', '-', '.']).any(|word| THOUGHT_WORDS.contains(&word));
    THOUGHTS.contains(&name) || name.len() <= MAX_NAME_BYTES && !name.contains(['|', '/']) && words(name)
}

fn holds_calls(name: &str) -> bool {
    let own = |end: &&str| name.strip_suffix(*end).filter(|own| own.ends_with(['_', ':', '-']));
    let ends_so = || CALL_ENDINGS.iter().filter_map(own).any(|own| own != "start_" && own != "end_");
    CALLS.contains(&name) || !name.contains(['|', '/']) && ends_so()
}

/// A byte that the server's tokeniser had no character for: `<0x0A>`.
fn is_byte(name: &str) -> bool {
    name.strip_prefix("0x").is_some_and(|hex| hex.len() == 2 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn meaning(name: &str) -> Option<Mark> {
    let closes = |is_one: fn(&str) -> bool| name.strip_prefix('/').is_some_and(is_one);
    let mark = if THOUGHT_END_BARS.contains(&name) || closes(holds_thoughts) {
        Mark::ThoughtEnd
    } else if THOUGHT_BARS.contains(&name) || holds_thoughts(name) {
        Mark::Thought
    } else if holds_calls(name) {
        Mark::Call { ends: vec![format!("/{name}")], whole: NAMED_CALLS.contains(&name) }
    } else if let Some((_, ends)) = CALL_BARS.iter().find(|(begin, _)| *begin == name) {
        Mark::Call { ends: ends.iter().map(|end| (*end).to_owned()).collect(), whole: name == "|dsml|invoke" }
    } else if STOPS.contains(&name) {
        Mark::Stop
    } else if TURNS.contains(&name) {
        Mark::Turn
    } else {
        match name {
            "|channel|" | "|start|" => Mark::Head,
            "|message|" => Mark::Message,
            "|from|" => Mark::From,
            "|recipient|" => Mark::Recipient,
            "|end|" => Mark::End,
            _ if closes(holds_calls) || NOTHINGS.contains(&name) || name == "/answer" => Mark::Nothing,
            _ if is_byte(name) => Mark::Nothing,
            "end_function_call" => Mark::Nothing,
            _ if name.starts_with('|') || name.ends_with('|') || name.starts_with("/|") => Mark::Nothing,
            _ => return None,
        }
    };
    Some(mark)
}

/// The name of the mark in angle brackets that stands at the front of `text` and is `length` bytes long.
pub(super) fn name_of(text: &str, length: usize) -> String {
    let inner = text.get(1..length.saturating_sub(1)).unwrap_or_default();
    normal(inner.split([' ', '=', '\n']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(text: &str) -> Option<Mark> {
        match look(text, true) {
            Look::Mark(length, mark) => {
                assert_eq!(length, text.len(), "{text}");
                Some(mark)
            }
            _ => None,
        }
    }

    #[test]
    fn every_familys_marks_are_known_in_any_case() {
        for text in [
            "<think>",
            "<THINK>",
            "<thinking>",
            "<think mode=\"deep\">",
            "<thought>",
            "<reasoning>",
            "<reflection>",
            "◁think▷",
            "[THINK]",
            "<|begin_of_thought|>",
            "<|START_THINKING|>",
            "<|channel>",
            "<seed:think>",
            "<longcat_think>",
            "<ant_thinking>",
            "<chain-of-thought>",
            "<think >",
            "<unused94>",
        ] {
            assert_eq!(mark(text), Some(Mark::Thought), "{text}");
        }
        for text in [
            "</think>",
            "</Thinking>",
            "</thought>",
            "◁/think▷",
            "[/THINK]",
            "<|end_of_thought|>",
            "<|END_THINKING|>",
            "<channel|>",
            "[BEGIN FINAL RESPONSE]",
            "</longcat_think>",
            "</think >",
            "<unused95>",
        ] {
            assert_eq!(mark(text), Some(Mark::ThoughtEnd), "{text}");
        }
        for text in [
            "<tool_call>",
            "<function=transfer>",
            "<invoke name=\"x\">",
            "<|python_tag|>",
            "[TOOL_CALLS]",
            "<|tool_call|>",
            "<|tool_call>",
            "<｜tool▁calls▁begin｜>",
            "<｜DSML｜function_calls>",
            "<|START_ACTION|>",
            "<longcat_tool_call>",
            "<minimax:tool_call>",
            "<start_function_call>",
            "<tool name=\"x\">",
        ] {
            assert!(matches!(mark(text), Some(Mark::Call { .. })), "{text}");
        }
        for text in [
            "<|im_end|>",
            "</s>",
            "<|eot_id|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "[/INST]",
            "<｜end▁of▁sentence｜>",
            "<eos>",
            "<|END_OF_TURN_TOKEN|>",
            "<|return|>",
            "<turn|>",
            "[|endofturn|]",
            "[end of text]",
        ] {
            assert_eq!(mark(text), Some(Mark::Stop), "{text}");
        }
        for text in ["<|im_start|>", "<|header_start|>"] {
            assert_eq!(mark(text), Some(Mark::Turn), "{text}");
        }
        for text in ["[|assistant|]", "<0x0A>", "<0xE2>", "[gMASK]", "</longcat_tool_call>"] {
            assert_eq!(mark(text), Some(Mark::Nothing), "{text}");
        }
        assert_eq!(mark("<|whatever_comes|>"), Some(Mark::Nothing));
    }

    #[test]
    fn other_brackets_are_text_at_once() {
        for text in [
            "<b>",
            "<5",
            "< ",
            "<br/>",
            "<thing>",
            "[1]",
            "[see",
            "<a href=\"x\">",
            "<tool_call\u{7}>",
            "x",
            "[||]",
            "<0x0Ag",
            "<rethink>",
        ] {
            assert_eq!(look(text, false), Look::Plain, "{text}");
        }
        for text in ["<", "<t", "</", "<think", "<|", "<|im_e", "[", "[THI", "[/", "◁", "<function=tran", "<end_of"] {
            assert_eq!(look(text, false), Look::Wait, "{text}");
            assert_eq!(look(text, true), Look::Plain, "{text}");
        }
        assert_eq!(look(&format!("<|{}", "x".repeat(MAX_MARK_BYTES)), false), Look::Plain);
        assert_eq!(look(&format!("<think {}", "x".repeat(MAX_MARK_BYTES)), false), Look::Plain);
    }
}
