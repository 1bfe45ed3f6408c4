//! What becomes of a call.
//!
//! - `edge` is where calls from outside arrive. It is the only context that a caller reaches.
//! - `edge-after` is where the caller's leg goes on when a pod's leg has ended. No profile and no number leads there, so
//!   nobody can dial into the middle of it.
//! - `agent` is the pod's leg.
//! - `transfer` is where a pod sends a caller (`uuid_transfer`). Nothing else leads there: it is the way to calls that cost.
//!
//! What a caller says (dialled number, names, SIP headers) is in no action's data before it was held against [`DIALLED`].
//! FreeSWITCH expands values of variables again, so nothing of the caller's is ever put into one.

use super::error::RenderError;
use super::xml::Element;
use super::{
    AFTER_CONTEXT, AGENT_CONTEXT, AGENT_SIP_PORT, ATTEMPTS, DRAINING_VARIABLE, EDGE_CONTEXT, LOOPBACK, SwitchConfig,
    TAKEOVER_ATTEMPTS, callers, check, transfers,
};

/// What a dialled number may consist of: digits, letters and marks that mean nothing in a dial string. `\z` and not `$`, which
/// in PCRE holds before a last line end too.
const DIALLED: &str = r"^[0-9A-Za-z+*#._-]{1,64}\z";
/// Hosts in one attempt: each is looked up and balanced anew, so each try may be another pod.
const HOSTS_PER_ATTEMPT: usize = 3;
/// So many more for a caller who was talking, among all pods. Most of them may be going away; that is known at once, by a closed port.
const TAKEOVER_HOSTS: usize = 6;
/// Without RTP for so long, a pod is taken for lost. Pods send a packet every 20 ms whatever happens.
const MEDIA_TIMEOUT_MS: u32 = 1000;
/// A pod that takes the connection and does not answer within this time is left.
const LEG_TIMEOUT_SECONDS: u32 = 3;
/// The same from the second attempt on: the caller may wait in silence then, and the pod that hangs may still be behind the
/// Service, where it is met again. FreeSWITCH counts whole seconds; a pod answers within milliseconds.
pub(super) const NEXT_LEG_TIMEOUT_SECONDS: u32 = 1;
/// Variable of leg A: whether a pod has answered this caller.
pub(super) const ANSWERED: &str = "sofia_phone_answered";
/// Variable of leg A: whether a pod that had answered was lost.
pub(super) const LOST: &str = "sofia_phone_lost";
/// Variable of leg A: attempts before those that are counted now.
pub(super) const EARLIER: &str = "sofia_phone_earlier";
/// Variable of leg A that a pod sets when it hands the call over.
const HANDED_OVER: &str = "sofia_phone_handed_over";
/// Variable of leg A: what was said, for the next pod and for nobody else.
pub(super) const STATE: &str = "sofia_phone_state";
/// Variable of leg A: an `x` for each time that FreeSWITCH had no session left for another leg, since a pod last had the call.
const THROTTLED: &str = "sofia_phone_throttled";
/// Variable of leg A: milliseconds before another try.
const WAIT: &str = "sofia_phone_wait";
/// Three digits of the call's own id, as good as drawn by lot.
const FIRST_DIGITS: &str = r"^\D*(\d)\D*(\d)\D*(\d)";
/// Three others.
const LAST_DIGITS: &str = r"(\d)\D*(\d)\D*(\d)\D*$";
/// When a refused caller's switch may try again.
const RETRY_AFTER_SECONDS: u32 = 30;

pub(super) fn contexts(config: &SwitchConfig<'_>) -> Result<[Element; 4], RenderError> {
    check::word("the ESL token", config.esl_token.expose())?;
    Ok([edge(config)?, after(config), agent(config)?, transfers::context(config)?])
}

