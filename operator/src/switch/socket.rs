//! FreeSWITCH's event socket as a client speaks it: the password, then commands one after the other, each with its answer. Over any stream;
//! whatever comes, it takes a bounded memory.

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use super::figures::{self, Figures};
use crate::secret_text::SecretText;

/// Most bytes of an answer's head, and of its body.
const HEAD_BYTES: u64 = 8 * 1024;
const BODY_BYTES: usize = 256 * 1024;

/// Why FreeSWITCH was not asked to the end.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The connection broke.
    #[error("the connection to the event socket broke: {0}")]
    Broken(#[from] std::io::Error),
    /// Something else than the event socket answered, or too much of it.
    #[error("expected {expected} from the event socket, got something else")]
    Unexpected {
        /// What was expected.
        expected: &'static str,
    },
    /// A command would have been several.
    #[error("expected a password and names of gateways of one line each, got a line's end in one")]
    NotOneLine,
    /// The password was refused.
    #[error("the event socket refused the password: FreeSWITCH runs with another configuration than there is now")]
    Refused,
}

/// Asks for everything that there is to know.
///
/// # Errors
/// When the stream breaks, or isn't an event socket that takes the password.
pub async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    password: &SecretText,
    gateways: &[String],
) -> Result<Figures, SocketError> {
    let mut stream = BufReader::new(stream);
    let greeting = head(&mut stream).await?;
    if greeting.content_type != "auth/request" {
        return Err(SocketError::Unexpected { expected: "auth/request" });
    }
    send(&mut stream, &format!("auth {}", password.expose())).await?;
    if !head(&mut stream).await?.reply.starts_with("+OK") {
        return Err(SocketError::Refused);
    }
    let channels = figures::channels(&answer(&mut stream, figures::CHANNELS).await?);
    let rate = figures::rate(&answer(&mut stream, figures::STATUS).await?);
    let mut known = Figures { channels, rate, ..Figures::default() };
    for name in gateways {
        let state = figures::gateway(&answer(&mut stream, &figures::gateway_command(name)).await?);
        known.gateways.insert(name.clone(), state);
    }
    Ok(known)
}

/// The lines before an answer's body.
#[derive(Default)]
struct Head {
    content_type: String,
    reply: String,
    length: usize,
}

/// One command. What would be several, with a line's end in it, is none: nothing but what is written here is ever asked of FreeSWITCH.
async fn send(stream: &mut (impl AsyncWrite + Unpin), command: &str) -> Result<(), SocketError> {
    if command.contains(|letter: char| letter.is_control()) {
        return Err(SocketError::NotOneLine);
    }
    stream.write_all(format!("{command}\n\n").as_bytes()).await?;
    Ok(stream.flush().await?)
}

async fn head(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Head, SocketError> {
    let mut limited = stream.take(HEAD_BYTES);
    let (mut head, mut line) = (Head::default(), Vec::new());
    loop {
        line.clear();
        limited.read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Err(SocketError::Unexpected { expected: "a head of at most 8 KiB" });
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            return Ok(head);
        }
        let (name, value) = text.split_once(": ").unwrap_or((text, ""));
        match name {
            "Content-Type" => value.clone_into(&mut head.content_type),
            "Reply-Text" => value.clone_into(&mut head.reply),
            "Content-Length" => {
                head.length =
                    value.parse().map_err(|_| SocketError::Unexpected { expected: "a number as Content-Length" })?;
            }
            _ => {}
        }
    }
}

