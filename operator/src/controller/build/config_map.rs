//! ConfigMap for the one who runs an external FreeSWITCH: where the data plane is and what to do. Holds no secret; the configuration
//! with the token in it is in the Secret of the same name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{environment, labels::Component, metadata::Context, names};
use crate::freeswitch::TRANSFER_CONTEXT;

/// What an external FreeSWITCH needs to know.
pub(super) fn external(context: &Context<'_>, esl_host: &str) -> ConfigMap {
    let (token_secret, token_key) = environment::esl_token(context);
    let data = [
        (names::README_KEY, readme(context, esl_host, &token_secret, &token_key)),
        (names::ESL_HOST_KEY, esl_host.to_owned()),
        (names::ESL_PORT_KEY, names::ESL_PORT.to_string()),
        (names::TOKEN_SECRET_KEY, token_secret),
        (names::TOKEN_SECRET_KEY_KEY, token_key),
    ];
    ConfigMap {
        metadata: context.metadata(Component::FreeSwitch, names::external(context.name)),
        data: Some(BTreeMap::from(data.map(|(key, value)| (key.to_owned(), value)))),
        ..ConfigMap::default()
    }
}

fn readme(context: &Context<'_>, esl_host: &str, token_secret: &str, token_key: &str) -> String {
    let namespace = context.namespace;
    let port = names::ESL_PORT;
    let secret = names::external(context.name);
    let file = names::FREE_SWITCH_XML_KEY;
    let file_escaped = file.replace('.', r"\.");
    let token_key_escaped = token_key.replace('.', r"\.");
    let first = names::RTP_START_PORT;
    let last = names::RTP_START_PORT + 2 * names::RTP_WORKERS_MAX - 1;
    format!(
        "How to let a FreeSWITCH that runs elsewhere bring calls to this trunk.

1. The Secret {secret} has a whole configuration in one file, with the token in it:

     kubectl --namespace {namespace} get secret {secret} --output jsonpath='{{.data.{file_escaped}}}' | base64 --decode

   Run FreeSWITCH with it (freeswitch -nonat -nf -c -conf FOLDER), after its gateways, access lists and numbers are made your own.
   Or take over into your configuration: profile agent, context agent, and of context edge the bridges with what stands between.
   Keep the context {TRANSFER_CONTEXT}: callers that the agent transfers look for their destination there and nowhere else.

2. FreeSWITCH connects to {esl_host}, TCP port {port}, for each call, and presents the token (header X-Sofia-Token) of the
   Secret {token_secret}, key {token_key}:

     kubectl --namespace {namespace} get secret {token_secret} --output jsonpath='{{.data.{token_key_escaped}}}' | base64 --decode

3. The audio goes to and from the pods' own addresses, UDP ports {first} to {last}. They must be routed both ways,
   without a NAT between.

4. The addresses that FreeSWITCH connects from belong into spec.externalFreeSwitch.allowedPeers of the VoiceTrunk.
"
    )
}