fn edge(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let mut call = Element::named("extension", "call").child(dialled(DIALLED));
    let mut chosen = Element::new("condition");
    if let Some(pattern) = numbers(config)? {
        chosen = dialled(pattern);
    }
    chosen = action(chosen, "set", "sofia_phone_dialed=${destination_number}");
    chosen = action(chosen, "set", "continue_on_fail=true");
    chosen = action(chosen, "set", "hangup_after_bridge=false");
    // Else the caller's own X- headers would go along, to the pod and to a carrier.
    chosen = action(chosen, "set", "sip_copy_custom_headers=false");
    chosen = action(chosen, "set", format!("{ANSWERED}=false"));
    chosen = action(chosen, "set", format!("{LOST}=false"));
    chosen = action(chosen, "set", format!("{EARLIER}=0"));
    call = call.child(attempt(chosen, 1, LEG_TIMEOUT_SECONDS, config));
    let unknown = refusal(dialled(DIALLED), "404", "UNALLOCATED_NUMBER");
    let malformed = refusal(Element::new("condition"), "484", "INVALID_NUMBER_FORMAT");
    let draining = variable(DRAINING_VARIABLE, "^true$");
    Ok(context(EDGE_CONTEXT)
        .comment("set by what ends this FreeSWITCH: no new calls, those that are up go on")
        .child(Element::named("extension", "draining").child(later(draining)))
        .comment("what the pod is offered: the caller's own codec where pods speak it, else all of theirs, best first")
        .comment("numbers and names that would break a SIP header on the way to the pod, which asks for them elsewhere")
        .children(callers::extensions(config)?)
        .comment(
            "whatever the numbers are, no comma or bracket is let through: what is dialled ends up in a dial string",
        )
        .child(call)
        .child(Element::named("extension", "no-such-number").child(unknown))
        .child(Element::named("extension", "no-number").child(malformed)))
}

/// The numbers that are taken as one expression; `None` for all. The echo number is one of them whether it is listed or not.
fn numbers(config: &SwitchConfig<'_>) -> Result<Option<String>, RenderError> {
    check::echo_number("spec.echoNumber", config.echo_number)?;
    for (at, pattern) in config.numbers.iter().enumerate() {
        check::number_pattern(&format!("spec.numbers[{at}]"), pattern)?;
    }
    if config.numbers.is_empty() {
        return Ok(None);
    }
    let mut alternatives: Vec<String> = config.numbers.iter().map(|pattern| format!("(?:{pattern})")).collect();
    if !config.echo_number.is_empty() {
        alternatives.push(config.echo_number.replace('+', r"\+").replace('*', r"\*"));
    }
    Ok(Some(format!("^(?:{})$", alternatives.join("|"))))
}

fn after(config: &SwitchConfig<'_>) -> Element {
    let was_answered = variable("bridge_hangup_cause", "^[A-Z]")
        .child(at_once(format!("{ANSWERED}=true")))
        .child(at_once(format!("{THROTTLED}=")));
    let mut context = context(AFTER_CONTEXT)
        .child(Element::named("extension", "answered").with("continue", true).child(was_answered))
        .comment("on purpose: by the pod or by the caller")
        .child(
            Element::named("extension", "over").child(
                action(dialled(r"^ended-\d-(NORMAL_CLEARING|ORIGINATOR_CANCEL)$"), "unset", STATE)
                    .child(Element::new("action").with("application", "hangup")),
            ),
        )
        .comment("digits of the call's own id: callers who lost their pod in the same moment don't come back in the same moment")
        .children(waits())
        .comment("no pod refused: FreeSWITCH had no session left of this second, for leg B or for leg C")
        .child(throttled(config))
        .comment("refused by a pod, for good; a caller who was talking already may fare better with another pod")
        .child(refused("too-many-calls", "CALL_REJECTED", "486", "USER_BUSY"))
        .child(refused("no-common-codec", "INCOMPATIBLE_DESTINATION", "488", "INCOMPATIBLE_DESTINATION"))
        .comment("a caller who was talking, and whom no pod took: who comes back later may find one")
        .child(Element::named("extension", "pause").with("continue", true).child(action(
            variables([ANSWERED, "originate_failed_cause"], "^true/[A-Z]"),
            "sleep",
            format!("${{{WAIT}}}"),
        )))
        .comment("handed over by a pod that is drained: that is no failure, so attempts are counted anew")
        .child(Element::named("extension", "handed-over").child(attempt(
            handed_over(),
            1,
            NEXT_LEG_TIMEOUT_SECONDS,
            config,
        )))
        .comment("a transfer that failed: the caller is back with the agent, who is told why")
        .child(transfers::returned(config))
        .comment("lost for the first time: pods that refused the call before it was answered don't count")
        .child(first_loss(config))
        .comment("a pod was lost, or none answered, while the caller is still here: the next one takes over");
    for number in 2..=TAKEOVER_ATTEMPTS {
        let again = again(dialled(format!("^ended-{}-", number - 1)));
        let mut extension = Element::named("extension", format!("attempt-{number}"));
        if number > ATTEMPTS {
            extension = extension.child(variable(ANSWERED, "^true$"));
        }
        context = context.child(extension.child(attempt(again, number, NEXT_LEG_TIMEOUT_SECONDS, config)));
    }
    context
        .comment("nobody is left: the caller's own switch may try again later")
        .child(Element::named("extension", "full").child(later(dialled("^ended-"))))
}

