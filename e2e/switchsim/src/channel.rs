//! A channel as FreeSWITCH's events show it: caller profile, state, times and variables in their order. Never does anything
//! by itself: legs change it, [`crate::esl`] renders it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cause::Cause;

/// Variables in the order in which they were last set: FreeSWITCH takes a variable out and appends it again, and its events
/// show that order.
#[derive(Debug, Clone, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// Sets, and moves to the end; an empty value removes, as in FreeSWITCH.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        let value = value.into();
        if !value.is_empty() {
            self.0.push((name.to_owned(), value));
        }
    }

    /// Removes, if it is there.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(existing, _)| existing != name);
    }

    /// The value. Names are compared without case, as FreeSWITCH's event headers are.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(existing, _)| existing.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// FreeSWITCH's global variables: the pre-processor's at the start, later those of `global_setvar`. Shared by all channels.
#[derive(Debug, Clone, Default)]
pub struct Globals(Arc<Mutex<HashMap<String, String>>>);

impl Globals {
    /// These to begin with.
    #[must_use]
    pub fn new(variables: HashMap<String, String>) -> Self {
        Self(Arc::new(Mutex::new(variables)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.lock().get(name).cloned()
    }

    /// Sets; an empty value removes.
    pub fn set(&self, name: &str, value: &str) {
        if value.is_empty() {
            self.lock().remove(name);
        } else {
            self.lock().insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Microseconds since the Unix epoch, as FreeSWITCH writes times.
#[must_use]
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// `Channel-State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Runs the dialplan.
    Execute,
    /// Is being torn down.
    Hangup,
    /// Its records are written.
    Reporting,
}

impl State {
    /// FreeSWITCH's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Execute => "CS_EXECUTE",
            Self::Hangup => "CS_HANGUP",
            Self::Reporting => "CS_REPORTING",
        }
    }
}

/// `Channel-Call-State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Not answered.
    Ringing,
    /// Answered.
    Active,
    /// Answered, and put on hold by its caller.
    Held,
    /// Over.
    Hangup,
}

impl CallState {
    /// FreeSWITCH's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ringing => "RINGING",
            Self::Active => "ACTIVE",
            Self::Held => "HELD",
            Self::Hangup => "HANGUP",
        }
    }
}

/// One leg's channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its id.
    pub uuid: String,
    /// `sofia/<profile>/<user>@<host>`.
    pub name: String,
    /// Who calls, as a number or SIP user.
    pub caller_number: String,
    /// Who calls, as a display name.
    pub caller_name: String,
    /// Whom they call; a transfer changes it.
    pub destination: String,
    /// Dialplan context.
    pub context: String,
    /// Where the SIP request came from.
    pub network_addr: String,
    /// State machine.
    pub state: State,
    /// `Channel-State-Number`: runs ahead of the state while a hang-up is under way.
    pub state_number: u8,
    /// Call state.
    pub call_state: CallState,
    /// Created, µs since the epoch.
    pub created_us: u64,
    /// Answered, µs since the epoch, or 0.
    pub answered_us: u64,
    /// Torn down, µs since the epoch, or 0.
    pub hangup_us: u64,
    /// Set as soon as the hang-up begins.
    pub cause: Option<Cause>,
    /// In order.
    pub variables: Variables,
    /// The switch's own.
    pub globals: Globals,
}

impl Channel {
    /// A channel in state execute, not answered, with the one variable that every channel has.
    #[must_use]
    pub fn new(
        uuid: &str,
        name: String,
        caller_number: &str,
        caller_name: &str,
        destination: &str,
        context: &str,
    ) -> Self {
        let mut variables = Variables::default();
        variables.set("direction", "inbound");
        variables.set("uuid", uuid);
        Self {
            uuid: uuid.to_owned(),
            name,
            caller_number: caller_number.to_owned(),
            caller_name: caller_name.to_owned(),
            destination: destination.to_owned(),
            context: context.to_owned(),
            network_addr: "127.0.0.1".to_owned(),
            state: State::Execute,
            state_number: 4,
            call_state: CallState::Ringing,
            created_us: now_us(),
            answered_us: 0,
            hangup_us: 0,
            cause: None,
            variables,
            globals: Globals::default(),
        }
    }

    /// `ringing`, `answered` or `hangup`.
    #[must_use]
    pub fn answer_state(&self) -> &'static str {
        match (self.cause, self.answered_us) {
            (Some(_), _) => "hangup",
            (None, 0) => "ringing",
            (None, _) => "answered",
        }
    }

    /// What a dialplan condition's `field`, or `${name}`, means on this channel: a field of the caller profile, else a variable,
    /// else a global one.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match name {
            "destination_number" => &self.destination,
            "caller_id_number" | "ani" | "username" => &self.caller_number,
            "caller_id_name" => &self.caller_name,
            "network_addr" => &self.network_addr,
            "context" => &self.context,
            "dialplan" => "XML",
            "source" => "mod_sofia",
            "chan_name" | "channel_name" => &self.name,
            "uuid" => &self.uuid,
            "hangup_cause" => self.cause.map(Cause::name)?,
            _ => match self.variables.get(name) {
                Some(value) => value,
                None => return self.globals.get(name).map(Cow::Owned),
            },
        }))
    }
}

/// A channel that its leg and other legs' `uuid_…` commands share.
#[derive(Debug, Clone)]
pub struct SharedChannel(Arc<Mutex<Channel>>);

impl SharedChannel {
    /// Shares `channel`.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self(Arc::new(Mutex::new(channel)))
    }

    /// Held for a moment only, never over an await. A panic elsewhere leaves nothing half-written here.
    pub fn lock(&self) -> MutexGuard<'_, Channel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_again_moves_to_the_end() {
        let mut variables = Variables::default();
        variables.set("a", "1");
        variables.set("b", "2");
        variables.set("a", "3");
        assert_eq!(variables.iter().collect::<Vec<_>>(), [("b", "2"), ("a", "3")]);
        variables.set("b", "");
        assert_eq!(variables.get("b"), None);
    }
}
