//! FreeSWITCH's side of ESL: outbound to pods as the recordings show it, byte for byte, and the inbound event socket. Reads
//! commands, renders replies and events. Sans-IO; [`crate::call`] and [`crate::server`] own the connections.

mod command;
mod encode;
mod event;
mod inbound;
mod session;
mod variables;

pub(crate) use event::{EventSource, dump};
pub(crate) use inbound::InboundSession;
pub use session::{Api, ApiResult, Effect, EslSession};
pub(crate) use session::{Ending, api_response};
pub(crate) use variables::{LegIdentity, set_sip_variables};
