//! What the language model may do besides talking: hang up, transfer, send digits. It checks what the model asks for
//! and never carries it out.
//!
//! A model's words are outside input: a caller can talk it into anything. Destinations and digits end up in commands to
//! the switch, so they are held to alphabets in which nothing can be smuggled. How a model writes them is another
//! matter: what can mean one thing only is brought into its form.

mod arguments;
mod destination;
mod lenient;
mod name;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};
use thiserror::Error;

use self::arguments::Arguments;
pub use self::name::canonical_name;
use crate::esl::DestinationKind;
pub use crate::esl::MAX_DESTINATION;

/// Most digits sent at once.
pub const MAX_DIGITS: usize = 32;
/// Longest arguments that are parsed, in bytes.
const MAX_ARGUMENTS: usize = 8_192;
/// How much of a refused call is kept to tell the model of it, in characters.
const MAX_REFUSED_CHARS: usize = 500;
/// What the argument of `transfer` is called: by us, and by models that don't look.
const DESTINATION_KEYS: [&str; 18] = [
    "destination",
    "number",
    "to",
    "extension",
    "ext",
    "phone",
    "phonenumber",
    "telephonenumber",
    "destinationnumber",
    "transferto",
    "target",
    "dest",
    "address",
    "sip",
    "sipuri",
    "sipaddress",
    "uri",
    "callee",
];
/// The same for `send_dtmf`.
const DIGITS_KEYS: [&str; 9] = ["digits", "digit", "dtmf", "keys", "key", "tones", "sequence", "number", "code"];