async fn answer(stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin), command: &str) -> Result<String, SocketError> {
    send(stream, &format!("api {command}")).await?;
    let head = head(stream).await?;
    if head.content_type != "api/response" || head.length > BODY_BYTES {
        return Err(SocketError::Unexpected { expected: "api/response of at most 256 KiB" });
    }
    let mut body = vec![0; head.length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::switch::GatewayState;

    /// Answers each command, told to it without its blank line, and takes the password `hush`.
    async fn switch(stream: DuplexStream, say: impl Fn(&str) -> String) -> Vec<String> {
        let mut stream = BufReader::new(stream);
        let mut heard = Vec::new();
        stream.write_all(b"Content-Type: auth/request\n\n").await.expect("it listens");
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return heard;
            }
            let command = line.trim().to_owned();
            if command.is_empty() {
                continue;
            }
            let answer = match command.strip_prefix("auth ") {
                Some("hush") => "Content-Type: command/reply\nReply-Text: +OK accepted\n\n".to_owned(),
                Some(_) => "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n".to_owned(),
                None => say(&command),
            };
            heard.push(command);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return heard;
            }
        }
    }

    fn response(body: &str) -> String {
        format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len())
    }

    async fn asked(password: &str, say: impl Fn(&str) -> String) -> (Result<Figures, SocketError>, Vec<String>) {
        let (ours, theirs) = duplex(64 * 1024);
        let password = SecretText::new(password);
        let ask = async move { ask(ours, &password, &["carrier", "pbx"].map(str::to_owned)).await };
        tokio::join!(ask, switch(theirs, say))
    }

    #[tokio::test]
    async fn what_a_switch_says_is_gathered_over_one_connection() {
        let (figures, heard) = asked("hush", |command| match command {
            "api show channels count" => response("\n6 total.\n"),
            "api status" => response("0 session(s) per Sec out of max 1000, peak 4, last 5min 2 \n"),
            "api sofia xmlstatus gateway carrier" => response("<state>FAIL_WAIT</state><status>DOWN</status>"),
            _ => response("Invalid Gateway!\n"),
        })
        .await;
        let figures = figures.expect("it answers");
        assert_eq!(figures.channels, Some(6));
        assert_eq!(figures.rate.map(|rate| rate.limit), Some(1000));
        assert_eq!(figures.gateways["carrier"], GatewayState::Failed);
        assert_eq!(figures.gateways["pbx"], GatewayState::Unknown);
        assert_eq!(heard.len(), 5, "{heard:?}");
    }

    #[tokio::test]
    async fn a_password_that_is_refused_is_told_and_not_repeated() {
        let (refused, _) = asked("wrong-password", |_| String::new()).await;
        let told = refused.expect_err("it is refused");
        assert!(matches!(told, SocketError::Refused) && !told.to_string().contains("wrong-password"), "{told}");
    }

    #[tokio::test]
    async fn whatever_else_answers_is_refused_and_takes_no_memory() {
        for answer in [
            "Content-Type: api/response\nContent-Length: 999999999\n\n".to_owned(),
            "Content-Type: api/response\nContent-Length: -1\n\n".to_owned(),
            "Content-Type: text/event-plain\nContent-Length: 0\n\n".to_owned(),
            format!("X: {}\n\n", "x".repeat(9000)),
        ] {
            let (refused, _) = asked("hush", |_| answer.clone()).await;
            assert!(matches!(refused, Err(SocketError::Unexpected { .. })), "{refused:?}");
        }
        let (ours, mut theirs) = duplex(1024);
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("it listens");
        assert!(matches!(ask(ours, &SecretText::new("hush"), &[]).await, Err(SocketError::Unexpected { .. })));
        let (ours, theirs) = duplex(1024);
        drop(theirs);
        assert!(ask(ours, &SecretText::new("hush"), &[]).await.is_err());
    }

    #[tokio::test]
    async fn neither_a_name_nor_a_password_can_be_another_command() {
        for (password, name) in [("hush\n\napi system ls", "carrier"), ("hush", "carrier\n\napi system ls")] {
            let (ours, theirs) = duplex(64 * 1024);
            let (password, names) = (SecretText::new(password), [name.to_owned()]);
            let ask = async move { ask(ours, &password, &names).await };
            let (told, heard) = tokio::join!(ask, switch(theirs, |_| response("")));
            assert!(matches!(told, Err(SocketError::NotOneLine)), "{told:?}");
            assert!(heard.iter().all(|command| !command.contains("system")), "{heard:?}");
        }
    }
}
