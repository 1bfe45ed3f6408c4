//! What a VoiceTrunk refers to and what was made for it once: passwords, tokens, generated secrets. Reads, never writes: what is made
//! here lasts once the Secrets that hold it are applied.

use std::collections::{BTreeMap, btree_map::Entry};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use rand::CryptoRng;
use sha2::Sha256;
use sofia_crds::{
    VoiceTrunk, VoiceTrunkSpec,
    spec::{BackendKind, SecretKeyRef, Switch},
};

use super::{
    status::Problem,
    stores::{TrunkKey, controller_of},
};
use crate::{secret_text::SecretText, vocabulary::names};

/// Everything outside a VoiceTrunk that its objects are built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referenced {
    /// Passwords of the gateways that have one, by the gateway's name.
    pub gateway_passwords: BTreeMap<String, SecretText>,
    /// What FreeSWITCH presents with each call (header `X-Sofia-Token`).
    pub esl_token: SecretText,
    /// Bearer token of the pods' admin HTTP.
    pub admin_token: SecretText,
    /// Password of FreeSWITCH's own event socket, which listens on loopback only.
    pub event_socket_password: SecretText,
    /// Keyed fingerprint of the values of all Secrets that data-plane pods mount (API keys, the records' token, the tokens above): it changes
    /// when one of them does, and says nothing about them.
    pub data_plane_fingerprint: String,
}

impl Referenced {
    /// What is enough to speak to the pods, and to build nothing that holds a secret. Without the token they can't be told to drain: they
    /// have to be ended for it.
    pub fn token_only(admin_token: Option<SecretText>) -> Self {
        let none = || SecretText::new("");
        Self {
            gateway_passwords: BTreeMap::new(),
            esl_token: none(),
            admin_token: admin_token.unwrap_or_else(none),
            event_socket_password: none(),
            data_plane_fingerprint: String::new(),
        }
    }
}

/// The contents of the Secrets that a trunk may name, by the Secret's name; nothing for one that does not exist.
pub type Secrets = BTreeMap<String, Option<Secret>>;

/// What a value is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose<'a> {
    /// The password of the gateway of this name.
    Gateway(&'a str),
    /// The token that an external FreeSWITCH presents.
    EslToken,
    /// A file in the data-plane pods.
    Mounted,
}

/// A value that the spec names.
#[derive(Clone, Debug)]
struct Wanted<'a> {
    reference: &'a SecretKeyRef,
    purpose: Purpose<'a>,
    /// Path of the field that names it.
    field: String,
}

/// Every value that the spec names, in the order of its fields.
fn wanted(spec: &VoiceTrunkSpec) -> Vec<Wanted<'_>> {
    let mut wanted = Vec::new();
    match spec.switch() {
        Switch::Managed(managed) => {
            for (index, gateway) in managed.gateways.iter().enumerate() {
                if let Some(reference) = &gateway.password_secret_ref {
                    let field = format!("spec.freeSwitch.gateways[{index}].passwordSecretRef");
                    wanted.push(Wanted { reference, purpose: Purpose::Gateway(&gateway.name), field });
                }
            }
        }
        Switch::External(external) => {
            if let Some(reference) = &external.esl_token_secret_ref {
                let field = "spec.externalFreeSwitch.eslTokenSecretRef".to_owned();
                wanted.push(Wanted { reference, purpose: Purpose::EslToken, field });
            }
        }
    }
    let mut mounted = Vec::new();
    if let Some(BackendKind::OpenAi(backend)) = spec.backends().kind() {
        mounted.push(("backends.openAI.transcription.apiKeySecretRef", &backend.transcription.api_key_secret_ref));
        mounted.push(("backends.openAI.generation.apiKeySecretRef", &backend.generation.api_key_secret_ref));
        mounted.push(("backends.openAI.speech.apiKeySecretRef", &backend.speech.api_key_secret_ref));
    }
    if let Some(records) = &spec.records {
        mounted.push(("records.tokenSecretRef", &records.token_secret_ref));
    }
    for (field, reference) in mounted {
        if let Some(reference) = reference {
            wanted.push(Wanted { reference, purpose: Purpose::Mounted, field: format!("spec.{field}") });
        }
    }
    wanted
}

/// Reads the Secrets that a trunk names, and `own`, of those that were made for it; no others.
pub async fn read(
    client: &Client,
    trunk: &TrunkKey,
    spec: &VoiceTrunkSpec,
    own: impl IntoIterator<Item = String>,
) -> Result<Secrets, kube::Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &trunk.namespace);
    let named = wanted(spec).into_iter().map(|wanted| wanted.reference.name.clone());
    let mut secrets = Secrets::new();
    for name in named.chain(own) {
        if let Entry::Vacant(place) = secrets.entry(name) {
            let secret = api.get_opt(place.key()).await?;
            place.insert(secret);
        }
    }
    Ok(secrets)
}

