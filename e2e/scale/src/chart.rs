//! The chart as helm renders it: the CustomResourceDefinition, the operator's account with just its roles, and the environment in
//! which its container would run. Its pods are not made: nothing here runs pods.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::ServiceAccount,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
    runtime::wait::{await_condition, conditions},
};
use serde_json::{Value, json};
use tokio::process::Command;

/// Namespace of the release.
pub(crate) const NAMESPACE: &str = "sofia-phone-system";
const RELEASE: &str = "sofia-phone";
/// The kinds that matter without nodes, in the order in which they need each other.
const KINDS: [(&str, &str); 6] = [
    ("CustomResourceDefinition", "customresourcedefinitions"),
    ("ServiceAccount", "serviceaccounts"),
    ("ClusterRole", "clusterroles"),
    ("ClusterRoleBinding", "clusterrolebindings"),
    ("Role", "roles"),
    ("RoleBinding", "rolebindings"),
];

/// The rendered chart.
pub(crate) struct Chart {
    objects: Vec<Value>,
}

impl Chart {
    /// Renders it with its default values.
    pub(crate) async fn render(helm: &Path, chart: &Path) -> anyhow::Result<Self> {
        let rendered = Command::new(helm)
            .args(["template", RELEASE, "--namespace", NAMESPACE, "--include-crds"])
            .arg(chart)
            .output()
            .await
            .with_context(|| format!("{} does not start", helm.display()))?;
        ensure!(rendered.status.success(), "helm: {}", String::from_utf8_lossy(&rendered.stderr));
        let text = String::from_utf8(rendered.stdout)?;
        Ok(Self { objects: serde_saphyr::from_multiple(&text).context("what helm rendered")? })
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// Name of the operator's ServiceAccount.
    pub(crate) fn account(&self) -> anyhow::Result<&str> {
        let account = self.of("ServiceAccount").next().and_then(|account| account["metadata"]["name"].as_str());
        account.context("the chart has no ServiceAccount")
    }

    /// The name by which the API server knows the operator.
    pub(crate) fn user(&self) -> anyhow::Result<String> {
        Ok(format!("system:serviceaccount:{NAMESPACE}:{}", self.account()?))
    }

    /// The environment of the operator's container, as far as it stands in the chart; what a pod would tell is made up.
    pub(crate) fn environment(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let deployment = self.of("Deployment").next().context("the chart has no Deployment")?;
        let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let variables = variables.as_array().context("the operator's container has no environment")?;
        let value = |variable: &Value| match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.namespace") => NAMESPACE.to_owned(),
            Some(_) => "sofia-phone-operator-0".to_owned(),
            None => variable["value"].as_str().unwrap_or_default().to_owned(),
        };
        Ok(variables.iter().map(|all| (all["name"].as_str().unwrap_or_default().to_owned(), value(all))).collect())
    }

    /// Brings account, roles and CustomResourceDefinition into the cluster.
    pub(crate) async fn install(&self, client: &Client) -> anyhow::Result<()> {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        apply(client, "namespaces", &namespace).await?;
        for (kind, plural) in KINDS {
            for object in self.of(kind) {
                apply(client, plural, object).await?;
            }
        }
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let established = await_condition(definitions, "voicetrunks.sofia-phone.io", conditions::is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established).await??;
        Ok(())
    }

    /// A token of the operator's own account, good for longer than any run.
    pub(crate) async fn token(&self, client: &Client) -> anyhow::Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(86_400), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(self.account()?, &PostParams::default(), &request).await?;
        Ok(answer.status.context("the API server gave no token")?.token)
    }
}

async fn apply(client: &Client, plural: &str, object: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, &kind), plural);
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = text(&object["metadata"]["name"]);
    let applied = api.patch(&name, &PatchParams::apply("scale").force(), &Patch::Apply(object)).await;
    applied.with_context(|| format!("{kind} {name}"))?;
    Ok(())
}
