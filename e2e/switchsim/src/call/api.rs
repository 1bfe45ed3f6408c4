//! The API commands on single channels (`uuid_…`), from pods and from the event socket; all others are [`crate::commands`]'.

use std::sync::Arc;

use super::{Control, LegCommand};
use crate::cause::Cause;
use crate::commands;
use crate::dialplan::transfer_to;
use crate::esl::{self, Api, ApiResult, EventSource};
use crate::switch::{Core, Reach, Registered};

const NO_CHANNEL: &str = "-ERR No such channel!\n";
const OK: &str = "+OK\n";

/// The switch as a pod or the event socket sees it.
pub(crate) struct SwitchApi<'a> {
    pub(crate) core: &'a Arc<Core>,
}

/// Runs a whole command line, as `api` does.
pub(crate) fn api(core: &Arc<Core>, line: &str) -> String {
    esl::api_response(line, &mut SwitchApi { core })
}

impl Api for SwitchApi<'_> {
    fn call(&mut self, name: &str, arguments: &str) -> ApiResult {
        let (uuid, rest) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
        let rest = rest.trim();
        let found = self.core.channels().get(uuid).cloned();
        let events: &EventSource = &self.core.events;
        let body = match (name, found) {
            ("uuid_exists", found) => found.is_some().to_string(),
            (
                "uuid_setvar" | "uuid_setvar_multi" | "uuid_getvar" | "uuid_transfer" | "uuid_kill" | "uuid_dump"
                | "uuid_hold",
                None,
            ) => NO_CHANNEL.to_owned(),
            ("uuid_setvar", Some(target)) => set_variable(&target, rest),
            ("uuid_setvar_multi", Some(target)) => {
                rest.split(';').for_each(|pair| {
                    if let Some((name, value)) = pair.split_once('=') {
                        target.channel.lock().variables.set(name.trim(), value);
                    }
                });
                OK.to_owned()
            }
            ("uuid_getvar", Some(target)) => match target.channel.lock().lookup(rest) {
                None => "_undef_".to_owned(),
                // FreeSWITCH sends no empty answers.
                Some(value) if value.is_empty() => "-ERR no reply\n".to_owned(),
                Some(value) => value.into_owned(),
            },
            ("eval", _) => expand(self.core, arguments),
            ("uuid_dump", Some(target)) => esl::dump(events, &target.channel.lock()),
            ("uuid_transfer", Some(target)) => transfer(&target, rest),
            ("uuid_kill", Some(target)) => kill(&target, rest),
            _ => return commands::run(self.core, name, arguments).map_or(ApiResult::NotFound, ApiResult::Body),
        };
        ApiResult::Body(body)
    }
}

/// `eval [uuid:<uuid>] <text>`: the text with one channel's headers in it, of which there is one here.
fn expand(core: &Core, arguments: &str) -> String {
    let (uuid, text) = match arguments.strip_prefix("uuid:") {
        Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
        None => ("", arguments),
    };
    let state = core.channels().get(uuid).map(|target| target.channel.lock().call_state.name());
    text.replace("${Channel-Call-State}", state.unwrap_or_default())
}

fn set_variable(target: &Registered, rest: &str) -> String {
    let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if name.is_empty() {
        return "-USAGE: <uuid> <var> [value]\n".to_owned();
    }
    target.channel.lock().variables.set(name, value.trim_start());
    OK.to_owned()
}

fn transfer(target: &Registered, rest: &str) -> String {
    // -bleg and -both would need a second party; a caller's leg here has only pods.
    let to = transfer_to(rest);
    match &target.control {
        Reach::Caller(control) if !to.destination.is_empty() && !to.destination.starts_with('-') => {
            let _ = control.send(Control::Transfer(to));
            OK.to_owned()
        }
        Reach::Caller(_) => "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n".to_owned(),
        Reach::Pod(_) => "-ERR switchsim transfers callers only\n".to_owned(),
    }
}

fn kill(target: &Registered, rest: &str) -> String {
    let cause = if rest.is_empty() { Cause::MANAGER_REQUEST } else { Cause::named(rest) };
    match &target.control {
        Reach::Caller(control) => drop(control.send(Control::Kill(cause))),
        Reach::Pod(commands) => drop(commands.send(LegCommand::Kill(cause))),
    }
    OK.to_owned()
}
