use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn all(parser: &mut Parser) -> Result<Vec<EslMessage>, EslError> {
    let mut messages = Vec::new();
    while let Some(message) = parser.next_message()? {
        messages.push(message);
    }
    Ok(messages)
}

fn parse(bytes: &[u8]) -> Result<Vec<EslMessage>, EslError> {
    let mut parser = Parser::default();
    parser.push(bytes);
    all(&mut parser)
}

fn reply(ok: bool, text: &str) -> EslMessage {
    EslMessage::CommandReply(CommandReply { ok, text: text.to_owned() })
}

#[test]
fn replies_are_told_from_refusals() {
    let messages = parse(
        b"Content-Type: command/reply\nReply-Text: +OK bye\n\nContent-Type: command/reply\nReply-Text: -ERR no\n\n",
    );
    assert_eq!(messages, Ok(vec![reply(true, "+OK bye"), reply(false, "-ERR no")]));
}

#[test]
fn the_reply_to_connect_is_the_channels_data_decoded() {
    let messages = parse(
        b"Event-Name: CHANNEL_DATA\nUnique-ID: c\nCaller-Caller-ID-Number: %2B1555\nContent-Type: command/reply\n\
          Reply-Text: %2BOK%0A\n\n",
    )
    .expect("valid");
    let [EslMessage::ChannelData(data)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((data.unique_id(), data.caller_number()), (Some("c"), "+1555"));
    assert_eq!(data.headers().get("reply-text"), Some("+OK\n"));
}

#[test]
fn headers_of_other_messages_are_not_decoded() {
    assert_eq!(parse(b"Content-Type: command/reply\nReply-Text: 100%25\n\n"), Ok(vec![reply(true, "100%25")]));
}

#[test]
fn an_event_may_have_a_body_of_its_own() {
    let inner = "Event-Name: MESSAGE\nFrom: a%20b\nContent-Length: 5\n\nhello and more";
    let outer = format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{inner}", inner.len());
    let messages = parse(outer.as_bytes()).expect("valid");
    let [EslMessage::Event(event)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((event.name.as_str(), event.body.as_deref()), ("MESSAGE", Some("hello")));
    assert_eq!(event.headers.get("From"), Some("a b"));
}

#[test]
fn an_odd_line_inside_an_event_does_not_end_the_call() {
    let inner = "Event-Name: CUSTOM\nno colon\n: no name\nX: y\n\n";
    let outer = format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{inner}", inner.len());
    let messages = parse(outer.as_bytes()).expect("valid");
    let [EslMessage::Event(event)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((event.headers.len(), event.headers.get("X")), (2, Some("y")));
}

#[test]
fn disconnect_notices_say_whether_the_socket_lingers() {
    let linger =
        b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nLinger-Time: 2\nContent-Length: 0\n\n";
    let notice = |linger| Ok(vec![EslMessage::Disconnect(DisconnectNotice { linger })]);
    assert_eq!(parse(linger), notice(Some(Duration::from_secs(2))));
    let now = b"Content-Type: text/disconnect-notice\nContent-Disposition: disconnect\nContent-Length: 4\n\nbye\n";
    assert_eq!(parse(now), notice(None));
}

#[test]
fn unknown_content_types_pass_with_their_bodies() {
    let messages = parse(b"Content-Type: log/data\nContent-Length: 3\n\nabcContent-Type: command/reply\n\n");
    assert_eq!(messages, Ok(vec![EslMessage::Other { content_type: "log/data".to_owned() }, reply(true, "")]));
}

#[test]
fn blank_lines_between_messages_and_carriage_returns_are_tolerated() {
    let message = b"\n\r\n\nContent-Type: command/reply\r\nReply-Text: +OK\r\n\r\n\n";
    assert_eq!(parse(message), Ok(vec![reply(true, "+OK")]));
}

#[test]
fn a_line_without_end_is_cut_off_at_the_limit() {
    let limit = Limits::default().header_line;
    let mut parser = Parser::default();
    parser.push(b"X: ");
    for sent in (0..1 << 20).step_by(1000) {
        parser.push(&[b'a'; 1000]);
        match parser.next_message() {
            Ok(message) => assert!(message.is_none() && parser.pending_bytes() <= limit),
            Err(error) => {
                assert_eq!(error, EslError::HeaderLineTooLong { limit });
                assert!(sent <= limit);
                return;
            }
        }
    }
    panic!("1 MB in one header was accepted");
}

#[test]
fn ten_thousand_headers_are_too_many() {
    let block: String = (0..10_000).map(|i| format!("h{i}: v\n")).collect();
    assert_eq!(parse(block.as_bytes()), Err(EslError::TooManyHeaders { limit: 1024 }));
}

#[test]
fn ten_thousand_headers_inside_an_event_are_too_many() {
    let inner: String = (0..10_000).map(|i| format!("h{i}: v\n")).collect();
    let outer = format!("Content-Type: text/event-plain\nContent-Length: {}\n\n{inner}", inner.len());
    assert_eq!(parse(outer.as_bytes()), Err(EslError::TooManyHeaders { limit: 1024 }));
}

#[test]
fn a_large_block_of_allowed_lines_is_cut_off() {
    let limit = Limits::default().header_block;
    let line = format!("h: {}\n", "v".repeat(50_000));
    assert_eq!(parse(line.repeat(30).as_bytes()), Err(EslError::HeaderBlockTooLong { limit }));
}

#[test]
fn ten_gigabytes_are_refused_before_they_come() {
    let error = parse(b"Content-Type: text/event-plain\nContent-Length: 10000000000\n");
    assert_eq!(error, Err(EslError::BodyTooLong { length: 10_000_000_000, limit: 1 << 20 }));
}

#[test]
fn a_content_length_must_be_one_plain_number() {
    for value in ["-1", "+1", "1 2", "0x10", "", "1.5", "99999999999999999999999999", "１"] {
        let error = parse(format!("Content-Type: api/response\nContent-Length: {value}\n\n").as_bytes());
        assert!(matches!(error, Err(EslError::InvalidContentLength { .. })), "{value}: {error:?}");
    }
    let twice = parse(b"Content-Length: 1\ncontent-length: 1\n\n");
    assert_eq!(twice, Err(EslError::DuplicateContentLength));
}

#[test]
fn what_is_not_the_protocol_is_refused_with_an_excerpt() {
    let error = parse(b"GET / HTTP/1.1\r\nHost: pod\r\n\r\n");
    assert_eq!(error, Err(EslError::MalformedHeader { line: "GET / HTTP/1.1\\r".to_owned() }));
    assert_eq!(parse(b"Host: pod\n\n"), Err(EslError::MissingContentType));
    assert_eq!(parse(b"\x16\x03\x01\0\xee"), Err(EslError::NulInHeader));
    assert_eq!(parse(&[0xff; 3]), Ok(vec![]));
    assert!(matches!(parse(&[0xff, b'\n']), Err(EslError::MalformedHeader { .. })));
}

#[test]
fn a_broken_stream_stays_broken() {
    let mut parser = Parser::default();
    parser.push(b"\0");
    assert_eq!(parser.next_message(), Err(EslError::NulInHeader));
    parser.push(b"Content-Type: command/reply\n\n");
    assert_eq!(parser.next_message(), Err(EslError::NulInHeader));
    assert_eq!(parser.pending_bytes(), 0);
}

#[test]
fn a_state_variable_of_16_kib_passes_percent_encoded() {
    let state = "+/=A".repeat(4096);
    let encoded: String = state.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let message = format!(
        "Event-Name: CHANNEL_DATA\nContent-Type: command/reply\nUnique-ID: c\nvariable_sofia_phone_state: {encoded}\n\n"
    );
    let messages = parse(message.as_bytes()).expect("within the limits");
    let [EslMessage::ChannelData(data)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(data.variable("sofia_phone_state"), Some(state.as_str()));
}

#[test]
fn an_idle_parser_gives_its_memory_back() {
    let mut parser = Parser::default();
    let body = "x".repeat(500_000);
    parser.push(format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len()).as_bytes());
    assert_eq!(all(&mut parser).map(|messages| messages.len()), Ok(1));
    assert!(parser.buffer.capacity() <= IDLE_CAPACITY);
}

/// A stream of valid messages, to be cut anywhere.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let text = "[ -~]{0,40}";
    let reply = text.prop_map(|text| format!("Content-Type: command/reply\nReply-Text: {text}\n\n"));
    let api = "[ -~\n]{0,200}"
        .prop_map(|body| format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len()));
    let event = proptest::collection::vec(("[A-Za-z-]{1,20}", text), 0..30).prop_map(|fields| {
        let inner: String =
            fields.iter().map(|(name, value)| format!("X-{name}: {value}\n")).collect::<String>() + "\n";
        format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{inner}", inner.len())
    });
    proptest::collection::vec(prop_oneof![reply, api, event], 0..8).prop_map(|parts| parts.concat().into_bytes())
}

fn parse_in_chunks(bytes: &[u8], sizes: &[usize]) -> (Vec<EslMessage>, Option<EslError>) {
    let mut parser = Parser::default();
    let mut messages = Vec::new();
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        let (chunk, after) = rest.split_at(size.clamp(1, rest.len().max(1)).min(rest.len()));
        rest = after;
        parser.push(chunk);
        loop {
            match parser.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (messages, None)
}

proptest! {
    #[test]
    fn any_cutting_of_a_stream_gives_the_same_messages(
        bytes in stream(),
        sizes in proptest::collection::vec(1usize..300, 1..20),
    ) {
        let whole = parse_in_chunks(&bytes, &[usize::MAX]);
        prop_assert_eq!(&whole.1, &None);
        prop_assert_eq!(&parse_in_chunks(&bytes, &sizes), &whole);
        prop_assert_eq!(&parse_in_chunks(&bytes, &[1]), &whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_cutting_changes_nothing(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b':'), Just(b'a')], 0..600),
        sizes in proptest::collection::vec(1usize..50, 1..20),
    ) {
        let whole = parse_in_chunks(&bytes, &[usize::MAX]);
        let cut = parse_in_chunks(&bytes, &sizes);
        // Which limit or flaw is met first may depend on the cut; that there is one, and what came before, may not.
        prop_assert_eq!(&cut.0, &whole.0);
        prop_assert_eq!(cut.1.is_some(), whole.1.is_some());
    }

    #[test]
    fn damaged_streams_never_panic(bytes in stream(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = bytes;
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let _ = parse_in_chunks(&bytes, &[7, 64]);
    }
}
