//! FreeSWITCH looked at from outside: whether it answers, how many channels it has, whether its carriers are there. Changes nothing in it.
//!
//! Its event socket listens on loopback only and stays there, since whoever has it has the whole switch. The API server brings the operator to it
//! ([`forward`]), as it does `kubectl port-forward`: no port more is open, nothing crosses the network in clear, and it works on a node's network too.

pub mod figures;
pub mod forward;
pub mod socket;

use futures_util::future::BoxFuture;

pub use figures::{Figures, GatewayState, SessionRate};

use crate::secret_text::SecretText;

/// Which FreeSWITCH is looked at, and for what.
#[derive(Clone, Debug)]
pub struct Look {
    /// Namespace of its pod.
    pub namespace: String,
    /// Name of its pod.
    pub pod: String,
    /// Password of its event socket.
    pub password: SecretText,
    /// Names of the gateways that it has.
    pub gateways: Vec<String>,
}

/// How FreeSWITCH is looked at.
pub trait Switches: Send + Sync + 'static {
    /// What it says of itself; nothing when it doesn't answer in time.
    fn look(&self, look: Look) -> BoxFuture<'static, Option<Figures>>;
}
