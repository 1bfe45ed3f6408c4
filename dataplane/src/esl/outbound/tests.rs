use super::*;
use crate::esl::HangupCause;
use proptest::prelude::*;

const OK: &[u8] = b"Content-Type: command/reply\nReply-Text: +OK\n\n";
const CHANNEL: &str = "Event-Name: CHANNEL_DATA\nUnique-ID: leg-c\nvariable_sip_h_X-Call-UUID: leg-a\n\
                       variable_sip_h_X-Sofia-Token: s3cret\nContent-Type: command/reply\nReply-Text: %2BOK%0A\n\n";

fn event(name: &str, more: &str) -> Vec<u8> {
    let inner = format!("Event-Name: {name}\nUnique-ID: leg-c\n{more}\n");
    format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{inner}", inner.len()).into_bytes()
}

fn api_response(body: &str) -> Vec<u8> {
    format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len()).into_bytes()
}

fn events(session: &mut Outbound) -> Vec<OutboundEvent> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn sent(session: &mut Outbound) -> String {
    let bytes = std::iter::from_fn(|| session.poll_transmit()).flatten().collect();
    String::from_utf8(bytes).expect("commands are UTF-8")
}

/// A session with a call on offer, `connect` sent and everything else still to be sent.
fn offered(now: Instant) -> Outbound {
    let mut session = Outbound::new(OutboundSettings::default(), now);
    assert_eq!(sent(&mut session), "connect\n\n");
    session.handle_bytes(now, CHANNEL.as_bytes());
    assert!(matches!(events(&mut session).as_slice(), [OutboundEvent::Offered(_)]));
    session
}

/// A session with an answered call and no command outstanding.
fn answered(now: Instant) -> Outbound {
    let mut session = offered(now);
    session.answer(now, "v=0\r\n").expect("the call is on offer");
    sent(&mut session);
    session.handle_bytes(now, &OK.repeat(4));
    session.handle_bytes(now, &event("CHANNEL_ANSWER", ""));
    assert_eq!(events(&mut session), [OutboundEvent::Answered]);
    session
}

#[test]
fn an_answer_leaves_in_one_write_with_what_comes_before_it() {
    let now = Instant::now();
    let mut session = offered(now);
    session.answer(now, "v=0\r\n").expect("the call is on offer");
    let bytes = session.poll_transmit().expect("four commands");
    assert_eq!(session.poll_transmit(), None);
    assert_eq!(
        String::from_utf8(bytes).expect("UTF-8"),
        "linger 2\n\nmyevents plain\n\nsendmsg\ncall-command: execute\nexecute-app-name: set\nevent-lock: true\n\
         content-type: text/plain\ncontent-length: 18\n\nswitch_m_sdp=v=0\r\nsendmsg\ncall-command: execute\n\
         execute-app-name: answer\nevent-lock: true\n\n"
    );
}

#[test]
fn a_call_is_answered_once() {
    let now = Instant::now();
    let mut session = offered(now);
    session.answer(now, "v=0\r\n").expect("the call is on offer");
    assert_eq!(session.answer(now, "v=0\r\n"), Err(RequestError::WrongState(CommandKind::Answer)));
}

#[test]
fn the_right_token_opens_and_a_wrong_or_missing_one_closes() {
    let now = Instant::now();
    for (variable, secret, accepted) in
        [("sip_h_X-Sofia-Token", "s3cret", true), ("sip_h_X-Sofia-Token", "other", false), ("missing", "s3cret", false)]
    {
        let settings = OutboundSettings { token: Some(Token::new(variable, secret)), ..OutboundSettings::default() };
        let mut session = Outbound::new(settings, now);
        sent(&mut session);
        session.handle_bytes(now, CHANNEL.as_bytes());
        if accepted {
            assert!(matches!(events(&mut session).as_slice(), [OutboundEvent::Offered(_)]));
        } else {
            assert_eq!(events(&mut session), [OutboundEvent::Failed(EslError::WrongToken)]);
            assert!(session.is_closed());
            assert_eq!(session.poll_transmit(), None);
        }
    }
}

#[test]
fn a_channel_without_an_id_is_refused() {
    let now = Instant::now();
    let mut session = Outbound::new(OutboundSettings::default(), now);
    session.handle_bytes(now, b"Event-Name: CHANNEL_DATA\nContent-Type: command/reply\n\n");
    assert_eq!(events(&mut session), [OutboundEvent::Failed(EslError::MissingUniqueId)]);
}

#[test]
fn a_refused_connect_ends_the_session() {
    let now = Instant::now();
    let mut session = Outbound::new(OutboundSettings::default(), now);
    session.handle_bytes(now, b"Content-Type: command/reply\nReply-Text: -ERR no\n\n");
    let error = EslError::ConnectRefused { text: "-ERR no".to_owned() };
    assert_eq!(events(&mut session), [OutboundEvent::Failed(error)]);
}

