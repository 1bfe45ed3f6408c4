//! What the scenarios on a real Kubernetes share: a namespace each, trunks in it, the callers in the pods that stand in for
//! FreeSWITCH, and conditions to wait for. Holds no test, and makes no cluster: `e2e/cluster/` does.

mod callers;
mod namespace;
mod operator;
mod tools;
mod trunk;
mod wait;

pub use callers::{Callers, kept_conversation};
pub use namespace::Namespace;
pub use operator::{
    OPERATOR_NAMESPACE, cluster_tool, helm, install_this_release, own_network, previous_release,
    previous_release_is_built, wait_for_operator,
};
pub use tools::{Command, Images, kubectl};
pub use trunk::Trunk;
pub use wait::{PATIENCE, eventually, when};
