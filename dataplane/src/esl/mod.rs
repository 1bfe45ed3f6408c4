//! FreeSWITCH's event socket, outbound: the switch connects to the pod, and that TCP connection is one call.
//! Bytes and instants go in, bytes and events come out; nothing here opens a socket, reads a clock or spawns a task.
//!
//! - [`codec`] cuts the byte stream into [`message`]s, within limits;
//! - [`command`] writes the commands, and refuses arguments that would become a second command;
//! - [`destination`] says where a call can be transferred to;
//! - [`outbound`] is one call's session: handshake, replies matched to commands, deadlines.

pub mod cause;
pub mod codec;
pub mod command;
pub mod destination;
pub mod error;
pub mod headers;
pub mod message;
pub mod outbound;

pub use cause::HangupCause;
pub use codec::{Limits, Parser};
pub use command::{Command, CommandError};
pub use destination::{DestinationKind, MAX_DESTINATION};
pub use error::EslError;
pub use headers::Headers;
pub use message::{ApiResponse, ChannelData, CommandReply, DisconnectNotice, EslMessage, Event};
pub use outbound::{CommandKind, Outbound, OutboundEvent, OutboundSettings, RequestError, RequestId, Token};