/// What a pod that hands a call over leaves on leg A: how many legs the call has had.
fn handed_over() -> Element {
    let condition = action(variable(HANDED_OVER, r"^\d{1,9}$"), "set", format!("{EARLIER}=${{{HANDED_OVER}}}"));
    let condition = action(condition, "set", format!("{LOST}=true"));
    again(action(condition, "unset", HANDED_OVER))
}

/// How long this caller waits before another try: less than a second at first, one to two from the third try on and for those to
/// whom it only rings.
fn waits() -> [Element; 4] {
    let wait = |name: &str, digits: &str, value: &str| {
        let condition = variable("uuid", digits).child(at_once(format!("{WAIT}={value}")));
        (Element::named("extension", name.to_owned()).with("continue", true), condition)
    };
    let tries = |expression: &str| variables([ANSWERED, THROTTLED], expression.to_owned());
    let (first, condition) = wait("wait", FIRST_DIGITS, "$1$2$3");
    let unlucky = Element::new("anti-action").with("application", "set").with("data", format!("{WAIT}=500"));
    let first = first.child(condition.child(unlucky.with("inline", true)));
    let later = [
        ("wait-again", "^true/x$", LAST_DIGITS, "$1$2$3"),
        ("wait-long", "^true/(xx)+$|^false/$", FIRST_DIGITS, "1$1$2$3"),
        ("wait-long-again", "^true/x(xx)+$|^false/x$", LAST_DIGITS, "1$1$2$3"),
    ];
    let [second, third, fourth] = later.map(|(name, expression, digits, value)| {
        let (extension, condition) = wait(name, digits, value);
        extension.child(tries(expression)).child(condition)
    });
    [first, second, third, fourth]
}

/// The same attempt again: ten times for a caller who was talking, twice for others.
fn throttled(config: &SwitchConfig<'_>) -> Element {
    let condition = action(dialled("^ended-(\\d)-"), "set", format!("{THROTTLED}=${{{THROTTLED}}}x"));
    let condition = action(again(condition), "sleep", format!("${{{WAIT}}}"));
    Element::named("extension", "throttled")
        .child(variables(
            ["originate_failed_cause", "sip_invite_failure_phrase"],
            "^DESTINATION_OUT_OF_ORDER/|/Maximum Calls In Progress$",
        ))
        .child(variables([ANSWERED, THROTTLED], "^true/x{0,9}$|^false/x?$"))
        .child(attempt(condition, "$1", NEXT_LEG_TIMEOUT_SECONDS, config))
}

fn first_loss(config: &SwitchConfig<'_>) -> Element {
    let condition = action(dialled(r"^ended-(\d)-"), "set", format!("{EARLIER}=$1"));
    let condition = again(action(condition, "set", format!("{LOST}=true")));
    Element::named("extension", "first-loss")
        .child(variable(ANSWERED, "^true$"))
        .child(variable(LOST, "^false$"))
        .child(attempt(condition, 1, NEXT_LEG_TIMEOUT_SECONDS, config))
}

/// Before another bridge: what the last one left must not be taken for its end.
pub(super) fn again(condition: Element) -> Element {
    ["originate_failed_cause", "bridge_hangup_cause", "sip_invite_failure_phrase"]
        .into_iter()
        .fold(condition, |condition, name| action(condition, "unset", name))
}

fn refused(name: &'static str, cause: &'static str, status: &'static str, hangup: &'static str) -> Element {
    let unanswered = variable(ANSWERED, "^false$");
    Element::named("extension", name)
        .child(dialled(format!("^ended-\\d-{cause}$")))
        .child(refusal(unanswered, status, hangup))
}

/// A bridge to a pod, and where the caller's leg goes on. At most one of the two causes is set then: the first by a bridge that
/// failed, the second by one that ended.
fn attempt(condition: Element, number: impl ToString, leg_timeout: u32, config: &SwitchConfig<'_>) -> Element {
    attempt_telling(condition, number, leg_timeout, None, config)
}

