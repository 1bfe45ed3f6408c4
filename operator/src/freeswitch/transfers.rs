//! Where a pod may send a caller, and the way back when that fails. What is not listed in the spec is not called, whatever a model asks for:
//! a caller may have talked it into anything.

use sofia_crds::spec::{TransferDestination, TransferFailure, TransferMode};

use super::dialplan::{
    ANSWERED, EARLIER, LOST, NEXT_LEG_TIMEOUT_SECONDS, STATE, action, again, attempt_telling, context as named_context,
    dialled,
};
use super::error::RenderError;
use super::xml::Element;
use super::{AFTER_CONTEXT, SwitchConfig, TRANSFER_CONTEXT, check, gateways};

/// What a destination may consist of: a number or a name, never an address. `\z` as in [`super::dialplan`].
const OUTSIDE: &str = r"^\+?[0-9A-Za-z*#][0-9A-Za-z*#._-]{0,62}\z";
/// Where the caller's leg goes on when a transfer has failed; FreeSWITCH's cause stands behind it.
const RETURNED: &str = "returned-";
/// Variable of leg A: FreeSWITCH's cause of a transfer that failed.
const FAILED: &str = "sofia_phone_transfer_failed";

/// The context to which pods transfer callers.
pub(super) fn context(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let mut context = named_context(TRANSFER_CONTEXT);
    let transfers = config.transfers;
    let gateway = gateways::of_transfers(config)?;
    if let (TransferMode::Enabled, Some(gateway)) = (transfers.mode, gateway) {
        for (at, destination) in transfers.destinations.iter().enumerate() {
            context = context.child(extension(at, destination, gateway, config)?);
        }
    }
    let nowhere = failed(Element::new("condition"), "NO_ROUTE_DESTINATION", config);
    Ok(context.child(Element::named("extension", "nowhere").child(nowhere)))
}

fn extension(
    at: usize,
    destination: &TransferDestination,
    gateway: &str,
    config: &SwitchConfig<'_>,
) -> Result<Element, RenderError> {
    let field = format!("spec.transfers.destinations[{at}]");
    let TransferDestination { name, number } = destination;
    let (expression, called) = match name {
        Some(name) => {
            check::destination_name(&format!("{field}.name"), name)?;
            check::number(&format!("{field}.number"), number)?;
            let literal = |text: &str| text.replace('+', r"\+").replace('*', r"\*").replace('.', r"\.");
            (format!(r"^(?:(?i:{})|{})\z", literal(name), literal(number)), number.clone())
        }
        None => {
            check::number_pattern(&format!("{field}.number"), number)?;
            (format!(r"^(?:{number})\z"), "${destination_number}".to_owned())
        }
    };
    let mut outside = dialled(OUTSIDE);
    outside = Element::named("extension", format!("destination-{}", at + 1)).child(outside);
    let mut chosen = dialled(expression);
    // With a person at the other end, music on hold is what it is meant for.
    chosen = action(chosen, "unset", "hold_music");
    // What was said is for a pod, should the caller come back, and for nobody who answers here.
    chosen = action(chosen, "set", "bridge_pre_execute_aleg_app=unset");
    chosen = action(chosen, "set", format!("bridge_pre_execute_aleg_data={STATE}"));
    chosen = action(chosen, "set", "hangup_after_bridge=true");
    let returns = config.transfers.on_failure == TransferFailure::Return;
    chosen = action(chosen, "set", format!("continue_on_fail={returns}"));
    let mut variables = vec![format!("leg_timeout={}", config.transfers.timeout_seconds)];
    if let Some(number) = &config.transfers.caller_id {
        check::caller_id("spec.transfers.callerId", number)?;
        // In P-Asserted-Identity too: of a gateway with an account the From header names that.
        variables.extend([
            format!("origination_caller_id_number={number}"),
            format!("origination_caller_id_name={number}"),
            "sip_cid_type=pid".to_owned(),
        ]);
    }
    chosen = action(chosen, "bridge", format!("[{}]sofia/gateway/{gateway}/{called}", variables.join(",")));
    if returns {
        chosen = failed(chosen, "${originate_failed_cause}", config);
    }
    Ok(outside.child(chosen))
}

/// What becomes of a caller whose transfer has failed with this cause.
fn failed(condition: Element, cause: &str, config: &SwitchConfig<'_>) -> Element {
    match config.transfers.on_failure {
        TransferFailure::Return => action(condition, "transfer", format!("{RETURNED}{cause} XML {AFTER_CONTEXT}")),
        TransferFailure::HangUp => action(condition, "hangup", cause.to_owned()),
    }
}

/// The way back to the agent: the next pod, or the same, goes on with the conversation, as it does with one whose pod was lost.
pub(super) fn returned(config: &SwitchConfig<'_>) -> Element {
    let mut back = dialled(format!("^{RETURNED}([A-Z_0-9]*)$"));
    back = action(back, "set", format!("{FAILED}=$1"));
    back = action(back, "set", "hold_music=silence");
    back = action(back, "unset", "bridge_pre_execute_aleg_app");
    back = action(back, "set", "continue_on_fail=true");
    back = action(back, "set", "hangup_after_bridge=false");
    back = action(back, "set", format!("{ANSWERED}=true"));
    back = action(back, "set", format!("{LOST}=true"));
    // More than none: whoever gets the call looks for the conversation that there was.
    back = action(back, "set", format!("{EARLIER}=1"));
    let told = format!("sip_h_X-Transfer-Failed=${{{FAILED}}}");
    let back = attempt_telling(again(back), 1, NEXT_LEG_TIMEOUT_SECONDS, Some(told), config);
    Element::named("extension", "returned").child(back)
}
