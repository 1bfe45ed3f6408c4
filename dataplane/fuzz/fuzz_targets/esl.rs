//! Event-socket bytes, cut in two ways: neither may panic, both must give the same messages, and a session must take
//! them in any phase and end at most once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::esl::{EslError, EslMessage, Limits, Outbound, OutboundEvent, OutboundSettings, Parser};
use std::time::Instant;

/// Limits that a fuzzer's short inputs can reach.
const LIMITS: Limits = Limits { header_line: 200, header_block: 600, headers: 12, body: 500 };

fn parse<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<EslMessage>, Option<EslError>) {
    let mut parser = Parser::new(LIMITS);
    let mut messages = Vec::new();
    for chunk in chunks {
        parser.push(chunk);
        loop {
            match parser.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(parser.pending_bytes() <= LIMITS.header_block + LIMITS.body + 2, "an unfinished message is bounded");
    }
    (messages, None)
}

/// A driver that answers every offer and asks something after every event.
fn drive<'a>(chunks: impl Iterator<Item = &'a [u8]>) {
    let now = Instant::now();
    let mut session = Outbound::new(OutboundSettings { limits: LIMITS, ..OutboundSettings::default() }, now);
    let mut ends = 0;
    for chunk in chunks {
        session.handle_bytes(now, chunk);
        while let Some(event) = session.poll_event() {
            assert_eq!(ends, 0, "nothing follows the end: {event:?}");
            ends += usize::from(matches!(event, OutboundEvent::Disconnected | OutboundEvent::Failed(_)));
            let _ = session.answer(now, "v=0\r\n");
            let _ = session.get_leg_a_variable(now, "sofia_phone_state");
        }
        assert_eq!(session.is_closed(), ends == 1);
        let _ = session.poll_transmit();
    }
    while let Some(at) = session.poll_timeout() {
        session.handle_timeout(at);
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = parse(std::iter::once(bytes));
    let cut = parse(bytes.chunks(usize::from(size) + 1));
    // Which of several flaws is met first may depend on the cut; that there is one may not.
    assert_eq!(whole.0, cut.0);
    assert_eq!(whole.1.is_some(), cut.1.is_some());
    drive(bytes.chunks(usize::from(size) + 1));
});