/// The same with a header beside those that every pod gets: `sip_h_…=…`.
pub(super) fn attempt_telling(
    condition: Element,
    number: impl ToString,
    leg_timeout: u32,
    told: Option<String>,
    config: &SwitchConfig<'_>,
) -> Element {
    let number = number.to_string();
    let mut variables = vec![
        format!("media_timeout={MEDIA_TIMEOUT_MS}"),
        format!("leg_timeout={leg_timeout}"),
        format!("absolute_codec_string=${{{}}}", callers::CODECS),
        // A caller on hold is no reason for the next pod to be silent: it would be taken for lost.
        "origination_audio_mode=sendrecv".to_owned(),
        "rtp_secure_media=forbidden".to_owned(),
        "sip_h_X-Call-UUID=${uuid}".to_owned(),
        format!("sip_h_X-Attempt={number}"),
        format!("sip_h_X-Earlier-Attempts=${{{EARLIER}}}"),
        format!("sip_h_X-Answered=${{{ANSWERED}}}"),
        format!("sip_h_X-Caller=${{{}}}", callers::CALLER),
        format!("sip_h_X-Sofia-Token={}", config.esl_token.expose()),
    ];
    variables.extend(told);
    let bridge =
        format!("[{}]sofia/{AGENT_CONTEXT}/${{sofia_phone_dialed}}@{LOOPBACK}:{AGENT_SIP_PORT}", variables.join(","));
    let next = format!("ended-{number}-${{originate_failed_cause}}${{bridge_hangup_cause}} XML {AFTER_CONTEXT}");
    action(action(condition, "bridge", bridge), "transfer", next)
}

fn agent(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    check::host("the ESL Service", config.esl_host)?;
    check::host("the takeover Service", config.takeover_host)?;
    if config.esl_port == 0 {
        return Err(RenderError::new("the ESL Service's port", "a port from 1 to 65535"));
    }
    let mut hosts = vec![config.esl_host; HOSTS_PER_ATTEMPT];
    let new = to_pod(Element::new("condition"), &hosts, config.esl_port);
    hosts.extend([config.takeover_host; TAKEOVER_HOSTS]);
    let talking = variable("sip_h_X-Answered", "^true$");
    let talking = to_pod(talking, &hosts, config.esl_port);
    Ok(context(AGENT_CONTEXT)
        .comment("a caller who was talking: then also a pod that takes no new calls, but may take over")
        .child(Element::named("extension", "talking").child(talking))
        .comment("a pod that is full or draining has no open port: the next try may find another one")
        .child(Element::named("extension", "pod").child(new)))
}

fn to_pod(condition: Element, hosts: &[&str], port: u16) -> Element {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
    let condition = action(condition, "socket", format!("{} async full", hosts.join("|")));
    action(condition, "hangup", "NORMAL_TEMPORARY_FAILURE")
}

pub(super) fn context(name: &'static str) -> Element {
    Element::named("context", name)
}

pub(super) fn dialled(expression: impl Into<super::xml::Value>) -> Element {
    said("destination_number", expression)
}

/// A condition on what the caller's INVITE says; as a field it is compared and never expanded.
pub(super) fn said(field: &'static str, expression: impl Into<super::xml::Value>) -> Element {
    Element::new("condition").with("field", field).with("expression", expression)
}

/// A condition on a channel's variable.
pub(super) fn variable(name: &str, expression: impl Into<super::xml::Value>) -> Element {
    Element::new("condition").with("field", format!("${{{name}}}")).with("expression", expression)
}

/// A condition on two variables of a channel, with a slash between.
fn variables([one, other]: [&str; 2], expression: impl Into<super::xml::Value>) -> Element {
    Element::new("condition").with("field", format!("${{{one}}}/${{{other}}}")).with("expression", expression)
}

/// A `set` that later conditions see.
fn at_once(assignment: String) -> Element {
    Element::new("action").with("application", "set").with("data", assignment).with("inline", true)
}

pub(super) fn action(condition: Element, application: &'static str, data: impl Into<super::xml::Value>) -> Element {
    condition.child(Element::new("action").with("application", application).with("data", data))
}

/// Refused for now: the caller's own switch may try again.
fn later(condition: Element) -> Element {
    let told = action(condition, "set", format!("sip_rh_Retry-After={RETRY_AFTER_SECONDS}"));
    refusal(told, "503", "NORMAL_TEMPORARY_FAILURE")
}

/// The status reaches a caller who was not answered, the cause everyone.
pub(super) fn refusal(condition: Element, status: &'static str, cause: &'static str) -> Element {
    action(action(condition, "respond", status), "hangup", cause)
}
