//! Who calls, as the switch has it. Where a number or a name would break a SIP header on the way to the pod, the dialplan puts another
//! one in its place and says so; then leg A is asked, over the event socket, which takes any text. Never shows either to anyone.

use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::esl::{ChannelData, OutboundEvent};

/// A switch that has not answered by then does not know: the call goes on without.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longer numbers and names are cut, in characters.
const LONGEST: usize = 512;

/// What leg A is asked for: the number, then the name, as the switch took them from the caller's INVITE.
const ASKED: [&str; 2] = ["caller_id_number", "caller_id_name"];

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Caller {
    /// The number or SIP user; empty where it is withheld.
    pub(super) number: String,
    /// The display name; empty where there is none.
    pub(super) name: String,
}

/// The connection broke, or the channel ended, while leg A was asked.
pub(super) struct Gone;

impl Caller {
    /// As the channel's data has it, or as leg A has it where these are not the caller's own.
    pub(super) async fn of(data: &ChannelData, connection: &mut Connection) -> Result<Self, Gone> {
        let shown = Self::new(data.caller_number(), data.caller_name());
        if !data.caller_was_replaced() {
            return Ok(shown);
        }
        let now = Instant::now();
        let requests = ASKED.map(|name| connection.outbound.get_leg_a_variable(now, name).ok());
        let mut answers = [None, None];
        let asking = async {
            for (request, answer) in requests.into_iter().zip(&mut answers) {
                let Some(request) = request else { continue };
                *answer = loop {
                    match connection.next().await {
                        OutboundEvent::VariableRead { request: read, result } if read == request => {
                            break result.ok().flatten();
                        }
                        OutboundEvent::HungUp { .. } | OutboundEvent::Disconnected | OutboundEvent::Failed(_) => {
                            return Err(Gone);
                        }
                        _ => {}
                    }
                };
            }
            Ok(())
        };
        if let Ok(asked) = tokio::time::timeout(PATIENCE, asking).await {
            asked?;
        }
        let [number, name] = answers;
        Ok(Self::new(&number.unwrap_or(shown.number), &name.unwrap_or(shown.name)))
    }

    fn new(number: &str, name: &str) -> Self {
        let name = unquoted(name);
        // The switch gives a caller without a name the number for one.
        let name = if name == number { String::new() } else { cut(&name) };
        Self { number: cut(number), name }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// A display name without the backslashes of its quoted form (RFC 3261 §25.1, `quoted-pair`), which the switch leaves in it.
fn unquoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_what_was_quoted() {
        for (quoted, name) in [
            ("Ann", "Ann"),
            (r#"A \"quoted\" name"#, r#"A "quoted" name"#),
            (r"back\\slash", r"back\slash"),
            (r"at the end\", r"at the end\"),
            ("line\nfeed", "line\nfeed"),
            ("Jürgen 日本", "Jürgen 日本"),
        ] {
            assert_eq!(Caller::new("1", quoted).name, name);
        }
    }

    #[test]
    fn a_number_in_a_names_place_is_no_name() {
        assert_eq!(
            Caller::new("+15550001", "+15550001"),
            Caller { number: "+15550001".to_owned(), name: String::new() }
        );
        assert_eq!(Caller::new("", ""), Caller::default());
    }

    proptest! {
        #[test]
        fn whatever_a_caller_is_called_is_bounded(number in any::<String>(), name in ".{0,2000}") {
            let caller = Caller::new(&number, &name);
            prop_assert!(caller.number.chars().count() <= LONGEST && caller.name.chars().count() <= LONGEST);
        }
    }
}
