//! What one release of the operator brings along and where it runs: default images, its own namespace. Read once at start.

use std::collections::BTreeMap;

/// What one release of the operator brings along and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Version of the operator, such as `0.1.0`; the value of `app.kubernetes.io/version`.
    pub version: String,
    /// Image of the data plane for trunks that name none.
    pub data_plane_image: String,
    /// Image of FreeSWITCH for trunks that name none.
    pub free_switch_image: String,
    /// Namespace in which the operator itself runs; network policies let it in.
    pub operator_namespace: String,
    /// Labels of the operator's own pods, by which network policies let them in.
    pub operator_labels: BTreeMap<String, String>,
    /// Whether NetworkPolicies are made.
    pub network_policies: bool,
}
