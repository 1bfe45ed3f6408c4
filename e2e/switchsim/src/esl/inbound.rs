//! One connection to the inbound event socket, seen from FreeSWITCH: a password, then `api` commands. Sans-IO; sends no events,
//! since nothing here listens for them.

use super::command::{Command, CommandParser, ProtocolError};
use super::session::{Api, GOODBYE, api_response};

/// The connection's state.
#[derive(Debug)]
pub(crate) struct InboundSession {
    parser: CommandParser,
    password: String,
    authenticated: bool,
    closed: bool,
    output: Vec<u8>,
}

impl InboundSession {
    /// A connection that was just accepted: its first output asks for the password.
    pub(crate) fn new(password: &str) -> Self {
        Self {
            parser: CommandParser::default(),
            password: password.to_owned(),
            authenticated: false,
            closed: false,
            output: b"Content-Type: auth/request\n\n".to_vec(),
        }
    }

    /// What a peer is told whom no access list lets in.
    pub(crate) fn rejection() -> Vec<u8> {
        const TEXT: &str = "Access Denied, go away.\n";
        format!("Content-Type: text/rude-rejection\nContent-Length: {}\n\n{TEXT}", TEXT.len()).into_bytes()
    }

    /// Takes bytes from the peer.
    ///
    /// # Errors
    /// The stream cannot be read any further; the connection is to be closed.
    pub(crate) fn input(&mut self, bytes: &[u8], api: &mut dyn Api) -> Result<(), ProtocolError> {
        self.parser.push(bytes);
        while !self.closed {
            let Some(command) = self.parser.next()? else { break };
            self.command(&command, api);
        }
        Ok(())
    }

    /// What is to be written to the peer.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the connection is to be closed once everything is written.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the password was given.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    fn reply(&mut self, text: &str) {
        self.output.extend_from_slice(format!("Content-Type: command/reply\nReply-Text: {text}\n\n").as_bytes());
    }

    fn close(&mut self) {
        let notice = format!("Content-Type: text/disconnect-notice\nContent-Length: {}\n\n{GOODBYE}", GOODBYE.len());
        self.output.extend_from_slice(notice.as_bytes());
        self.closed = true;
    }

    fn command(&mut self, command: &Command, api: &mut dyn Api) {
        let (verb, rest) = command.line.split_once(char::is_whitespace).unwrap_or((&command.line, ""));
        match verb {
            "exit" => {
                self.reply("+OK bye");
                self.close();
            }
            "auth" if rest == self.password => {
                self.authenticated = true;
                self.reply("+OK accepted");
            }
            "auth" => {
                self.reply("-ERR invalid");
                self.close();
            }
            "api" if self.authenticated => {
                let body = api_response(rest.trim(), api);
                let message = format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len());
                self.output.extend_from_slice(message.as_bytes());
            }
            "event" | "myevents" | "noevents" | "log" | "nolog" | "linger" | "nolinger" if self.authenticated => {
                self.reply("-ERR switchsim's event socket takes commands only");
            }
            _ => self.reply("-ERR command not found"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::ApiResult;
    use super::*;

    struct Echo;

    impl Api for Echo {
        fn call(&mut self, name: &str, arguments: &str) -> ApiResult {
            if name == "echo" { ApiResult::Body(arguments.to_owned()) } else { ApiResult::NotFound }
        }
    }

    fn said(session: &mut InboundSession, bytes: &str) -> String {
        session.input(bytes.as_bytes(), &mut Echo).unwrap();
        String::from_utf8(session.take_output()).unwrap()
    }

    #[test]
    fn nothing_is_done_before_the_password() {
        let mut session = InboundSession::new("secret");
        assert_eq!(said(&mut session, ""), "Content-Type: auth/request\n\n");
        assert!(said(&mut session, "api echo hello\n\n").contains("-ERR command not found"));
        assert!(said(&mut session, "auth secret\n\n").contains("Reply-Text: +OK accepted"));
        let echoed = said(&mut session, "api echo hello\n\n");
        assert_eq!(echoed, "Content-Type: api/response\nContent-Length: 5\n\nhello");
        assert!(said(&mut session, "api nonsense\n\n").ends_with("-ERR nonsense Command not found!\n"));
        assert!(!session.is_closed());
    }

    #[test]
    fn a_wrong_password_ends_the_connection() {
        for wrong in ["auth\n\n", "auth secre\n\n", "auth secret2\n\n"] {
            let mut session = InboundSession::new("secret");
            let answer = said(&mut session, &format!("{wrong}auth secret\n\n"));
            assert!(answer.contains("Reply-Text: -ERR invalid") && !answer.contains("accepted"), "{answer}");
            assert!(answer.ends_with(GOODBYE) && session.is_closed() && !session.is_authenticated());
        }
    }

    #[test]
    fn exit_says_goodbye() {
        let mut session = InboundSession::new("secret");
        let answer = said(&mut session, "auth secret\n\nexit\n\napi echo late\n\n");
        assert!(answer.contains("+OK bye") && answer.ends_with(GOODBYE) && session.is_closed());
    }
}
