//! The product on a real Kubernetes, judged by the cluster's own state and by what callers heard. A file a scenario; each has a
//! namespace of its own. Run by `make e2e`.

mod apply;
mod autoscale;
mod bad_spec;
mod capacity;
mod evicted;
mod freeswitch_restarted;
mod gateways;
mod network_and_tokens;
mod node_drained;
mod operator_killed;
mod pod_killed;
mod rollout;
mod uninstalled;
mod upgrade;
mod validation;
