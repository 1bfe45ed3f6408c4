//! By what the API server's aggregator is known, and in which headers it names the user: ConfigMap
//! `kube-system/extension-apiserver-authentication`, which every API server writes.

use std::collections::BTreeMap;

use http::HeaderMap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Name of the ConfigMap in the namespace `kube-system`.
pub const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// Why the aggregator can't be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontProxyError {
    /// The API server has no aggregation layer, or nobody set it up.
    #[error(
        "expected {0} in ConfigMap kube-system/{CONFIG_MAP}, found none: start the API server with \
         --requestheader-client-ca-file and the other --requestheader options"
    )]
    Missing(&'static str),
    /// The value can't be read.
    #[error("{key} in ConfigMap kube-system/{CONFIG_MAP} can't be read: expected {expected}")]
    Malformed {
        /// Key of the ConfigMap.
        key: &'static str,
        /// What was expected.
        expected: &'static str,
    },
}

/// By what the aggregator is known, and how it names users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontProxy {
    /// Authorities that sign its client certificate.
    pub authorities: Vec<CertificateDer<'static>>,
    names: Vec<String>,
    user_headers: Vec<String>,
    group_headers: Vec<String>,
    extra_prefixes: Vec<String>,
}

/// On whose behalf a request comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else is known, by lower-case key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl FrontProxy {
    /// Reads the ConfigMap's data.
    ///
    /// # Errors
    /// See [`FrontProxyError`].
    pub fn of(data: &BTreeMap<String, String>) -> Result<Self, FrontProxyError> {
        const AUTHORITY: &str = "requestheader-client-ca-file";
        let pem = data.get(AUTHORITY).ok_or(FrontProxyError::Missing(AUTHORITY))?;
        let authorities = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|found| !found.is_empty())
            .ok_or(FrontProxyError::Malformed { key: AUTHORITY, expected: "certificates in PEM" })?;
        Ok(Self {
            authorities,
            names: list(data, "requestheader-allowed-names")?,
            user_headers: list(data, "requestheader-username-headers")?,
            group_headers: list(data, "requestheader-group-headers")?,
            extra_prefixes: list(data, "requestheader-extra-headers-prefix")?,
        })
    }

    /// Whether a client certificate, whose signature has been checked, is the aggregator's: its common name must be an
    /// allowed one. With no names given every one is, as in the API server itself.
    pub fn trusts(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
        let mut names = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        self.names.is_empty() || names.any(|name| self.names.iter().any(|allowed| allowed == name))
    }

    /// The user that the headers name; nothing when they name none.
    pub fn user(&self, headers: &HeaderMap) -> Option<User> {
        let values = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
        };
        let name = self.user_headers.iter().flat_map(|header| values(header)).find(|name| !name.is_empty())?;
        let groups = self.group_headers.iter().flat_map(|header| values(header)).collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for header in headers.keys() {
            let key = self.extra_prefixes.iter().find_map(|prefix| {
                let (start, key) = header.as_str().split_at_checked(prefix.len())?;
                start.eq_ignore_ascii_case(prefix).then_some(key)
            });
            if let Some(key) = key.filter(|key| !key.is_empty()) {
                extra.entry(unescaped(key)).or_default().extend(values(header.as_str()));
            }
        }
        Some(User { name, groups, extra })
    }
}

/// A key as it was before it became a part of a header's name, where a slash or a colon can't be: percent-encoded, as the API server's own
/// `unescapeExtraKey` reads it. One that is not well encoded stays as it came.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        (bytes, rest) = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (Some(high), Some(low)) = (digit(high), digit(low)) else { return key.to_owned() };
                bytes.push(high << 4 | low);
                (bytes, after)
            }
            (b'%', _) => return key.to_owned(),
            (other, after) => {
                bytes.push(*other);
                (bytes, after)
            }
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

/// A list in JSON; an absent one is empty.
fn list(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<String>, FrontProxyError> {
    let Some(text) = data.get(key) else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|_| FrontProxyError::Malformed { key, expected: "a list of strings in JSON" })
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn keys_are_read_as_the_api_server_reads_them() {
        for (escaped, key) in [
            ("scopes", "scopes"),
            ("authentication.kubernetes.io%2fpod-name", "authentication.kubernetes.io/pod-name"),
            ("a%3Ab%25", "a:b%"),
            ("%c3%bc", "ü"),
            ("a%2", "a%2"),
            ("a%zzb", "a%zzb"),
            ("%", "%"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(unescaped(escaped), key, "{escaped}");
        }
    }
}
