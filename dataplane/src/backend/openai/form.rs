//! In which form a language model's server takes a request: with functions or without, and the prompt in which place.
//! What a server refuses is asked again in another form in the same turn; what it has said of itself that way is kept
//! for a while. Sans-IO: `now` is an argument, and it asks nobody.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::messages::PromptPlace;
use crate::backend::resilience::Adaptation;

/// For how long a server's word is taken the first time. Then it is tried again; what it says again is believed twice
/// as long.
const FIRST_BELIEVED: Duration = Duration::from_secs(60);
/// The longest that it is believed: for so long at most a server that has learnt something new is asked as if it had
/// not.
const LAST_BELIEVED: Duration = Duration::from_secs(15 * 60);

/// How many of the last messages are sent to a model that can't read all of them, one after the other.
const KEEPS: [usize; 2] = [9, 3];

/// Where the prompt goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PromptRole {
    /// As the system's message; where the server refuses that, before the caller's first words.
    #[default]
    Auto,
    /// As the system's message.
    System,
    /// As the developer's message.
    Developer,
    /// Before the caller's first words.
    User,
}

/// The form of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Whether functions are offered.
    pub(super) tools: bool,
    pub(super) prompt: PromptPlace,
    /// Whether the reply is to come as it is written, or all at once.
    pub(super) stream: bool,
}

/// One thing that a server has said of itself.
#[derive(Debug, Default)]
struct Word {
    until: Option<Instant>,
    believed: Duration,
}

impl Word {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn said(&mut self, now: Instant) -> Duration {
        self.believed = (self.believed * 2).clamp(FIRST_BELIEVED, LAST_BELIEVED);
        self.until = Some(now + self.believed);
        self.believed
    }
}

/// What is known of a server.
#[derive(Debug, Default)]
pub(super) struct Known {
    no_tools: Word,
    no_system: Word,
    no_stream: Word,
}

impl Known {
    /// The form to begin with, where `tools` and `role` are wanted.
    pub(super) fn form(&self, tools: bool, role: PromptRole, now: Instant) -> Form {
        let prompt = match role {
            PromptRole::Auto if self.no_system.holds(now) => PromptPlace::User,
            PromptRole::Auto | PromptRole::System => PromptPlace::System,
            PromptRole::Developer => PromptPlace::Developer,
            PromptRole::User => PromptPlace::User,
        };
        Form { tools: tools && !self.no_tools.holds(now), prompt, stream: !self.no_stream.holds(now) }
    }

    /// Takes in what came of `attempts`, which ended in an answer. Only what the server itself gave as its reason, and
    /// what then was answered without, is learnt. Gives for how long there are no functions now, if that is new.
    pub(super) fn answered(&mut self, attempts: &Attempts, now: Instant) -> Option<Duration> {
        if attempts.said_no_system {
            self.no_system.said(now);
        } else if attempts.movable && attempts.form.prompt == PromptPlace::System {
            self.no_system = Word::default();
        }
        if attempts.form.tools {
            self.no_tools = Word::default();
        }
        if attempts.said_no_stream {
            self.no_stream.said(now);
        } else if attempts.form.stream {
            self.no_stream = Word::default();
        }
        attempts.said_no_tools.then(|| self.no_tools.said(now))
    }
}

/// The attempts of one turn: at most one for each thing that can be done otherwise.
#[derive(Debug)]
pub(super) struct Attempts {
    pub(super) form: Form,
    /// Whether there is a prompt, and it may be moved.
    movable: bool,
    /// How many of the last messages are sent; at first all that there are.
    pub(super) keep: usize,
    pub(super) shortened: bool,
    repeated: bool,
    said_no_tools: bool,
    said_no_system: bool,
    said_no_stream: bool,
}

impl Attempts {
    pub(super) fn new(form: Form, has_prompt: bool, role: PromptRole) -> Self {
        let movable = has_prompt && role == PromptRole::Auto;
        Self {
            form,
            movable,
            keep: usize::MAX,
            shortened: false,
            repeated: false,
            said_no_tools: false,
            said_no_system: false,
            said_no_stream: false,
        }
    }

    /// Whether the prompt stands elsewhere than was meant first.
    pub(super) fn moved_prompt(&self) -> bool {
        self.movable && self.form.prompt == PromptPlace::User
    }

