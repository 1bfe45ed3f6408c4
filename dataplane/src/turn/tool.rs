//! What the language model may do besides talking: hang up, transfer, send digits. It checks what the model asks for
//! and never carries it out.
//!
//! A model's words are outside input: a caller can talk it into anything. Destinations and digits end up in commands to
//! the switch, so they are held to alphabets in which nothing can be smuggled.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};
use thiserror::Error;

/// Longest destination of a transfer, in characters.
pub const MAX_DESTINATION: usize = 64;
/// Most digits sent at once.
pub const MAX_DIGITS: usize = 32;
/// Longest arguments that are parsed, in bytes.
const MAX_ARGUMENTS: usize = 1_024;

/// What the model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "tool", rename_all = "snake_case")]
pub enum ToolCall {
    /// End the call, once the caller has heard what was said.
    HangUp,
    /// Connect the caller to somebody else, once the caller has heard what was said.
    Transfer {
        /// A number, an extension or an address: letters, digits and `+ _ . @ : -`, at most [`MAX_DESTINATION`].
        destination: String,
    },
    /// Send key presses to the other end.
    SendDtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`, and `w` for a pause of half a second; at most [`MAX_DIGITS`].
        digits: String,
    },
}

/// Why a tool call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ToolError {
    /// The model called something that does not exist.
    #[error("unknown tool; expected hang_up, transfer or send_dtmf")]
    UnknownTool,
    /// The arguments are longer than anything that could be valid.
    #[error("tool arguments are {length} bytes long; at most {MAX_ARGUMENTS} are read")]
    ArgumentsTooLong {
        /// Their length in bytes.
        length: usize,
    },
    /// The arguments are no JSON object.
    #[error("tool arguments are no JSON object")]
    NotAnObject,
    /// An argument is missing, or is neither text nor a whole number.
    #[error("tool argument {name:?} is missing or no text")]
    MissingArgument {
        /// Its name.
        name: &'static str,
    },
    /// The destination holds what no destination holds.
    #[error(
        "destination must be 1 to {MAX_DESTINATION} of letters, digits, + _ . @ : and -, and not begin with - or :"
    )]
    Destination,
    /// The digits hold what is no key.
    #[error("digits must be 1 to {MAX_DIGITS} of 0-9 * # A-D and w, with at least one key among them")]
    Digits,
}

impl ToolCall {
    /// Reads a call as language models write it: the tool's name, and its arguments as a JSON object.
    ///
    /// Tolerated: no arguments at all for `hang_up`, arguments that are not known, numbers in place of text, small
    /// letters `a`–`d`, and `,` for the pause `w`.
    ///
    /// # Errors
    /// [`ToolError`] for everything else.
    pub fn parse(name: &str, json_args: &str) -> Result<Self, ToolError> {
        if json_args.len() > MAX_ARGUMENTS {
            return Err(ToolError::ArgumentsTooLong { length: json_args.len() });
        }
        let call = match name {
            "hang_up" => Self::HangUp,
            "transfer" => Self::Transfer { destination: argument(json_args, "destination")?.trim().to_owned() },
            "send_dtmf" => {
                let mut digits = argument(json_args, "digits")?.trim().replace([',', 'W'], "w");
                digits.retain(|c| c != ' ');
                Self::SendDtmf { digits: digits.chars().map(upper_key).collect() }
            }
            _ => return Err(ToolError::UnknownTool),
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
            Self::Transfer { destination } => {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+_.@:-".contains(&b);
                let good = (1..=MAX_DESTINATION).contains(&destination.len())
                    && destination.bytes().all(allowed)
                    // The switch would read a leading dash as an option of its command.
                    && !destination.starts_with(['-', ':']);
                if good { Ok(()) } else { Err(ToolError::Destination) }
            }
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

/// Keys `a`–`d` as capitals.
fn upper_key(c: char) -> char {
    if matches!(c, 'a'..='d') { c.to_ascii_uppercase() } else { c }
}

fn argument(json_args: &str, name: &'static str) -> Result<String, ToolError> {
    let Ok(Value::Object(arguments)) = serde_json::from_str(json_args) else { return Err(ToolError::NotAnObject) };
    match arguments.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) if number.is_u64() => Ok(number.to_string()),
        _ => Err(ToolError::MissingArgument { name }),
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

/// The tools that a model is offered.
pub fn tool_definitions() -> Vec<ToolDefinition> {
    vec![
        ToolDefinition {
            name: "hang_up",
            description: "End the telephone call. Say goodbye first; the call ends when the caller has heard it.",
            parameters: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        },
        ToolDefinition {
            name: "transfer",
            description: "Connect the caller to another person or department. Say so first; the caller then leaves.",
            parameters: json!({
                "type": "object",
                "properties": { "destination": {
                    "type": "string",
                    "description": "Telephone number, extension or SIP address, without spaces",
                    "pattern": "^[+0-9A-Za-z_.@][+0-9A-Za-z_.@:-]{0,63}$",
                } },
                "required": ["destination"],
                "additionalProperties": false,
            }),
        },
        ToolDefinition {
            name: "send_dtmf",
            description: "Press telephone keys, for instance to go through another party's menu.",
            parameters: json!({
                "type": "object",
                "properties": { "digits": {
                    "type": "string",
                    "description": "Keys 0-9, *, #, A-D; w pauses half a second",
                    "pattern": "^[0-9*#A-Dw]{1,32}$",
                } },
                "required": ["digits"],
                "additionalProperties": false,
            }),
        },
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tools_are_parsed_as_models_write_them() {
        for args in ["", "{}", "null", r#"{"reason":"done"}"#] {
            assert_eq!(ToolCall::parse("hang_up", args), Ok(ToolCall::HangUp));
        }
        let transfer = |to: &str| Ok(ToolCall::Transfer { destination: to.to_owned() });
        assert_eq!(ToolCall::parse("transfer", r#"{"destination":"+49-30-1234"}"#), transfer("+49-30-1234"));
        assert_eq!(ToolCall::parse("transfer", r#"{"destination":1001}"#), transfer("1001"));
        assert_eq!(
            ToolCall::parse("transfer", r#"{"destination":"sip:anna@example.com"}"#),
            transfer("sip:anna@example.com")
        );
        let digits = ToolCall::SendDtmf { digits: "12w#A".to_owned() };
        assert_eq!(ToolCall::parse("send_dtmf", r##"{"digits":"1 2,#a"}"##), Ok(digits));
    }

    #[test]
    fn a_destination_cannot_carry_a_command() {
        for to in
            ["", "1001 XML default", "1001;hangup", "a/b", "${x}", "-bleg", ":x", "1001\n", "ünï", "'1'", "a,b", "a|b"]
        {
            let args = json!({ "destination": to.replace('\n', "\nx") }).to_string();
            assert_eq!(ToolCall::parse("transfer", &args), Err(ToolError::Destination), "{to:?}");
        }
        let args = json!({ "destination": "1".repeat(65) }).to_string();
        assert_eq!(ToolCall::parse("transfer", &args), Err(ToolError::Destination));
    }

    #[test]
    fn digits_are_keys() {
        for digits in ["", "w", "12x", "1\n2", "١٢"] {
            assert_eq!(ToolCall::parse("send_dtmf", &json!({ "digits": digits }).to_string()), Err(ToolError::Digits));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(ToolCall::parse("format_disk", "{}"), Err(ToolError::UnknownTool));
        assert_eq!(ToolCall::parse("transfer", "[]"), Err(ToolError::NotAnObject));
        assert_eq!(ToolCall::parse("transfer", "{"), Err(ToolError::NotAnObject));
        assert_eq!(ToolCall::parse("transfer", "{}"), Err(ToolError::MissingArgument { name: "destination" }));
        assert_eq!(ToolCall::parse("transfer", &" ".repeat(2_000)), Err(ToolError::ArgumentsTooLong { length: 2_000 }));
    }

    #[test]
    fn a_saved_call_is_checked_again() {
        let call = ToolCall::Transfer { destination: "1001".to_owned() };
        let saved = serde_json::to_string(&call).expect("plain data");
        assert_eq!(serde_json::from_str::<ToolCall>(&saved).ok(), Some(call));
        assert!(serde_json::from_str::<ToolCall>(r#"{"tool":"transfer","destination":"1 XML x"}"#).is_err());
    }

    #[test]
    fn every_tool_on_offer_is_understood() {
        for tool in tool_definitions() {
            assert_ne!(ToolCall::parse(tool.name, "{}"), Err(ToolError::UnknownTool));
            assert_eq!(tool.parameters["type"], "object");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_valid(
            name in "hang_up|transfer|send_dtmf", args in "\\PC{0,100}", value in "\\PC{0,80}",
        ) {
            for args in [args, json!({ "destination": value, "digits": value }).to_string()] {
                if let Ok(call) = ToolCall::parse(&name, &args) {
                    prop_assert_eq!(call.validate(), Ok(()));
                }
            }
        }
    }
}