/// Takes from the Secrets what the trunk's objects are built from; what was never made is made now, from `random`. `earlier` is what was
/// made or read before: values whose Secret does not exist yet are taken from it, so that they are made once only.
pub fn dereference(
    trunk: &VoiceTrunk,
    secrets: &Secrets,
    earlier: Option<&Referenced>,
    random: &mut dyn CryptoRng,
) -> Result<Referenced, Problem> {
    let mut gateway_passwords = BTreeMap::new();
    let mut esl_token = None;
    let mut mounted = Vec::new();
    for wanted in wanted(&trunk.spec) {
        let value = value(secrets, &wanted)?;
        match wanted.purpose {
            Purpose::Gateway(name) => {
                gateway_passwords.insert(name.to_owned(), value);
            }
            Purpose::EslToken => esl_token = Some(value),
            Purpose::Mounted => mounted.push((wanted.field, value)),
        }
    }
    let name = trunk.metadata.name.as_deref().unwrap_or_default();
    let uid = trunk.metadata.uid.as_deref().unwrap_or_default();
    let mut own = |secret: &str, key: &str, earlier: Option<&SecretText>| {
        made(secrets, uid, secret, key).or_else(|| earlier.cloned()).unwrap_or_else(|| make(random))
    };
    let internal = names::internal(name);
    let admin_token = own(&internal, names::ADMIN_TOKEN_KEY, earlier.map(|earlier| &earlier.admin_token));
    let event_socket_password =
        own(&internal, names::EVENT_SOCKET_KEY, earlier.map(|earlier| &earlier.event_socket_password));
    let esl_token = esl_token
        .unwrap_or_else(|| own(&names::esl(name), names::TOKEN_KEY, earlier.map(|earlier| &earlier.esl_token)));
    let data_plane_fingerprint = fingerprint(&admin_token, &esl_token, &mounted);
    Ok(Referenced { gateway_passwords, esl_token, admin_token, event_socket_password, data_plane_fingerprint })
}

/// The value that a field names.
fn value(secrets: &Secrets, wanted: &Wanted<'_>) -> Result<SecretText, Problem> {
    let SecretKeyRef { name, key } = wanted.reference;
    let wanted_by = wanted.field.clone();
    let Some(secret) = secrets.get(name).and_then(Option::as_ref) else {
        return Err(Problem::MissingSecret { secret: name.clone(), wanted_by });
    };
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        let keys = secret.data.iter().flat_map(BTreeMap::keys).cloned().collect();
        return Err(Problem::MissingKey { secret: name.clone(), key: key.clone(), keys, wanted_by });
    };
    // A line end is what `echo password | kubectl create secret …` leaves behind.
    let text = std::str::from_utf8(&value.0).ok().map(|text| text.trim_end_matches(['\r', '\n']));
    match text.filter(|text| !text.is_empty() && !text.contains(char::is_control)) {
        Some(text) => Ok(SecretText::new(text)),
        None => Err(Problem::UnusableSecret {
            secret: name.clone(),
            key: key.clone(),
            wanted_by,
            expected: "one line of printable characters".to_owned(),
        }),
    }
}

/// A value that was made for this trunk before. One of an earlier trunk of the same name is not taken: its Secret is about to go.
pub(super) fn made(secrets: &Secrets, uid: &str, secret: &str, key: &str) -> Option<SecretText> {
    let secret = secrets.get(secret)?.as_ref()?;
    let (_, owner) = controller_of(&secret.metadata)?;
    let value = secret.data.as_ref().filter(|_| owner == uid)?.get(key)?;
    std::str::from_utf8(&value.0).ok().filter(|text| !text.is_empty()).map(SecretText::new)
}

/// 32 random bytes in the alphabet that needs no escaping anywhere.
fn make(random: &mut dyn CryptoRng) -> SecretText {
    let mut bytes = [0; 32];
    random.fill_bytes(&mut bytes);
    SecretText::new(URL_SAFE_NO_PAD.encode(bytes))
}

fn fingerprint(admin_token: &SecretText, esl_token: &SecretText, mounted: &[(String, SecretText)]) -> String {
    let mut mac = keyed(admin_token);
    let own = [("admin", admin_token), ("esl", esl_token)];
    let others = mounted.iter().map(|(field, value)| (field.as_str(), value));
    for (field, value) in own.into_iter().chain(others) {
        // Lengths first: no two sets of values are written alike.
        for part in [field, value.expose()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
    }
    hexadecimal(&mac.finalize().into_bytes()[..16])
}

/// A keyed hash: what comes out can be shown, since nobody without the key can try out what went in.
pub(super) fn keyed(key: &SecretText) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of every length")
}