    /// What to do otherwise, after an answer with `status` and `body`; `None` where nothing is left that could help.
    pub(super) fn refused(&mut self, status: StatusCode, body: &[u8]) -> Option<Adaptation> {
        let reason = Reason::of(status, &String::from_utf8_lossy(body).to_lowercase())?;
        let can_move = self.movable && self.form.prompt == PromptPlace::System;
        match reason {
            Reason::TooLong => self.shorten().or_else(|| self.form.tools.then(|| self.without_tools())),
            Reason::Misfire if self.form.tools && !self.repeated => {
                self.repeated = true;
                Some(Adaptation::Repeated)
            }
            Reason::NoStream if self.form.stream => {
                self.said_no_stream = true;
                self.form.stream = false;
                Some(Adaptation::Whole)
            }
            Reason::NoTools if self.form.tools => {
                self.said_no_tools = true;
                Some(self.without_tools())
            }
            Reason::NoSystem { .. } if can_move => {
                self.said_no_system = true;
                Some(self.prompt_to_user())
            }
            Reason::AboutTools | Reason::Misfire | Reason::NoSystem { about_tools: true } if self.form.tools => {
                Some(self.without_tools())
            }
            Reason::Unclear if can_move => Some(self.prompt_to_user()),
            Reason::Unclear if self.form.tools => Some(self.without_tools()),
            _ => None,
        }
    }

    /// A model that can read no more than this is none for a conversation.
    fn shorten(&mut self) -> Option<Adaptation> {
        let next = KEEPS.into_iter().find(|keep| *keep < self.keep)?;
        (self.keep, self.shortened) = (next, true);
        Some(Adaptation::Shortened)
    }

    fn without_tools(&mut self) -> Adaptation {
        self.form.tools = false;
        Adaptation::WithoutTools
    }

    fn prompt_to_user(&mut self) -> Adaptation {
        self.form.prompt = PromptPlace::User;
        Adaptation::PromptInUser
    }
}

/// Why a request was refused, as far as its form goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The model called a function wrongly, and the server noticed: the next time it may not.
    Misfire,
    /// The server, or this model of it, takes no functions.
    NoTools,
    /// It has something to say about functions, and not that it takes none.
    AboutTools,
    /// It answers as a whole only.
    NoStream,
    /// It takes no message of the system; or no function, where it speaks of those too.
    NoSystem { about_tools: bool },
    /// The conversation is longer than what the model can read.
    TooLong,
    /// It does not say why.
    Unclear,
}

impl Reason {
    /// The reason in an answer with `status` and the body `text`, in small letters; `None` where the form can't be it.
    fn of(status: StatusCode, text: &str) -> Option<Self> {
        const MISFIRE: [&str; 3] = ["tool_use_failed", "failed_generation", "failed to call a function"];
        const TOOLS: [&str; 3] = ["tool", "function call", "function_call"];
        /// Whose messages, and that it is messages that are spoken of.
        const WHOSE: [&str; 2] = ["system", "developer"];
        const MESSAGES: [&str; 4] = ["message", "prompt", "instruction", "'system'"];
        /// Of the arguments' schema, not of functions as such.
        const SCHEMA: [&str; 3] = ["schema", "properties", "parameters"];
        /// Said also by servers that answer their own setup with 500.
        const NEVER: [&str; 8] = [
            "not support",
            "n't support",
            "unsupported",
            "no endpoints",
            "not implemented",
            "--enable-auto-tool-choice",
            "--jinja",
            "no support",
        ];
        const NOT_HERE: [&str; 14] = [
            "unrecognized request argument",
            "unrecognized argument",
            "unrecognized field",
            "unknown parameter",
            "unknown field",
            "unknown argument",
            "unexpected keyword",
            "unexpected field",
            "extra inputs",
            "extra fields",
            "not enabled",
            "not available",
            "not allowed",
            "not permitted",
        ];
        const NO_ROLE_EVER: [&str; 6] =
            ["not support", "n't support", "unsupported", "are supported", "only support", "alternate"];
        const NO_ROLE: [&str; 8] =
            ["not enabled", "not allowed", "not permitted", "invalid", "unexpected", "unknown", "should be", "must "];
        const TOO_LONG: [&str; 8] = [
            "context length",
            "context_length",
            "context size",
            "context window",
            "prompt is too long",
            "input is too long",
            "too many tokens",
            "exceeds the maximum number of tokens",
        ];
        let faulty = match status {
            StatusCode::PAYLOAD_TOO_LARGE => return Some(Self::TooLong),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => true,
            StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR | StatusCode::NOT_IMPLEMENTED => false,
            _ => return None,
        };
        let has = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
        let own_fault = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        if has(text, &TOO_LONG) {
            return Some(Self::TooLong);
        }
        if has(text, &MISFIRE) {
            return Some(Self::Misfire);
        }
        let no_tools = sentences(text).any(|part| {
            has(part, &TOOLS) && !has(part, &SCHEMA) && (has(part, &NEVER) || !own_fault && has(part, &NOT_HERE))
        });
        if no_tools {
            return Some(Self::NoTools);
        }
        let no_stream = sentences(text)
            .any(|part| part.contains("stream") && (has(part, &NEVER) || !own_fault && has(part, &NOT_HERE)));
        if no_stream {
            return Some(Self::NoStream);
        }
        let no_system = sentences(text).any(|part| {
            (part.contains("role") || has(part, &WHOSE) && has(part, &MESSAGES))
                && (has(part, &NO_ROLE_EVER) || !own_fault && has(part, &NO_ROLE))
        });
        let about_tools = has(text, &TOOLS) || has(text, &["function"]);
        if no_system {
            return Some(Self::NoSystem { about_tools });
        }
        if about_tools {
            return Some(Self::AboutTools);
        }
        // A path or a model that is not there, or a server at fault, is no question of form.
        faulty.then_some(Self::Unclear)
    }
}

