//! FreeSWITCH's API commands on the whole switch, with its own words. Never touches a single channel: `uuid_…` are
//! [`crate::call`]'s.

use std::fmt::Write;
use std::sync::Arc;

use crate::cause::Cause;
use crate::run_state::Stop;
use crate::switch::Core;

const OK: &str = "+OK\n";
const FSCTL_USAGE: &str = "-USAGE: pause [inbound|outbound] | resume [inbound|outbound] | pause_check [inbound|outbound] | \
    shutdown [elegant|asap|now|cancel] | shutdown_check | hupall | ready_check\n";

/// What the command answers; `None` if there is no such command.
pub(crate) fn run(core: &Arc<Core>, name: &str, arguments: &str) -> Option<String> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    Some(match name {
        "fsctl" => fsctl(core, &words),
        "show" => show(core, &words),
        "sofia" => sofia(core, &words),
        "status" => status(core),
        "version" => format!("FreeSWITCH Version switchsim-{}\n", env!("CARGO_PKG_VERSION")),
        "hupall" => hang_up_all(core, words.first().copied()),
        "reloadxml" => match core.reload_dialplan() {
            Ok(()) => "+OK [Success]\n".to_owned(),
            Err(error) => format!("-ERR [{error}]\n"),
        },
        "global_getvar" => core.globals.get(arguments).unwrap_or_default() + "\n",
        "global_setvar" => match arguments.split_once('=') {
            Some((name, value)) => {
                core.globals.set(name.trim(), value.trim());
                OK.to_owned()
            }
            None => "-USAGE: <var>=[value] [=<value2>]\n".to_owned(),
        },
        _ => return None,
    })
}

fn fsctl(core: &Core, words: &[&str]) -> String {
    let state = &core.run_state;
    let pause = |paused: bool| match words.get(1).copied() {
        None => {
            state.pause_inbound(paused);
            state.pause_outbound(paused);
            OK.to_owned()
        }
        Some("inbound") => {
            state.pause_inbound(paused);
            OK.to_owned()
        }
        Some("outbound") => {
            state.pause_outbound(paused);
            OK.to_owned()
        }
        Some(_) => FSCTL_USAGE.to_owned(),
    };
    match words.first().copied() {
        Some("pause") => pause(true),
        Some("resume") => pause(false),
        Some("pause_check") => match words.get(1).copied() {
            None => (state.paused_inbound() && state.paused_outbound()).to_string(),
            Some("inbound") => state.paused_inbound().to_string(),
            Some("outbound") => state.paused_outbound().to_string(),
            Some(_) => FSCTL_USAGE.to_owned(),
        },
        Some("ready_check") => (!state.refuses_inbound()).to_string(),
        Some("shutdown_check") => (state.stopping() != Stop::Run).to_string(),
        Some("hupall") => hang_up_all(core, words.get(1).copied()),
        Some("shutdown") => {
            let stop = match words.get(1).copied() {
                None | Some("now") => Stop::Now,
                Some("elegant") => Stop::Elegant,
                Some("asap") => Stop::Asap,
                Some("cancel") => Stop::Run,
                Some(_) => return FSCTL_USAGE.to_owned(),
            };
            state.stop(stop);
            OK.to_owned()
        }
        _ => FSCTL_USAGE.to_owned(),
    }
}

/// `sofia profile NAME unregister all|GATEWAY` and `sofia status|xmlstatus gateway NAME`.
fn sofia(core: &Core, words: &[&str]) -> String {
    match words {
        ["profile", profile, "unregister", gateway] => {
            let Some(known) = core.config.profile(profile) else { return format!("Invalid Profile [{profile}]\n") };
            let all = *gateway == "all";
            let chosen: Vec<_> = known.gateways.iter().filter(|name| all || name == gateway).cloned().collect();
            if chosen.is_empty() && !all {
                return "-ERR NO such gateway.!\n".to_owned();
            }
            core.unregistered().extend(chosen);
            OK.to_owned()
        }
        ["profile", _, "unregister"] => "-ERR NO gateway name provided!\n".to_owned(),
        ["status", "gateway", name] => gateway_status(core, name, |profile, state, status| {
            format!("Name    \t{name}\nProfile \t{profile}\nState   \t{state}\nStatus  \t{status}\n")
        }),
        ["xmlstatus", "gateway", name] => gateway_status(core, name, |profile, state, status| {
            format!(
                "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n  <gateway>\n    <name>{name}</name>\n    <profile>{profile}</profile>\n    \
                 <state>{state}</state>\n    <status>{status}</status>\n  </gateway>\n"
            )
        }),
        _ => "-ERR switchsim knows sofia profile NAME unregister all|GATEWAY and sofia status|xmlstatus gateway NAME\n"
            .to_owned(),
    }
}

/// In the words of `told`, which is given profile, state and status.
fn gateway_status(core: &Core, name: &str, told: impl FnOnce(&str, &str, &str) -> String) -> String {
    let of = core.config.profiles().iter().find(|profile| profile.gateways.iter().any(|gateway| gateway == name));
    let Some(profile) = of else { return "Invalid Gateway!\n".to_owned() };
    let registers = profile.registering.iter().any(|gateway| gateway == name);
    let (state, status) = match (registers, core.unregistered().contains(name)) {
        (_, true) => ("NOREG", "DOWN"),
        (true, false) => ("REGED", "UP"),
        (false, false) => ("NOREG", "UP"),
    };
    told(&profile.name, state, status)
}

fn hang_up_all(core: &Core, cause: Option<&str>) -> String {
    let cause = cause.map_or(Cause::MANAGER_REQUEST, Cause::named);
    core.hang_up_all(cause);
    format!("+OK hangup all channels with cause {cause}\n")
}

/// A caller's leg with its bridge to a pod is one call of FreeSWITCH's with two channels; the pod's leg is another call.
fn show(core: &Core, words: &[&str]) -> String {
    let (callers, pods) = core.legs_up();
    let count = match words.first().copied() {
        Some("channels") => callers + 2 * pods,
        Some("calls") => callers + pods,
        Some("bridged_calls") => pods,
        _ => return "-USAGE: show channels|calls|bridged_calls [count] [as json]\n".to_owned(),
    };
    match &words[1..] {
        ["count"] => format!("\n{count} total.\n"),
        ["count", "as", "json"] => format!("{{\"row_count\":{count}}}\n"),
        // A list without rows has no header either.
        [] if count == 0 => "\n0 total.\n".to_owned(),
        _ => "-ERR switchsim counts and does not list: show channels count\n".to_owned(),
    }
}

fn status(core: &Core) -> String {
    let up = core.run_state.started.elapsed();
    let seconds = up.as_secs();
    let (callers, pods) = core.legs_up();
    let ready = if core.run_state.refuses_inbound() { "is not ready" } else { "is ready" };
    let mut text = format!(
        "UP 0 years, {} days, {} hours, {} minutes, {} seconds, {} milliseconds, {} microseconds\n",
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        up.subsec_millis(),
        up.subsec_micros() % 1_000
    );
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "FreeSWITCH (Version switchsim-{}) {ready}\n{} session(s) since startup\n{} session(s)\n{} session(s) max\n",
        env!("CARGO_PKG_VERSION"),
        core.sessions_since_start(),
        callers + 2 * pods,
        core.config.max_sessions
    );
    text
}
