//! Commands as bytes, and the refusal of every argument that could become a second command or be rewritten on its way.
//! Never sends anything.
//!
//! Three readers see an argument, and each has its own special characters:
//! - the event socket ends a line at a line feed and a command at a blank line;
//! - the `api` commands cut their arguments at blanks, and treat `'` and `\` as quoting;
//! - applications, and the dialplan that later uses a variable, expand `${…}` and `$${…}`.
//!
//! So an argument is checked here against the characters that its place is known to carry unharmed. Free text belongs
//! in base64url before it comes here.

use super::cause::HangupCause;
use super::destination::{DestinationKind, MAX_DESTINATION};
use std::fmt;

/// The largest SDP answer that is sent, bytes.
pub const MAX_SDP_BYTES: usize = 16 << 10;

/// The largest value of a channel variable, bytes: room for 16 KiB of state in base64. Leg A's events carry every
/// variable, so values are to be kept small.
pub const MAX_VARIABLE_BYTES: usize = 24 << 10;

const MAX_NAME_BYTES: usize = 128;
const MAX_API_BYTES: usize = 32 << 10;

/// A whole command, ready for the socket.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Vec<u8>);

/// An argument that cannot be sent. The value itself is not repeated: it may be a secret, and it comes from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{argument} {problem}")]
pub struct CommandError {
    /// Which argument.
    pub argument: &'static str,
    /// What is wrong with it.
    pub problem: ArgumentProblem,
}

/// What is wrong with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentProblem {
    /// Nothing where something is needed.
    #[error("is empty")]
    Empty,
    /// Too long.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A character that would break out of the command, or that the switch would rewrite.
    #[error("contains {0:?}, which cannot be sent there")]
    Forbidden(char),
    /// Good characters in a form that means nothing, or something else, to the switch.
    #[error("has a form that cannot be sent there")]
    Malformed,
}

impl Command {
    /// Asks for the channel's data; the first command on an outbound socket.
    pub fn connect() -> Self {
        Self::line("connect")
    }

    /// Keeps the socket open for `seconds` after the hang-up, so that the last events arrive.
    pub fn linger(seconds: u32) -> Self {
        Self::line(&format!("linger {seconds}"))
    }

    /// Subscribes to this channel's events.
    pub fn my_events() -> Self {
        Self::line("myevents plain")
    }

    /// Says goodbye without hanging up: the dialplan goes on after its `socket` action.
    pub fn exit() -> Self {
        Self::line("exit")
    }

    /// Runs application `set` on this channel, with the value in a body so that it may have several lines.
    ///
    /// # Errors
    /// A name that is not a variable's, a value longer than [`MAX_SDP_BYTES`], or one with NUL, `$` or `\`: the switch
    /// expands an application's argument.
    pub fn set(variable: &'static str, value: &str) -> Result<Self, CommandError> {
        check_name("variable name", variable)?;
        check("value", value, 0..=MAX_SDP_BYTES, |c| !matches!(c, '\0' | '$' | '\\'))?;
        let body = format!("{variable}={value}");
        Ok(Self(
            format!(
                "sendmsg\ncall-command: execute\nexecute-app-name: set\nevent-lock: true\ncontent-type: text/plain\n\
                 content-length: {}\n\n{body}",
                body.len()
            )
            .into_bytes(),
        ))
    }

    /// Sets the SDP that [`answer`](Self::answer) will send (`switch_m_sdp`).
    ///
    /// # Errors
    /// An SDP that is empty, too long, or has characters that no SDP of ours has.
    pub fn set_local_sdp(sdp: &str) -> Result<Self, CommandError> {
        if sdp.is_empty() {
            return Err(CommandError { argument: "SDP", problem: ArgumentProblem::Empty });
        }
        Self::set("switch_m_sdp", sdp)
    }

    /// Runs application `answer`, after what was queued before it (`event-lock`).
    pub fn answer() -> Self {
        Self::line("sendmsg\ncall-command: execute\nexecute-app-name: answer\nevent-lock: true")
    }

    /// Hangs this channel up, at once.
    pub fn hang_up(cause: HangupCause) -> Self {
        Self::line(&format!("sendmsg\ncall-command: hangup\nhangup-cause: {cause}"))
    }

    /// `uuid_setvar`: sets a variable of any channel; an empty value removes it.
    ///
    /// # Errors
    /// A value with anything but visible ASCII, or with one of `$ ' " \ { }` and the backquote: they would be expanded
    /// or taken for quoting, now or when the dialplan uses the variable. base64url passes whole.
    pub fn uuid_setvar(uuid: &str, name: &str, value: &str) -> Result<Self, CommandError> {
        check_uuid(uuid)?;
        check_name("variable name", name)?;
        check("value", value, 0..=MAX_VARIABLE_BYTES, |c| {
            c.is_ascii_graphic() && !matches!(c, '$' | '\'' | '"' | '\\' | '`' | '{' | '}')
        })?;
        let blank = if value.is_empty() { "" } else { " " };
        Ok(Self::line(&format!("api uuid_setvar {uuid} {name}{blank}{value}")))
    }

