//! PodMonitor, by which a Prometheus Operator finds the pods' metrics. Only for clusters that know the kind.

use kube::api::DynamicObject;
use serde_json::json;

use super::{
    kind::Kind,
    labels::{self, Component},
    metadata::Context,
    names,
};

/// Every data-plane pod is scraped, ready or not.
pub(super) fn data_plane(context: &Context<'_>) -> DynamicObject {
    let mut monitor =
        DynamicObject::new(&names::data_plane(context.name), &Kind::PodMonitor.api_resource()).data(json!({
            "spec": {
                "selector": { "matchLabels": labels::selector(context.name, Component::DataPlane) },
                "podMetricsEndpoints": [{ "port": names::ADMIN_PORT_NAME, "path": "/metrics" }],
                "podTargetLabels": [labels::INSTANCE],
            },
        }));
    monitor.metadata = context.metadata(Component::DataPlane, names::data_plane(context.name));
    monitor
}
