//! Tool calls that come in pieces, as the protocol has them, put together.

use serde_json::Value;

use super::chunk::CallPiece;
use super::{MAX_ARGUMENT_BYTES, MAX_TOOL_CALLS};
use crate::backend::BackendError;

#[derive(Debug, Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// The calls of one reply so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    partial: Vec<PartialCall>,
}

impl Calls {
    /// Whether none has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: CallPiece) -> Result<(), BackendError> {
        let CallPiece { index, id, name, arguments } = piece;
        // By the protocol the index tells calls apart. Some servers leave it out, or send 0 for each of several calls.
        let same = |call: &PartialCall| match index {
            Some(_) => call.index == index && (id.is_empty() || call.id.is_empty() || call.id == id),
            None if id.is_empty() => name.is_empty(),
            None => call.id == id,
        };
        let position = match self.partial.iter().rposition(same) {
            Some(position) => position,
            None if self.partial.len() == MAX_TOOL_CALLS => {
                return Err(BackendError::invalid(format!("expected at most {MAX_TOOL_CALLS} tool calls, came more")));
            }
            None => {
                self.partial.push(PartialCall { index, ..PartialCall::default() });
                self.partial.len() - 1
            }
        };
        let call = &mut self.partial[position];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        match arguments {
            Some(Value::String(piece)) => call.arguments.push_str(&piece),
            Some(whole @ Value::Object(_)) => call.arguments = whole.to_string(),
            _ => {}
        }
        if call.arguments.len() > MAX_ARGUMENT_BYTES {
            let message = format!("expected tool arguments of at most {MAX_ARGUMENT_BYTES} bytes, came longer ones");
            return Err(BackendError::invalid(message));
        }
        Ok(())
    }

    /// The reply is complete, and so are its calls: the name and the arguments of each.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (String, String)> + use<> {
        std::mem::take(&mut self.partial).into_iter().map(|call| (call.name, call.arguments))
    }
}