/// What the model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "tool", rename_all = "snake_case")]
pub enum ToolCall {
    /// End the call, once the caller has heard what was said.
    HangUp,
    /// Connect the caller to somebody else, once the caller has heard what was said.
    Transfer {
        /// A number, a name or an address, in a form of [`DestinationKind`].
        destination: String,
    },
    /// Send key presses to the other end.
    SendDtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`, and `w` for a pause of half a second; at most [`MAX_DIGITS`].
        digits: String,
    },
}

/// Why a tool call was refused. The text is for the log and for the model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ToolError {
    /// The model called something that does not exist, or that it was not offered.
    #[error("there is no such function")]
    UnknownTool,
    /// The arguments are longer than anything that could be valid.
    #[error("the arguments are {length} bytes long; at most {MAX_ARGUMENTS} are read")]
    ArgumentsTooLong {
        /// Their length in bytes.
        length: usize,
    },
    /// The arguments are no JSON object.
    #[error("the arguments are no JSON object")]
    NotAnObject,
    /// The arguments say two things at once.
    #[error("the arguments contradict each other")]
    Contradiction,
    /// An argument is missing, or is neither text nor a whole number.
    #[error("the argument {name:?} is missing or no text")]
    MissingArgument {
        /// Its name.
        name: &'static str,
    },
    /// The destination holds what no destination holds.
    #[error("the destination is no telephone number, name or address that can be dialled")]
    Destination,
    /// Nobody is transferred to destinations of this kind.
    #[error("callers can't be transferred to such a destination")]
    DestinationKind,
    /// The digits hold what is no key.
    #[error("digits must be 1 to {MAX_DIGITS} of 0-9 * # A-D and w, with at least one key among them")]
    Digits,
}

/// A call that was refused: what is needed to tell the model why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCall {
    /// The function's name as the model wrote it, shortened to some hundred characters.
    pub name: String,
    /// The arguments as the model wrote them, shortened likewise.
    pub arguments: String,
    /// Why.
    pub error: ToolError,
}

impl RefusedCall {
    /// A refused call of `name` with `arguments`, both as the model wrote them.
    #[must_use]
    pub fn new(name: &str, arguments: &str, error: ToolError) -> Self {
        let shortened = |text: &str| -> String { text.trim().chars().take(MAX_REFUSED_CHARS).collect() };
        Self { name: shortened(name), arguments: shortened(arguments), error }
    }
}

impl ToolCall {
    /// Reads a call as language models write it: the function's name, and its arguments as a JSON object.
    ///
    /// Cleaned up, where it can mean one thing only: names in other spellings and with words before them
    /// ([`canonical_name`]), arguments that are near JSON, wrapped, encoded twice, in a code fence, or under another
    /// key, numbers in place of text, telephone numbers as people write them, `tel:` and `sip:` URIs, digits of other
    /// scripts, small letters `a`–`d`, and `,` for the pause `w`. `hang_up` needs no arguments, and none of its
    /// arguments matter.
    ///
    /// # Errors
    /// [`ToolError`] for everything else.
    pub fn parse(name: &str, arguments: &str) -> Result<Self, ToolError> {
        if arguments.len() > MAX_ARGUMENTS {
            return Err(ToolError::ArgumentsTooLong { length: arguments.len() });
        }
        // Some write the whole call where only its name belongs.
        let (name, arguments) = match name.split_once('(').zip(name.trim_end().strip_suffix(')')) {
            Some(((before, _), inside)) if arguments::is_nothing(arguments) => (before, &inside[before.len() + 1..]),
            _ => (name, arguments),
        };
        let call = match canonical_name(name).ok_or(ToolError::UnknownTool)? {
            "hang_up" => Self::HangUp,
            tool @ "transfer" => {
                let text = Arguments::read(tool, &DESTINATION_KEYS, arguments)?.text(&DESTINATION_KEYS)?;
                Self::Transfer { destination: destination::read(&text)? }
            }
            tool => {
                let text = Arguments::read(tool, &DIGITS_KEYS, arguments)?.text(&DIGITS_KEYS)?;
                Self::SendDtmf { digits: keys(&text) }
            }
        };
        call.validate()?;
        Ok(call)
    }

    /// Checks a call that was not made by [`Self::parse`].
    ///
    /// # Errors
    /// [`ToolError::Destination`] or [`ToolError::Digits`].
    pub fn validate(&self) -> Result<(), ToolError> {
        match self {
            Self::HangUp => Ok(()),
            Self::Transfer { destination } => DestinationKind::of(destination).map(drop).ok_or(ToolError::Destination),
            Self::SendDtmf { digits } => {
                let good = (1..=MAX_DIGITS).contains(&digits.len())
                    && digits.chars().all(|c| is_key(c) || c == 'w')
                    && digits.chars().any(is_key);
                if good { Ok(()) } else { Err(ToolError::Digits) }
            }
        }
    }

    /// The tool's name, as the model knows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HangUp => "hang_up",
            Self::Transfer { .. } => "transfer",
            Self::SendDtmf { .. } => "send_dtmf",
        }
    }
}

impl<'de> Deserialize<'de> for ToolCall {
    /// Refuses what [`ToolCall::validate`] refuses.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(tag = "tool", rename_all = "snake_case")]
        enum Unchecked {
            HangUp,
            Transfer { destination: String },
            SendDtmf { digits: String },
        }
        let call = match Unchecked::deserialize(deserializer)? {
            Unchecked::HangUp => Self::HangUp,
            Unchecked::Transfer { destination } => Self::Transfer { destination },
            Unchecked::SendDtmf { digits } => Self::SendDtmf { digits },
        };
        call.validate().map_err(de::Error::custom)?;
        Ok(call)
    }
}

/// Is it a key of a telephone (RFC 4733 §3.2)?
pub fn is_key(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')
}

/// Keys as the switch takes them: without what stands between them for the eye.
fn keys(text: &str) -> String {
    let key = |c: char| match c {
        ',' | 'W' => Some('w'),
        'a'..='d' => Some(c.to_ascii_uppercase()),
        ' ' | '\u{a0}' | '-' => None,
        c => Some(destination::digit(c).unwrap_or(c)),
    };
    text.trim().chars().filter_map(key).collect()
}

/// Whom the model may transfer callers to: what the dialplan behind it has rules for. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Transfers {
    /// Nobody: `transfer` is not offered.
    Nobody,
    /// Telephone numbers and extensions.
    Numbers,
    /// Names of the telephone system too.
    Names,
    /// SIP addresses too.
    #[default]
    Addresses,
}

impl Transfers {
    /// Checks that `call` is one that the model was offered.
    ///
    /// # Errors [`ToolError::UnknownTool`] where there are no transfers, [`ToolError::DestinationKind`] where there are
    /// none to such a destination, [`ToolError::Destination`] where it is none at all.
    pub fn check(self, call: &ToolCall) -> Result<(), ToolError> {
        let ToolCall::Transfer { destination } = call else { return Ok(()) };
        let needed = match DestinationKind::of(destination).ok_or(ToolError::Destination)? {
            DestinationKind::Number => Self::Numbers,
            DestinationKind::Name => Self::Names,
            DestinationKind::Address => Self::Addresses,
        };
        match self {
            Self::Nobody => Err(ToolError::UnknownTool),
            _ if needed <= self => Ok(()),
            _ => Err(ToolError::DestinationKind),
        }
    }

    /// What a destination may be, for the model.
    #[must_use]
    const fn describe(self) -> &'static str {
        match self {
            Self::Nobody => "nothing",
            Self::Numbers => "Telephone number or extension: digits only, with + first if it is international",
            Self::Names => {
                "Telephone number or extension (digits only, with + first if it is international), or a name of the telephone system \
                 (letters, digits, . _ -)"
            }
            Self::Addresses => {
                "Telephone number or extension (digits only, with + first if it is international), a name of the telephone system (letters, \
                 digits, . _ -), or a SIP address such as sip:anna@example.com"
            }
        }
    }
}

/// What the model is told of whom it may transfer callers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destinations {
    /// The kinds.
    pub kinds: Transfers,
    /// Those that have a name. There may be others.
    pub names: Arc<[String]>,
}

impl From<Transfers> for Destinations {
    /// Nobody by name.
    fn from(kinds: Transfers) -> Self {
        Self { kinds, names: Arc::default() }
    }
}

impl Destinations {
    /// What a destination may be, for the model.
    #[must_use]
    pub fn describe(&self) -> String {
        let kinds = self.kinds.describe();
        if self.names.is_empty() || self.kinds < Transfers::Names {
            return kinds.to_owned();
        }
        format!("{kinds}. The names are: {}", self.names.join(", "))
    }
}

/// A tool as it is offered to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// Its name.
    pub name: &'static str,
    /// When to use it, for the model.
    pub description: &'static str,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

/// The tools that a model is offered where callers can be transferred to `destinations`.
///
/// Their schemas keep to what every server takes: some refuse a function without arguments, and some a schema with
/// patterns or with `additionalProperties`. So each has at least one argument, and what its text must be is said in
/// words.
pub fn tool_definitions(destinations: &Destinations) -> Vec<ToolDefinition> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut tools = vec![ToolDefinition {
        name: "hang_up",
        description: "End the telephone call. Say goodbye first; the call ends when the caller has heard it.",
        parameters: json!({ "type": "object", "properties": { "reason": text("Why, in one word; may be left out") } }),
    }];
    if destinations.kinds != Transfers::Nobody {
        tools.push(ToolDefinition {
            name: "transfer",
            description: "Connect the caller to another person or department. Say so first; the caller then leaves.",
            parameters: json!({
                "type": "object",
                "properties": { "destination": text(&destinations.describe()) },
                "required": ["destination"],
            }),
        });
    }
    tools.push(ToolDefinition {
        name: "send_dtmf",
        description: "Press telephone keys, for instance to go through another party's menu.",
        parameters: json!({
            "type": "object",
            "properties": { "digits": text("Keys 0-9, *, #, A-D, without spaces; w pauses half a second") },
            "required": ["digits"],
        }),
    });
    tools
}

#[cfg(test)]
mod tests;
