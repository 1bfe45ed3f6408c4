//! ServiceAccounts: one for each part of a trunk, none of which may talk to the API server.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{labels::Component, metadata::Context};

/// The ServiceAccount `name` of a part of the trunk. It exists to be named in other people's policies (pod security, secret stores); it
/// has no rights, and no token of it is mounted.
pub(super) fn account(context: &Context<'_>, component: Component, name: String) -> ServiceAccount {
    ServiceAccount {
        metadata: context.metadata(component, name),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
