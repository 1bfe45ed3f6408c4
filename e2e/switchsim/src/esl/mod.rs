//! FreeSWITCH's side of outbound ESL, as the recordings show it: reads a pod's commands, renders replies and events byte for
//! byte. Sans-IO; [`crate::call`] owns the connection.

mod command;
mod encode;
mod event;
mod session;
mod variables;

pub(crate) use event::{EventSource, dump};
pub(crate) use session::Ending;
pub use session::{Api, ApiResult, Effect, EslSession};
pub(crate) use variables::{LegIdentity, set_sip_variables};