#[test]
fn a_silent_switch_is_given_up_after_the_handshake_timeout() {
    let now = Instant::now();
    let mut session = Outbound::new(OutboundSettings::default(), now);
    let deadline = session.poll_timeout().expect("a handshake deadline");
    assert_eq!(deadline, now + Duration::from_secs(5));
    session.handle_timeout(deadline - Duration::from_millis(1));
    assert_eq!(events(&mut session), []);
    session.handle_timeout(deadline);
    assert_eq!(events(&mut session), [OutboundEvent::Failed(EslError::HandshakeTimeout)]);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_request_that_is_answered_late_fails_alone_and_its_reply_is_nobody_elses() {
    let now = Instant::now();
    let mut session = answered(now);
    assert_eq!(session.poll_timeout(), None);
    let late = session.get_leg_a_variable(now, "sofia_phone_state").expect("leg A is known");
    let second = now + Duration::from_secs(1);
    let next = session.api(second, "status", "").expect("a session is up");
    let deadline = session.poll_timeout().expect("a deadline");
    assert_eq!(deadline, now + Duration::from_secs(5));
    session.handle_timeout(deadline);
    session.handle_timeout(deadline);
    let [OutboundEvent::VariableRead { request, result: Err(_) }] = &events(&mut session)[..] else {
        panic!("the late request ends, once, and nothing else");
    };
    assert_eq!(*request, late);
    // The switch comes round: it answers both in turn, as if nothing had been.
    session.handle_bytes(deadline, &api_response("kept"));
    assert_eq!(events(&mut session), []);
    session.handle_bytes(deadline, &api_response("up"));
    assert_eq!(events(&mut session), [OutboundEvent::ApiResult { request: next, result: Ok("up".to_owned()) }]);
    assert_eq!(session.poll_timeout(), None);
    assert!(!session.is_closed());
}

#[test]
fn a_reply_that_is_lost_for_good_ends_the_session_and_its_requests() {
    let now = Instant::now();
    let mut session = answered(now);
    session.get_leg_a_variable(now, "sofia_phone_state").expect("leg A is known");
    session.handle_timeout(now + Duration::from_secs(5));
    events(&mut session);
    let later = now + Duration::from_secs(64);
    let waiting = session.api(later, "status", "").expect("a session is up");
    session.handle_timeout(now + Duration::from_secs(65));
    let [OutboundEvent::ApiResult { request, result: Err(_) }, failed] = &events(&mut session)[..] else {
        panic!("the request that waits ends, the one that was told is not told again");
    };
    assert_eq!(*request, waiting);
    assert_eq!(*failed, OutboundEvent::Failed(EslError::CommandTimeout { what: CommandKind::GetVariable }));
}

#[test]
fn without_a_reply_to_what_a_call_needs_there_is_no_call() {
    let now = Instant::now();
    let mut session = offered(now);
    session.answer(now, "v=0\r\n").expect("the call is on offer");
    session.handle_bytes(now, &OK.repeat(2));
    session.handle_timeout(session.poll_timeout().expect("a deadline"));
    let error = EslError::CommandTimeout { what: CommandKind::SetSdp };
    assert_eq!(events(&mut session), [OutboundEvent::Failed(error)]);
}

#[test]
fn an_answer_that_never_takes_effect_ends_the_session() {
    let now = Instant::now();
    let mut session = offered(now);
    session.answer(now, "v=0\r\n").expect("the call is on offer");
    session.handle_bytes(now, &OK.repeat(4));
    session.handle_timeout(session.poll_timeout().expect("a deadline for CHANNEL_ANSWER"));
    assert_eq!(events(&mut session), [OutboundEvent::Failed(EslError::AnswerTimeout)]);
}

#[test]
fn a_hang_up_that_never_takes_effect_ends_the_session() {
    let now = Instant::now();
    let mut session = answered(now);
    session.hang_up(now, HangupCause::NormalClearing).expect("a call is up");
    session.handle_bytes(now, OK);
    session.handle_timeout(session.poll_timeout().expect("a deadline for CHANNEL_HANGUP"));
    assert_eq!(events(&mut session), [OutboundEvent::Failed(EslError::HangUpTimeout)]);
}

#[test]
fn a_switch_that_forgets_to_close_after_the_hang_up_is_left() {
    let now = Instant::now();
    let mut session = answered(now);
    session.handle_bytes(now, &event("CHANNEL_HANGUP", "Hangup-Cause: NORMAL_CLEARING\n"));
    session.handle_timeout(session.poll_timeout().expect("a deadline for the disconnect"));
    let cause = "NORMAL_CLEARING".to_owned();
    assert_eq!(events(&mut session), [OutboundEvent::HungUp { cause }, OutboundEvent::Disconnected]);
}

#[test]
fn refused_commands_are_told() {
    let now = Instant::now();
    let mut session = offered(now);
    session.answer(now, "v=0\r\n").expect("the call is on offer");
    session.handle_bytes(now, &OK.repeat(3));
    session.handle_bytes(now, b"Content-Type: command/reply\nReply-Text: -ERR invalid\n\n");
    let text = "-ERR invalid".to_owned();
    assert_eq!(events(&mut session), [OutboundEvent::CommandFailed { what: CommandKind::Answer, text }]);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn replies_of_several_requests_come_back_to_each_in_order() {
    let now = Instant::now();
    let mut session = answered(now);
    let set = session.set_leg_a_variable(now, "sofia_phone_state", "abc").expect("leg A is known");
    let get = session.get_leg_a_variable(now, "sofia_phone_state").expect("leg A is known");
    let missing = session.get_leg_a_variable(now, "nonesuch").expect("leg A is known");
    let transfer = session.transfer(now, "9999", "edge").expect("leg A is known");
    assert_eq!(
        sent(&mut session),
        "api uuid_setvar leg-a sofia_phone_state abc\n\napi uuid_getvar leg-a sofia_phone_state\n\n\
         api uuid_getvar leg-a nonesuch\n\napi uuid_transfer leg-a 9999 XML edge\n\n"
    );
    session.handle_bytes(now, &api_response("+OK\n"));
    session.handle_bytes(now, &event("CHANNEL_STATE", ""));
    session.handle_bytes(now, &api_response("abc"));
    session.handle_bytes(now, &api_response("_undef_"));
    session.handle_bytes(now, &api_response("-ERR No such channel!\n"));
    assert_eq!(
        events(&mut session),
        [
            OutboundEvent::ApiResult { request: set, result: Ok("+OK".to_owned()) },
            OutboundEvent::VariableRead { request: get, result: Ok(Some("abc".to_owned())) },
            OutboundEvent::VariableRead { request: missing, result: Ok(None) },
            OutboundEvent::ApiResult { request: transfer, result: Err("-ERR No such channel!".to_owned()) },
        ]
    );
}

#[test]
fn an_api_call_that_is_not_permitted_is_answered_like_a_command() {
    let now = Instant::now();
    let mut session = answered(now);
    let request = session.api(now, "status", "").expect("a session is up");
    session.handle_bytes(now, b"Content-Type: command/reply\nReply-Text: -ERR permission denied\n\n");
    let result = Err("-ERR permission denied".to_owned());
    assert_eq!(events(&mut session), [OutboundEvent::ApiResult { request, result }]);
}

#[test]
fn a_reply_that_nobody_asked_for_ends_the_session() {
    let now = Instant::now();
    for (bytes, reply) in [(OK.to_vec(), "command/reply"), (api_response("x"), "api/response")] {
        let mut session = answered(now);
        session.handle_bytes(now, &bytes);
        let awaited = "none".to_owned();
        assert_eq!(events(&mut session), [OutboundEvent::Failed(EslError::UnexpectedReply { reply, awaited })]);
    }
    let mut session = offered(now);
    session.handle_bytes(now, &api_response("x"));
    let error = EslError::UnexpectedReply { reply: "api/response", awaited: "linger".to_owned() };
    assert_eq!(events(&mut session), [OutboundEvent::Failed(error)]);
}

#[test]
fn events_of_other_channels_are_ignored() {
    let now = Instant::now();
    let mut session = answered(now);
    let inner = "Event-Name: CHANNEL_HANGUP\nUnique-ID: leg-b\n\n";
    let message = format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{inner}", inner.len());
    session.handle_bytes(now, message.as_bytes());
    assert_eq!(events(&mut session), []);
}

#[test]
fn the_hang_up_is_told_once() {
    let now = Instant::now();
    let mut session = answered(now);
    session.handle_bytes(now, &event("CHANNEL_HANGUP", "Hangup-Cause: USER_BUSY\n"));
    session.handle_bytes(now, &event("CHANNEL_HANGUP_COMPLETE", "Hangup-Cause: USER_BUSY\n"));
    assert_eq!(events(&mut session), [OutboundEvent::HungUp { cause: "USER_BUSY".to_owned() }]);
    let refused = session.hang_up(now, HangupCause::NormalClearing);
    assert_eq!(refused, Err(RequestError::WrongState(CommandKind::HangUp)));
}

#[test]
fn leaving_does_not_hang_up() {
    let now = Instant::now();
    let mut session = answered(now);
    session.leave(now).expect("a session is up");
    assert_eq!(sent(&mut session), "exit\n\n");
    session.handle_bytes(now, b"Content-Type: command/reply\nReply-Text: +OK bye\n\n");
    session.handle_bytes(now, b"Content-Type: text/disconnect-notice\nContent-Disposition: disconnect\n\n");
    assert_eq!(events(&mut session), [OutboundEvent::Disconnected]);
    assert!(session.is_closed());
}

#[test]
fn a_closed_socket_ends_the_session_once() {
    let now = Instant::now();
    let mut session = answered(now);
    session.handle_disconnect();
    session.handle_disconnect();
    session.handle_bytes(now, OK);
    session.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(events(&mut session), [OutboundEvent::Disconnected]);
    assert_eq!(session.api(now, "status", ""), Err(RequestError::WrongState(CommandKind::Api)));
}

#[test]
fn leg_a_requests_need_leg_a() {
    let now = Instant::now();
    let mut session = Outbound::new(OutboundSettings::default(), now);
    assert_eq!(session.get_leg_a_variable(now, "x"), Err(RequestError::NoLegA));
    session.handle_bytes(now, b"Event-Name: CHANNEL_DATA\nUnique-ID: leg-c\nContent-Type: command/reply\n\n");
    assert_eq!(session.leg_a(), None);
    assert_eq!(session.transfer(now, "9999", "edge"), Err(RequestError::NoLegA));
}

#[test]
fn a_hostile_leg_a_id_never_reaches_the_wire() {
    let now = Instant::now();
    let mut session = Outbound::new(OutboundSettings::default(), now);
    let channel = CHANNEL.replace("leg-a", "x%0A%0Aapi%20shutdown");
    session.handle_bytes(now, channel.as_bytes());
    sent(&mut session);
    assert!(matches!(session.get_leg_a_variable(now, "x"), Err(RequestError::Argument(_))));
    assert_eq!(sent(&mut session), "");
}

#[test]
fn requests_beyond_the_bound_are_refused() {
    let now = Instant::now();
    let mut session = answered(now);
    let accepted = (0..1000).take_while(|_| session.api(now, "status", "").is_ok()).count();
    assert_eq!(accepted, OutboundSettings::default().max_outstanding);
    assert_eq!(session.api(now, "status", ""), Err(RequestError::QueueFull));
    // Results that nobody takes count too.
    session.handle_bytes(now, &api_response("x").repeat(10));
    assert_eq!(session.api(now, "status", ""), Err(RequestError::QueueFull));
    assert_eq!(events(&mut session).len(), 10);
    assert!(session.api(now, "status", "").is_ok());
}

#[test]
fn a_switch_that_repeats_itself_fills_no_queue() {
    let now = Instant::now();
    let mut session = answered(now);
    let linger = b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nLinger-Time: 2\n\n";
    for _ in 0..1000 {
        session.handle_bytes(now, linger);
        session.handle_bytes(now, &event("CHANNEL_ANSWER", ""));
        session.handle_bytes(now, &event("CHANNEL_HANGUP", ""));
    }
    assert!(session.events.len() <= 2, "{}", session.events.len());
}

proptest! {
    #[test]
    fn arbitrary_bytes_at_any_phase_never_panic_and_end_at_most_once(
        phase in 0..3,
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..10),
    ) {
        let now = Instant::now();
        let mut session = match phase {
            0 => Outbound::new(OutboundSettings::default(), now),
            1 => offered(now),
            _ => answered(now),
        };
        for chunk in &chunks {
            session.handle_bytes(now, chunk);
        }
        session.handle_disconnect();
        let ends = events(&mut session)
            .iter()
            .filter(|event| matches!(event, OutboundEvent::Disconnected | OutboundEvent::Failed(_)))
            .count();
        prop_assert_eq!(ends, 1);
    }

    #[test]
    fn valid_messages_in_any_order_never_panic(order in proptest::collection::vec(0usize..8, 0..40)) {
        let now = Instant::now();
        let messages = [
            OK.to_vec(),
            CHANNEL.as_bytes().to_vec(),
            api_response("x"),
            event("CHANNEL_ANSWER", ""),
            event("CHANNEL_HANGUP", "Hangup-Cause: NORMAL_CLEARING\n"),
            event("CHANNEL_HANGUP_COMPLETE", ""),
            b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nLinger-Time: 4000000000\n\n".to_vec(),
            b"Content-Type: command/reply\nReply-Text: -ERR x\n\n".to_vec(),
        ];
        let mut session = Outbound::new(OutboundSettings::default(), now);
        for index in order {
            session.handle_bytes(now, &messages[index]);
            while session.poll_event().is_some() {
                let _ = session.answer(now, "v=0\r\n");
                let _ = session.get_leg_a_variable(now, "x");
            }
            if let Some(at) = session.poll_timeout() {
                prop_assert!(at >= now && at <= now + Duration::from_secs(3600));
            }
        }
    }
}
