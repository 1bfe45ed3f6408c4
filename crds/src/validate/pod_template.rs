//! What may be added to the operator's pods: whatever Kubernetes knows, as long as it takes the place of nothing that is the operator's.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Affinity, EnvVar, Volume, VolumeMount};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Path, Problems};
use crate::spec::{Fields, PodTemplate, saying, typed};

/// Most bytes of all that is added to the pods of one part, as JSON: it stands in annotations too, which have room for 256 KiB.
const BYTES: usize = 16 * 1024;

/// Most bytes of a mount's path.
const PATH_BYTES: usize = 1024;

/// Kinds of volumes that are taken. Those that reach into the node are not, nor those that are deprecated.
const KINDS: [&str; 7] =
    ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI", "csi"];

/// Paths of every container's own. A volume over one of them, or in one, keeps it from starting or takes from it what it runs on.
const SYSTEM_PATHS: [&str; 2] = ["/proc", "/sys"];
/// The same, but for what lies in it, such as `/dev/shm`.
const DEVICES: &str = "/dev";

/// What is the operator's own in the pods of one part.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    /// Names of volumes.
    pub volumes: &'static [&'static str],
    /// Paths in the container.
    pub paths: &'static [&'static str],
    /// Names of variables; with a `*` at the end, beginnings of names.
    pub variables: &'static [&'static str],
}

/// Of the data plane's pods.
pub const DATA_PLANE: Reserved =
    Reserved { volumes: &["secrets"], paths: &["/etc/sofia-phone"], variables: &["SOFIA_PHONE_*"] };

/// Of FreeSWITCH's pods.
pub const FREE_SWITCH: Reserved = Reserved {
    volumes: &["configuration", "data", "tmp"],
    paths: &["/etc/freeswitch", "/etc/fs_cli.conf", "/var/freeswitch", "/tmp"],
    variables: &["HOME"],
};

impl Reserved {
    /// Whether a variable of that name is the operator's to set.
    pub fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|own| own.strip_suffix('*').map_or(*own == name, |begin| name.starts_with(begin)))
    }
}

pub(super) fn pod_template(problems: &mut Problems, path: &Path, template: &PodTemplate, reserved: Reserved) {
    let bytes = serde_json::to_string(template).map_or(0, |text| text.len());
    if bytes > BYTES {
        problems.add(path, format!("has {bytes} bytes as JSON: expected at most {BYTES}"));
    }
    if !template.affinity.is_empty() {
        known::<Affinity>(problems, &path.field("affinity"), &template.affinity);
    }
    let mut volumes = BTreeSet::new();
    for (path, fields) in path.field("volumes").items(&template.volumes) {
        let Some(volume) = known::<Volume>(problems, &path, fields) else { continue };
        let name = &path.field("name");
        if !is_label(&volume.name) {
            problems.add(name, format!("{:?} is no name: expected small letters, digits and hyphens", volume.name));
        }
        if reserved.volumes.contains(&volume.name.as_str()) {
            problems.add(name, format!("{} is a volume of the operator's: expected another name", volume.name));
        }
        let fields = saying(fields);
        let kinds: Vec<&str> = fields.keys().map(String::as_str).filter(|key| *key != "name").collect();
        if !matches!(kinds.as_slice(), [kind] if KINDS.contains(kind)) {
            problems.add(&path, format!("has {kinds:?}: expected exactly one of {}", KINDS.join(", ")));
        }
        if !volumes.insert(volume.name) {
            problems.add(name, "is there twice: expected each name once".to_owned());
        }
    }
    let mut paths = BTreeSet::new();
    for (path, fields) in path.field("volumeMounts").items(&template.volume_mounts) {
        let Some(mount) = known::<VolumeMount>(problems, &path, fields) else { continue };
        if !volumes.contains(&mount.name) {
            problems.add(&path.field("name"), format!("{:?} is not among volumes: expected one of those", mount.name));
        }
        let path = path.field("mountPath");
        match mount_path(&mount.mount_path, reserved.paths) {
            Err(message) => problems.add(&path, message),
            Ok(()) if !paths.insert(parts_of(&mount.mount_path).join("/")) => {
                problems.add(&path, "is there twice: expected each path once".to_owned());
            }
            Ok(()) => {}
        }
    }
    let mut variables = BTreeSet::new();
    for (path, fields) in path.field("env").items(&template.env) {
        let Some(variable) = known::<EnvVar>(problems, &path, fields) else { continue };
        let (path, name) = (path.field("name"), variable.name);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !name.bytes().all(plain) {
            problems.add(&path, format!("{name:?} is no name: expected letters, digits and underscores"));
        }
        if reserved.has_variable(&name) {
            problems.add(
                &path,
                format!("{name} is the operator's to set: expected the field of the spec that it stands for"),
            );
        }
        if variable.value.is_some() && variable.value_from.is_some() {
            problems.add(&path, "has both value and valueFrom: expected one of them".to_owned());
        }
        if !variables.insert(name) {
            problems.add(&path, "is there twice: expected each name once".to_owned());
        }
    }
}

/// The object that the fields are, if it is one and nothing is left over.
fn known<T: Serialize + DeserializeOwned>(problems: &mut Problems, path: &Path, fields: &Fields) -> Option<T> {
    let object: T = match typed(fields) {
        Ok(object) => object,
        Err(error) => {
            problems.add(path, format!("is not as in a pod: {error}"));
            return None;
        }
    };
    let written = Value::Object(saying(fields).into_iter().collect());
    let read = serde_json::to_value(&object).unwrap_or_default();
    if let Some(field) = beyond(&written, &read) {
        problems.add(path, format!("has {field}, which is not known there: expected fields as in a pod"));
        return None;
    }
    // What must be there is written out even when it was not read.
    if let Some(field) = beyond(&read, &written) {
        problems.add(path, format!("lacks {field}: expected fields as in a pod"));
        return None;
    }
    Some(object)
}

/// The first field of the one that the other does not have.
fn beyond(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.iter().find_map(|(name, value)| match other.get(name) {
            None => Some(name.clone()),
            Some(other) => beyond(value, other).map(|below| format!("{name}.{below}")),
        }),
        (Value::Array(one), Value::Array(other)) => one
            .iter()
            .zip(other)
            .enumerate()
            .find_map(|(index, (one, other))| beyond(one, other).map(|below| format!("[{index}].{below}"))),
        _ => None,
    }
}

fn is_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    (1..=63).contains(&text.len())
        && edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// An absolute path that neither lies in one of the operator's or the system's nor hides one.
fn mount_path(path: &str, own: &[&str]) -> Result<(), String> {
    let parts = parts_of(path);
    if !path.starts_with('/') || parts.contains(&"..") || path.contains(':') || path.chars().any(char::is_control) {
        return Err(format!("{path:?} is no path of a mount: expected an absolute one without .. and :"));
    }
    if path.len() > PATH_BYTES {
        return Err(format!("has {} bytes: expected at most {PATH_BYTES}", path.len()));
    }
    let beside = |other: &&&str| parts_of(other).iter().zip(&parts).all(|(other, part)| other == part);
    if let Some(taken) = own.iter().find(beside) {
        return Err(format!("{path:?} is in the way of the operator's {taken}: expected another path"));
    }
    let system = SYSTEM_PATHS.iter().find(beside).or_else(|| Some(&DEVICES).filter(|_| parts == parts_of(DEVICES)));
    system.map_or(Ok(()), |taken| Err(format!("{path:?} is in the way of the system's {taken}: expected another path")))
}

fn parts_of(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}