    /// `uuid_getvar`: reads a variable of any channel; the reply's body is the value, or `_undef_`.
    ///
    /// # Errors
    /// A malformed channel id or name.
    pub fn uuid_getvar(uuid: &str, name: &str) -> Result<Self, CommandError> {
        check_uuid(uuid)?;
        check_name("variable name", name)?;
        Ok(Self::line(&format!("api uuid_getvar {uuid} {name}")))
    }

    /// `eval` of any channel's `Channel-Call-State`; the reply's body is `ACTIVE`, `HELD` or the like, empty where there is no such channel.
    ///
    /// # Errors
    /// A malformed channel id.
    pub fn call_state(uuid: &str) -> Result<Self, CommandError> {
        check_uuid(uuid)?;
        Ok(Self::line(&format!("api eval uuid:{uuid} ${{Channel-Call-State}}")))
    }

    /// `uuid_transfer`: sends a channel to a destination of an XML dialplan's context.
    ///
    /// # Errors
    /// A destination of no [`DestinationKind`], or a malformed channel id or context.
    pub fn uuid_transfer(uuid: &str, destination: &str, context: &str) -> Result<Self, CommandError> {
        check_uuid(uuid)?;
        if DestinationKind::of(destination).is_none() {
            check("destination", destination, 1..=MAX_DESTINATION, |c| {
                c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '_' | '-')
            })?;
            return Err(CommandError { argument: "destination", problem: ArgumentProblem::Malformed });
        }
        check_name("context", context)?;
        Ok(Self::line(&format!("api uuid_transfer {uuid} {destination} XML {context}")))
    }

    /// `uuid_kill`: hangs any channel up.
    ///
    /// # Errors
    /// A malformed channel id.
    pub fn uuid_kill(uuid: &str, cause: HangupCause) -> Result<Self, CommandError> {
        check_uuid(uuid)?;
        Ok(Self::line(&format!("api uuid_kill {uuid} {cause}")))
    }

    /// `uuid_send_dtmf`: has the switch send digits out of a channel whose media it holds (leg A or B, never leg C).
    ///
    /// # Errors
    /// Digits other than `0-9 A-D a-d * #` and the pauses `w W`, or a malformed channel id.
    pub fn uuid_send_dtmf(uuid: &str, digits: &str) -> Result<Self, CommandError> {
        check_uuid(uuid)?;
        check("digits", digits, 1..=MAX_NAME_BYTES, |c| {
            c.is_ascii_digit() || matches!(c, 'A'..='D' | 'a'..='d' | '*' | '#' | 'w' | 'W')
        })?;
        Ok(Self::line(&format!("api uuid_send_dtmf {uuid} {digits}")))
    }

    /// Any other API command. Its arguments are for the caller of this function to quote.
    ///
    /// # Errors
    /// A command that is not a name, or arguments with control characters or `$`.
    pub fn api(command: &str, arguments: &str) -> Result<Self, CommandError> {
        check_name("API command", command)?;
        check("API arguments", arguments, 0..=MAX_API_BYTES, |c| !c.is_control() && c != '$')?;
        let blank = if arguments.is_empty() { "" } else { " " };
        Ok(Self::line(&format!("api {command}{blank}{arguments}")))
    }

    /// The bytes for the socket.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn line(text: &str) -> Self {
        Self(format!("{text}\n\n").into_bytes())
    }
}

/// Shows the length only: a command may carry the conversation.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

