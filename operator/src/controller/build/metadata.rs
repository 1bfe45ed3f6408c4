//! The frame of every object: its name, its labels, and its owner, with which it goes. Also where a trunk's own name, namespace and uid
//! are taken out once, so that no builder has to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use sofia_crds::{VoiceTrunk, VoiceTrunkSpec};

use super::{
    BuildError, Inputs,
    labels::{self, Component},
};

/// What the builders work from: the inputs, and of the trunk's metadata what they need.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// What the whole is built from.
    pub inputs: &'a Inputs<'a>,
    /// The trunk's spec.
    pub spec: &'a VoiceTrunkSpec,
    /// The trunk's name.
    pub name: &'a str,
    /// Its namespace, and that of all its objects.
    pub namespace: &'a str,
    uid: &'a str,
}

impl<'a> Context<'a> {
    pub(super) fn of(inputs: &'a Inputs<'a>) -> Result<Self, BuildError> {
        let metadata = &inputs.trunk.metadata;
        let required = |value: &'a Option<String>, field| value.as_deref().ok_or(BuildError::Incomplete { field });
        Ok(Self {
            inputs,
            spec: &inputs.trunk.spec,
            name: required(&metadata.name, "name")?,
            namespace: required(&metadata.namespace, "namespace")?,
            uid: required(&metadata.uid, "uid")?,
        })
    }

    /// The metadata of one of the trunk's objects.
    pub(super) fn metadata(&self, component: Component, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels::object(self.name, component, &self.inputs.release.version)),
            owner_references: Some(vec![self.owner_reference()]),
            ..ObjectMeta::default()
        }
    }

    /// The same with annotations of the user's.
    pub(super) fn annotated(
        &self,
        component: Component,
        name: String,
        annotations: &BTreeMap<String, String>,
    ) -> ObjectMeta {
        ObjectMeta {
            annotations: (!annotations.is_empty()).then(|| annotations.clone()),
            ..self.metadata(component, name)
        }
    }

    /// Selects the pods of a part of the trunk.
    pub(super) fn selector(&self, component: Component) -> LabelSelector {
        LabelSelector { match_labels: Some(labels::selector(self.name, component)), ..LabelSelector::default() }
    }

    fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: VoiceTrunk::api_version(&()).into_owned(),
            kind: VoiceTrunk::kind(&()).into_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: Some(true),
            // Would need the right to change trunks' finalizers where the cluster enforces it.
            block_owner_deletion: None,
        }
    }
}
