//! Secrets: FreeSWITCH's configuration, which has passwords in it, and the tokens that were made once for the trunk.

use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::{labels::Component, metadata::Context, names};

/// What FreeSWITCH reads.
pub(super) fn free_switch_config(context: &Context<'_>, freeswitch_xml: &str, fs_cli_conf: &str) -> Secret {
    secret(
        context,
        Component::FreeSwitch,
        names::free_switch_config(context.name),
        [(names::FREE_SWITCH_XML_KEY, freeswitch_xml), (names::FS_CLI_KEY, fs_cli_conf)],
    )
}

/// What FreeSWITCH presents with each call.
pub(super) fn esl_token(context: &Context<'_>) -> Secret {
    let token = context.inputs.referenced.esl_token.expose();
    secret(context, Component::DataPlane, names::esl(context.name), [(names::TOKEN_KEY, token)])
}

/// What the operator made for its own use.
pub(super) fn internal(context: &Context<'_>) -> Secret {
    let referenced = context.inputs.referenced;
    secret(
        context,
        Component::DataPlane,
        names::internal(context.name),
        [
            (names::ADMIN_TOKEN_KEY, referenced.admin_token.expose()),
            (names::EVENT_SOCKET_KEY, referenced.event_socket_password.expose()),
        ],
    )
}

/// What an external FreeSWITCH is configured with.
pub(super) fn external(context: &Context<'_>, freeswitch_xml: &str) -> Secret {
    secret(
        context,
        Component::FreeSwitch,
        names::external(context.name),
        [(names::FREE_SWITCH_XML_KEY, freeswitch_xml)],
    )
}

fn secret<const N: usize>(
    context: &Context<'_>,
    component: Component,
    name: String,
    data: [(&str, &str); N],
) -> Secret {
    // `data`, not `stringData`: the API server moves the latter into the former, so it would look changed for ever.
    let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())));
    Secret {
        metadata: context.metadata(component, name),
        type_: Some("Opaque".to_owned()),
        data: Some(data.into()),
        ..Secret::default()
    }
}