fn check_uuid(uuid: &str) -> Result<(), CommandError> {
    check("channel id", uuid, 1..=64, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn check_name(argument: &'static str, name: &str) -> Result<(), CommandError> {
    check(argument, name, 1..=MAX_NAME_BYTES, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn check(
    argument: &'static str,
    value: &str,
    length: std::ops::RangeInclusive<usize>,
    allowed: impl Fn(char) -> bool,
) -> Result<(), CommandError> {
    let problem = if value.len() < *length.start() {
        ArgumentProblem::Empty
    } else if value.len() > *length.end() {
        ArgumentProblem::TooLong(*length.end())
    } else if let Some(forbidden) = value.chars().find(|&c| !allowed(c)) {
        ArgumentProblem::Forbidden(forbidden)
    } else {
        return Ok(());
    };
    Err(CommandError { argument, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "f3df1d0f-f888-4ce7-ad97-a4fcd2b10ec4";

    fn text(command: &Command) -> &str {
        std::str::from_utf8(command.as_bytes()).expect("commands are UTF-8")
    }

    #[test]
    fn a_value_of_several_lines_travels_in_a_counted_body() {
        let command = Command::set("switch_m_sdp", "v=0\r\nü\r\n").expect("a valid value");
        let (head, body) = text(&command).split_once("\n\n").expect("a header block");
        assert_eq!(body, "switch_m_sdp=v=0\r\nü\r\n");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
    }

    #[test]
    fn a_line_break_in_any_argument_is_refused() {
        for evil in ["x\n\napi shutdown", "x\rapi", "x\0"] {
            assert!(Command::uuid_setvar(evil, "n", "v").is_err());
            assert!(Command::uuid_setvar(UUID, evil, "v").is_err());
            assert!(Command::uuid_setvar(UUID, "n", evil).is_err());
            assert!(Command::uuid_getvar(UUID, evil).is_err());
            assert!(Command::call_state(evil).is_err());
            assert!(Command::uuid_transfer(UUID, evil, "edge").is_err());
            assert!(Command::uuid_transfer(UUID, "1", evil).is_err());
            assert!(Command::uuid_kill(evil, HangupCause::NormalClearing).is_err());
            assert!(Command::uuid_send_dtmf(UUID, evil).is_err());
            assert!(Command::api(evil, "").is_err());
            assert!(Command::api("status", evil).is_err());
        }
        assert!(Command::set_local_sdp("v=0\0").is_err());
    }

    #[test]
    fn what_the_switch_would_expand_or_unquote_is_refused() {
        for evil in ["${system(reboot)}", "$${x}", "a'b", "a b", "a\\n", "a\"", "ä", "{a}"] {
            assert!(Command::uuid_setvar(UUID, "n", evil).is_err(), "{evil}");
        }
        assert!(Command::set_local_sdp("s=${system(reboot)}").is_err());
        assert!(Command::set_local_sdp("s=a\\nb").is_err());
        assert!(Command::api("expand", "echo ${x}").is_err());
    }

    #[test]
    fn base64_of_either_alphabet_passes_as_a_value() {
        let value = "AZaz09+/-_==";
        assert_eq!(
            text(&Command::uuid_setvar(UUID, "sofia_phone_state", value).expect("a valid value")),
            format!("api uuid_setvar {UUID} sofia_phone_state {value}\n\n")
        );
        assert_eq!(
            Command::uuid_setvar(UUID, "n", &"a".repeat(MAX_VARIABLE_BYTES + 1)),
            Err(CommandError { argument: "value", problem: ArgumentProblem::TooLong(MAX_VARIABLE_BYTES) })
        );
    }

    #[test]
    fn an_empty_value_removes_a_variable() {
        assert_eq!(text(&Command::uuid_setvar(UUID, "n", "").expect("valid")), format!("api uuid_setvar {UUID} n\n\n"));
    }

    #[test]
    fn a_transfer_destination_is_never_an_option_or_an_inline_dialplan() {
        for evil in ["-both", "", "9999 inline", "hangup:1", "a,b", "a'b", "sip:x@y;z=1", "*98"] {
            assert!(Command::uuid_transfer(UUID, evil, "edge").is_err(), "{evil}");
        }
        for good in ["+491234", "front.desk_2", "anna@example.com", "sip:anna@example.com:5060"] {
            let command = Command::uuid_transfer(UUID, good, "edge").expect("a destination");
            assert_eq!(text(&command), format!("api uuid_transfer {UUID} {good} XML edge\n\n"));
        }
    }

    #[test]
    fn dtmf_digits_are_digits() {
        assert!(Command::uuid_send_dtmf(UUID, "0123456789*#ABCDabcdwW").is_ok());
        assert!(Command::uuid_send_dtmf(UUID, "1 2").is_err());
        assert!(Command::uuid_send_dtmf(UUID, "1@500").is_err());
    }

    proptest! {
        #[test]
        fn no_argument_makes_a_second_command(a in any::<String>(), b in any::<String>(), c in any::<String>()) {
            let made = [
                Command::uuid_setvar(&a, &b, &c),
                Command::uuid_setvar(UUID, "n", &c),
                Command::uuid_getvar(UUID, &b),
                Command::uuid_transfer(UUID, &b, &c),
                Command::uuid_send_dtmf(UUID, &c),
                Command::api("status", &a),
                Command::api(&a, &b),
            ];
            for command in made.into_iter().flatten() {
                let text = text(&command);
                prop_assert!(text.ends_with("\n\n"));
                prop_assert!(!text[..text.len() - 2].contains(['\n', '\r', '\0']));
            }
        }

        #[test]
        fn a_body_is_never_longer_or_shorter_than_announced(sdp in "[^\0$\\\\]{1,200}") {
            let command = Command::set_local_sdp(&sdp).expect("no forbidden character");
            let (head, body) = text(&command).split_once("\n\n").expect("a header block");
            let length: usize = head.rsplit(": ").next().expect("last header").parse().expect("a number");
            prop_assert_eq!(length, body.len());
        }
    }
}
