//! The objects of the documented examples, whole, and what must hold for the objects of any trunk.

mod fields;
mod guarantees;
mod kinds;
mod network;
mod pod_template;
mod settings;
mod whole;

use std::{collections::BTreeMap, fs, path::PathBuf};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodTemplateSpec};
use serde_json::{Value, json};
use sofia_crds::{VoiceTrunk, validate::validate};

use super::{BuildError, Inputs, Kind, Manifest, Objects, build, labels::Component};
use crate::{controller::dereference::Referenced, release::Release, secret_text::SecretText};

/// Texts that are nowhere but in Secrets.
const SECRETS: [&str; 4] =
    ["token-of-the-calls", "token-of-the-pods", "password-of-the-socket", "password-of-the-carrier"];

/// Everything that objects are built from, changeable.
#[derive(Clone)]
struct Fixture {
    trunk: VoiceTrunk,
    referenced: Referenced,
    release: Release,
    replicas: u32,
    serving: u32,
    crowded: bool,
    pod_monitors: bool,
    load_balancer_address: Option<&'static str>,
}

impl Fixture {
    /// A trunk of that name with the spec, which must be one that can be built.
    fn named(name: &str, spec: Value) -> Self {
        let manifest = json!({
            "apiVersion": "sofia-phone.io/v1alpha1",
            "kind": "VoiceTrunk",
            "metadata": {
                "name": name,
                "namespace": "telephony",
                "uid": "1d3c7f7e-5f0e-4f0b-8f83-6a2a1f0c5e11",
            },
            "spec": spec,
        });
        let trunk: VoiceTrunk = serde_json::from_value(manifest).expect("a VoiceTrunk");
        assert_eq!(validate(&trunk.spec), [], "the spec can be built");
        let [esl_token, admin_token, event_socket_password, carrier] = SECRETS.map(SecretText::new);
        Self {
            trunk,
            referenced: Referenced {
                gateway_passwords: BTreeMap::from([("carrier".to_owned(), carrier)]),
                esl_token,
                admin_token,
                event_socket_password,
                data_plane_fingerprint: "fingerprint".to_owned(),
            },
            release: Release {
                version: "0.1.0".to_owned(),
                data_plane_image: "example.com/sofia-phone/dataplane:0.1.0".to_owned(),
                free_switch_image: "example.com/sofia-phone/freeswitch:1.11".to_owned(),
                operator_namespace: "sofia-phone-system".to_owned(),
                operator_labels: [("app.kubernetes.io/name".to_owned(), "sofia-phone-operator".to_owned())].into(),
                network_policies: true,
            },
            replicas: 3,
            serving: 3,
            crowded: false,
            pod_monitors: false,
            load_balancer_address: None,
        }
    }

    fn of(spec: Value) -> Self {
        Self::named("main", spec)
    }

    /// One of the documented examples.
    fn example(file: &str) -> Self {
        let trunk: Value = serde_saphyr::from_str(&repository_file(&format!("crds/examples/{file}"))).expect("YAML");
        Self::of(trunk["spec"].clone())
    }

    fn examples() -> [Self; 4] {
        ["minimal.yaml", "full.yaml", "openai.yaml", "external-freeswitch.yaml"].map(Self::example)
    }

    fn build(&self) -> Result<Objects, BuildError> {
        build(&Inputs {
            trunk: &self.trunk,
            referenced: &self.referenced,
            release: &self.release,
            data_plane_replicas: self.replicas,
            data_plane_serving: self.serving,
            crowded: self.crowded,
            pod_monitors: self.pod_monitors,
            load_balancer_address: self.load_balancer_address,
        })
    }

    fn objects(&self) -> Objects {
        self.build().expect("the spec can be built")
    }

    fn manifests(&self) -> Vec<Manifest> {
        self.objects().manifests()
    }

    fn manifest(&self, kind: Kind, name: &str) -> Value {
        let found = self.manifests().into_iter().find(|manifest| manifest.kind == kind && manifest.name == name);
        found.unwrap_or_else(|| panic!("there is a {} {name}", kind.name())).value
    }

    fn deployment(&self, component: Component) -> Deployment {
        let name = format!("main-{}", component.as_str());
        let found = self.objects().deployments.into_iter().find(|one| one.metadata.name.as_ref() == Some(&name));
        found.unwrap_or_else(|| panic!("there is a Deployment {name}"))
    }

    fn template(&self, component: Component) -> PodTemplateSpec {
        self.deployment(component).spec.expect("a Deployment has a spec").template
    }

    /// The settings of the data plane, but for those with a value from elsewhere.
    fn settings(&self) -> BTreeMap<String, String> {
        let container = self.template(Component::DataPlane).spec.expect("a pod has a spec").containers.remove(0);
        let variables = container.env.expect("the data plane has settings");
        variables.into_iter().filter_map(|variable| Some((variable.name, variable.value?))).collect()
    }
}

fn repository_file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