/// A text in parts that say one thing each.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', ';', '!', '{', '}']).flat_map(|line| line.split(". ")).flat_map(|line| line.split("\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Adaptation::{PromptInUser, Repeated, Shortened, WithoutTools};

    const WHOLE: Form = Form { tools: true, prompt: PromptPlace::System, stream: true };

    /// What is tried after each of these answers, and what is known once the next one succeeds.
    fn after(answers: &[(u16, &str)]) -> (Vec<Option<Adaptation>>, Form) {
        let now = Instant::now();
        let mut attempts = Attempts::new(WHOLE, true, PromptRole::Auto);
        let tried = answers
            .iter()
            .map(|(status, body)| attempts.refused(StatusCode::from_u16(*status).unwrap(), body.as_bytes()))
            .collect();
        let mut known = Known::default();
        known.answered(&attempts, now);
        (tried, known.form(true, PromptRole::Auto, now))
    }

    #[test]
    fn a_server_that_says_that_it_takes_no_functions_is_believed() {
        for (status, body) in [
            (400, r#"{"error":{"message":"registry.example/gemma:2b does not support tools"}}"#),
            (404, r#"{"error":{"message":"No endpoints found that support tool use. To learn more: …","code":404}}"#),
            (
                400,
                r#"{"message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"}"#,
            ),
            (500, r#"{"error":{"code":500,"message":"tools param requires --jinja flag"}}"#),
            (400, r#"{"error":"Unrecognized request argument supplied: tools"}"#),
            (
                422,
                r#"{"detail":[{"type":"extra_forbidden","loc":["body","tools"],"msg":"Extra inputs are not permitted"}]}"#,
            ),
            (501, "function calling is not implemented"),
            (400, r#"{"error":{"message":"Unsupported parameter: 'tools'","param":"tools"}}"#),
        ] {
            let (tried, known) = after(&[(status, body)]);
            assert_eq!(tried, [Some(WithoutTools)], "{body}");
            assert_eq!(known, Form { tools: false, ..WHOLE }, "{body}");
        }
    }

    #[test]
    fn a_model_that_can_read_no_more_is_told_less_twice_and_nothing_is_learnt_of_it() {
        for (status, body) in [
            (
                400,
                "This model's maximum context length is 4096 tokens. However, your messages and functions have 5000 tokens.",
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            ),
            (500, "the request exceeds the available context size. try increasing the context size"),
            (413, "Request too large"),
            (400, r#"{"error":"maximum context length is 4096 tokens, 300 of them in the tools"}"#),
            (400, "prompt is too long: 210000 tokens > 200000 maximum"),
        ] {
            let (tried, known) = after(&[(status, body); 4]);
            assert_eq!(tried, [Some(Shortened), Some(Shortened), Some(WithoutTools), None], "{body}");
            assert_eq!(known, WHOLE, "{body}");
        }
    }

    #[test]
    fn a_server_that_stumbles_over_functions_once_is_asked_without_them_once() {
        for (status, body) in [
            (400, r#"{"error":{"message":"Invalid schema for function 'hang_up': object schema missing properties"}}"#),
            (
                400,
                r#"{"error":{"message":"tools[0].function_declarations[0].parameters.properties: should be non-empty for OBJECT type"}}"#,
            ),
            (400, r#"{"error":{"message":"Unknown name \"pattern\" at 'tools[0].parameters': not supported"}}"#),
            (500, r#"{"error":"Traceback: File tool_parsers/hermes.py, line 7: IndexError"}"#),
            (422, "toolbox overheated"),
            (500, "unexpected field in the tool parser"),
        ] {
            let (tried, known) = after(&[(status, body)]);
            assert_eq!(tried, [Some(WithoutTools)], "{body}");
            assert_eq!(known, WHOLE, "nothing is learnt of {body}");
        }
    }

    #[test]
    fn a_model_that_called_wrongly_is_asked_as_it_was_and_then_without() {
        let failed = (
            400,
            r#"{"error":{"message":"Failed to call a function.","code":"tool_use_failed","failed_generation":"…"}}"#,
        );
        assert_eq!(after(&[failed]), (vec![Some(Repeated)], WHOLE));
        assert_eq!(after(&[failed, failed]), (vec![Some(Repeated), Some(WithoutTools)], WHOLE));
        assert_eq!(after(&[failed, failed, failed]).0[2], None);
    }

    #[test]
    fn a_server_without_system_messages_gets_the_prompt_with_the_callers_words() {
        for (status, body) in [
            (400, r#"{"error":{"message":"System role not supported"}}"#),
            (
                500,
                r#"{"error":{"message":"Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/..."}}"#,
            ),
            (422, r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"Input should be 'user' or 'assistant'"}]}"#),
            (400, "Unexpected role 'system' for message 0"),
            (400, "Only user, assistant and tool roles are supported, got system."),
            (400, r#"{"error":{"code":400,"message":"Developer instruction is not enabled for models/gemma"}}"#),
        ] {
            let (tried, known) = after(&[(status, body)]);
            assert_eq!(tried, [Some(PromptInUser)], "{body}");
            assert_eq!(known, Form { prompt: PromptPlace::User, ..WHOLE }, "{body}");
        }
    }

    #[test]
    fn a_server_that_does_not_stream_is_asked_for_the_whole() {
        for (status, body) in [
            (400, "stream is not supported"),
            (400, r#"{"error":{"message":"Streaming is not supported for this model.","param":"stream"}}"#),
            (422, r#"{"detail":[{"loc":["body","stream"],"msg":"Extra inputs are not permitted"}]}"#),
            (501, "streaming not implemented"),
        ] {
            let (tried, known) = after(&[(status, body)]);
            assert_eq!(tried, [Some(Adaptation::Whole)], "{body}");
            assert_eq!(known, Form { stream: false, ..WHOLE }, "{body}");
        }
        assert_eq!(after(&[(400, "tools are not supported with stream")]).0, [Some(WithoutTools)]);
    }

    #[test]
    fn a_refusal_without_a_reason_is_met_with_less_and_less_and_nothing_is_learnt() {
        let (tried, known) = after(&[(400, ""), (400, "Bad Request"), (400, "no")]);
        assert_eq!(tried, [Some(PromptInUser), Some(WithoutTools), None]);
        assert_eq!(known, WHOLE);
    }

    #[test]
    fn what_has_nothing_to_do_with_the_form_is_not_asked_again() {
        for (status, body) in [
            (401, "no tools for you"),
            (403, ""),
            (404, "no such model"),
            (429, "too many tools"),
            (500, "out of memory"),
            (500, "unexpected system error, message lost"),
            (503, "tools"),
        ] {
            assert_eq!(after(&[(status, body)]).0, [None], "{status} {body}");
        }
    }

    #[test]
    fn what_is_set_is_not_moved() {
        let mut attempts = Attempts::new(WHOLE, true, PromptRole::System);
        assert_eq!(attempts.refused(StatusCode::BAD_REQUEST, b"System role not supported"), None);
        let mut attempts = Attempts::new(WHOLE, false, PromptRole::Auto);
        assert_eq!(attempts.refused(StatusCode::BAD_REQUEST, b"System role not supported"), None, "there is no prompt");
        let form = |role| Known::default().form(true, role, Instant::now()).prompt;
        assert_eq!(form(PromptRole::Developer), PromptPlace::Developer);
        assert_eq!(form(PromptRole::User), PromptPlace::User);
    }

    #[test]
    fn what_was_learnt_is_forgotten_and_believed_longer_when_it_is_said_again() {
        let start = Instant::now();
        let mut known = Known::default();
        let refused = || {
            let mut attempts = Attempts::new(WHOLE, true, PromptRole::Auto);
            attempts.refused(StatusCode::BAD_REQUEST, b"does not support tools");
            attempts
        };
        let mut now = start;
        let mut believed = Vec::new();
        for _ in 0..6 {
            believed.push(known.answered(&refused(), now).unwrap().as_secs());
            now += Duration::from_secs(believed[believed.len() - 1]);
            assert!(!known.form(true, PromptRole::Auto, now - Duration::from_millis(1)).tools);
            assert!(known.form(true, PromptRole::Auto, now).tools, "it is tried again");
        }
        assert_eq!(believed, [60, 120, 240, 480, 900, 900]);
        known.answered(&Attempts::new(WHOLE, true, PromptRole::Auto), now);
        assert_eq!(known.answered(&refused(), now), Some(FIRST_BELIEVED), "it had taken them in between");
    }
}
