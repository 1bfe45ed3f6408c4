//! The RTP side of the switch: what callers send and hear. [`pump`] is the only owner of sockets and of the media clock; all
//! else here is sans-IO.

pub(crate) mod clip;
pub(crate) mod leg;
pub(crate) mod listener;
pub(crate) mod monitor;
pub(crate) mod pump;
pub(crate) mod rtp;

pub use clip::{Clip, ClipError};
pub use leg::Impairments;
pub use listener::Burst;
pub use monitor::{Gap, HeardDigit, LegReport};
pub use pump::PumpReport;
