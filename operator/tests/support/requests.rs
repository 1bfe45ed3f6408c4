//! What was asked of the API server, as RBAC sees it.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `list`, `watch`, `create`, `patch` or `delete`.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: String,
    /// Version of the group.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// `status`, mostly none.
    pub subresource: Option<String>,
    /// Namespace, where one is named.
    pub namespace: Option<String>,
    /// Name, where one is named.
    pub name: Option<String>,
    /// Parameters of the query.
    pub query: BTreeMap<String, String>,
}

impl Asked {
    /// Reads a request's line; nothing for what is no resource, such as discovery.
    pub fn parse(method: &Method, path: &str, query: &str) -> Option<Self> {
        let query = parameters(query);
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (resource, name, subresource) = match rest {
            [resource] => (*resource, None, None),
            [resource, name] => (*resource, Some(*name), None),
            [resource, name, subresource] => (*resource, Some(*name), Some(*subresource)),
            _ => return None,
        };
        let verb = match *method {
            Method::GET if query.contains_key("watch") => "watch",
            Method::GET if name.is_some() => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => return None,
        };
        Some(Self {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            query,
        })
    }

    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        matches!(self.verb, "create" | "patch" | "delete")
    }

    /// The permission that it takes.
    pub fn permission(&self) -> Permission {
        let resource = match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.clone(),
        };
        Permission { group: self.group.clone(), resource, verb: self.verb.to_owned() }
    }
}

/// What RBAC grants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// API group.
    pub group: String,
    /// Plural name, with the subresource behind a slash.
    pub resource: String,
    /// What is done.
    pub verb: String,
}

/// What RBAC must grant for some requests.
pub fn permissions(requests: &[Asked]) -> BTreeSet<Permission> {
    requests.iter().map(Asked::permission).collect()
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(&rest[..2]).expect("two hexadecimal digits follow a percent sign");
                bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits follow a percent sign"));
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).expect("queries are UTF-8")
}

/// Whether labels satisfy a selector, as far as the controller writes such: `a=b` and `a in (b,c)`.
pub fn selects(selector: &str, labels: Option<&serde_json::Value>) -> bool {
    let mut depth = 0;
    let parts = selector.split(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    parts.filter(|part| !part.is_empty()).all(|part| {
        let value = |key: &str| labels.and_then(|labels| labels.get(key.trim())).and_then(|value| value.as_str());
        if let Some((key, values)) = part.split_once(" in ") {
            let mut values = values.trim_matches(['(', ')']).split(',');
            return values.any(|wanted| value(key) == Some(wanted));
        }
        if let Some(key) = part.strip_prefix('!') {
            return value(key).is_none();
        }
        let (key, wanted) = part.split_once('=').expect("a selector of the three known forms");
        value(key) == Some(wanted.trim_start_matches('='))
    })
}