/// Bytes in lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::OwnerReference};
    use rand::{SeedableRng as _, rngs::StdRng};
    use serde_json::json;

    use super::*;

    fn trunk(spec: serde_json::Value) -> VoiceTrunk {
        let mut trunk =
            VoiceTrunk::new("main", serde_json::from_value(spec).expect("a spec that the tests write parses"));
        trunk.metadata.uid = Some("uid-1".to_owned());
        trunk.metadata.namespace = Some("telephony".to_owned());
        trunk
    }

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    fn owned(data: &[(&str, &str)], uid: &str) -> Secret {
        let mut secret = secret(data);
        secret.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "sofia-phone.io/v1alpha1".to_owned(),
            kind: "VoiceTrunk".to_owned(),
            name: "main".to_owned(),
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: None,
        }]);
        secret
    }

    fn with_gateway() -> VoiceTrunk {
        trunk(json!({ "freeSwitch": { "gateways": [{
            "name": "carrier", "proxy": "sip.example.com", "username": "sofia",
            "passwordSecretRef": { "name": "carrier", "key": "password" },
        }] } }))
    }

    fn random() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    #[test]
    fn a_secret_that_does_not_exist_is_named_with_the_field() {
        let problem = dereference(&with_gateway(), &BTreeMap::new(), None, &mut random()).unwrap_err();
        let wanted_by = "spec.freeSwitch.gateways[0].passwordSecretRef".to_owned();
        assert_eq!(problem, Problem::MissingSecret { secret: "carrier".to_owned(), wanted_by });
    }

    #[test]
    fn a_key_that_the_secret_lacks_is_named_with_those_that_it_has() {
        let secrets = [("carrier".to_owned(), Some(secret(&[("passwort", "hush")])))].into();
        let problem = dereference(&with_gateway(), &secrets, None, &mut random()).unwrap_err();
        assert!(
            matches!(&problem, Problem::MissingKey { key, keys, .. } if key == "password" && keys == &["passwort"])
        );
        assert!(!problem.to_string().contains("hush"), "names only");
    }

    #[test]
    fn a_line_end_behind_a_password_is_not_part_of_it() {
        let secrets = [("carrier".to_owned(), Some(secret(&[("password", "pa ss\n")])))].into();
        let referenced = dereference(&with_gateway(), &secrets, None, &mut random()).unwrap();
        assert_eq!(referenced.gateway_passwords["carrier"].expose(), "pa ss");
    }

    #[test]
    fn a_value_of_several_lines_is_refused_without_being_told() {
        let secrets = [("carrier".to_owned(), Some(secret(&[("password", "hush\nhush")])))].into();
        let problem = dereference(&with_gateway(), &secrets, None, &mut random()).unwrap_err();
        assert!(matches!(problem, Problem::UnusableSecret { .. }));
        assert!(!problem.to_string().contains("hush"));
    }

    #[test]
    fn what_was_made_once_is_taken_again() {
        let internal = owned(&[("admin-token", "a"), ("event-socket-password", "b")], "uid-1");
        let secrets = [
            ("main-internal".to_owned(), Some(internal)),
            ("main-esl".to_owned(), Some(owned(&[("token", "c")], "uid-1"))),
        ]
        .into();
        let referenced = dereference(&trunk(json!({})), &secrets, None, &mut random()).unwrap();
        let values = [&referenced.admin_token, &referenced.event_socket_password, &referenced.esl_token];
        assert_eq!(values.map(SecretText::expose), ["a", "b", "c"]);
    }

    #[test]
    fn what_was_made_for_an_earlier_trunk_of_the_same_name_is_not_taken() {
        let secrets = [("main-esl".to_owned(), Some(owned(&[("token", "c")], "uid-0")))].into();
        let referenced = dereference(&trunk(json!({})), &secrets, None, &mut random()).unwrap();
        assert_eq!(referenced.esl_token.expose().len(), 43);
    }

    #[test]
    fn values_are_made_once_even_before_their_secrets_exist() {
        let mut random = random();
        let first = dereference(&trunk(json!({})), &BTreeMap::new(), None, &mut random).unwrap();
        let second = dereference(&trunk(json!({})), &BTreeMap::new(), Some(&first), &mut random).unwrap();
        assert_eq!(first, second);
        assert_ne!(first.admin_token, first.esl_token);
    }

    #[test]
    fn the_fingerprint_changes_with_a_mounted_value_and_is_none_of_them() {
        let trunk = trunk(json!({ "records": {
            "url": "https://records.example.com", "tokenSecretRef": { "name": "records", "key": "token" },
        } }));
        let with = |token: &str| {
            let secrets = [("records".to_owned(), Some(secret(&[("token", token)])))].into();
            dereference(&trunk, &secrets, None, &mut random()).unwrap().data_plane_fingerprint
        };
        assert_eq!(with("one"), with("one"));
        assert_ne!(with("one"), with("two"));
    }

    #[test]
    fn an_external_freeswitch_presents_the_users_own_token() {
        let trunk = trunk(json!({ "externalFreeSwitch": {
            "allowedPeers": ["192.0.2.0/24"], "eslTokenSecretRef": { "name": "switch", "key": "token" },
        } }));
        let secrets = [("switch".to_owned(), Some(secret(&[("token", "theirs")])))].into();
        let referenced = dereference(&trunk, &secrets, None, &mut random()).unwrap();
        assert_eq!(referenced.esl_token.expose(), "theirs");
    }
}
