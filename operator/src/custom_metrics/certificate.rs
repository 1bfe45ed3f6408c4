//! The certificate of the custom-metrics API and the authority that signs it: made here, kept in a Secret, renewed in
//! time. Pure but for the random numbers of the keys.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{GeneralName, X509Certificate};

use crate::secret_text::SecretText;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the certificate is valid; it is renewed after two thirds.
const CERTIFICATE_LIFE: Duration = DAY.saturating_mul(90);
/// How long the authority is valid; it is renewed after two thirds, and the one before stays trusted.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(5 * 365);
/// How far the clocks of those who check may lag.
const LAG: Duration = Duration::from_secs(60 * 60);

/// Keys of the Secret.
const AUTHORITY: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Why a certificate can't be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The Secret is not as it was written.
    #[error("expected {0} in the Secret of the custom-metrics certificate, as the operator writes it")]
    Malformed(&'static str),
    /// The library refused.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate with its authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The authorities in PEM, the newest first: what the API server checks the certificate by.
    pub authorities: String,
    authority_key: SecretText,
    certificate: String,
    key: SecretText,
}

impl Bundle {
    /// A new authority, and a certificate for the DNS names.
    ///
    /// # Errors
    /// When the library refuses, as it does for what is no DNS name.
    pub fn make(names: &[String], now: SystemTime) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        // Each authority has a name of its own: of two with the same one, checkers may try the wrong key.
        let serial: u64 = rand::random();
        parameters.distinguished_name = named(&format!("sofia-phone-custom-metrics-ca-{serial:016x}"));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        parameters.not_before = (now - LAG).into();
        parameters.not_after = (now + AUTHORITY_LIFE).into();
        let authorities = parameters.self_signed(&key)?.pem();
        sign(authorities, SecretText::new(key.serialize_pem()), names, now)
    }

    /// What shall take this one's place, if it is time or it is not made out to the names.
    ///
    /// # Errors
    /// When it can't be read or the library refuses.
    pub fn renewal(&self, names: &[String], now: SystemTime) -> Result<Option<Self>, CertificateError> {
        let authorities = certificates(&self.authorities)?;
        let authority = parsed(authorities.first().ok_or(CertificateError::Malformed(AUTHORITY))?, AUTHORITY)?;
        if is_due(&authority, now) {
            let mut new = Self::make(names, now)?;
            // Replicas and the API server learn of the new one at different times; one before is enough.
            new.authorities
                .push_str(self.authorities.split_inclusive("-----END CERTIFICATE-----").next().unwrap_or_default());
            new.authorities.push('\n');
            return Ok(Some(new));
        }
        let chain = certificates(&self.certificate)?;
        let own = parsed(chain.first().ok_or(CertificateError::Malformed(CERTIFICATE))?, CERTIFICATE)?;
        if is_due(&own, now) || !names.iter().all(|name| is_made_out_to(&own, name)) {
            return Ok(Some(sign(self.authorities.clone(), self.authority_key.clone(), names, now)?));
        }
        Ok(None)
    }

    /// Reads the Secret's data.
    ///
    /// # Errors
    /// When something is missing.
    pub fn of(data: &BTreeMap<String, ByteString>) -> Result<Self, CertificateError> {
        let text = |key: &'static str| {
            let bytes = data.get(key).ok_or(CertificateError::Malformed(key))?;
            String::from_utf8(bytes.0.clone()).map_err(|_| CertificateError::Malformed(key))
        };
        Ok(Self {
            authorities: text(AUTHORITY)?,
            authority_key: SecretText::new(text(AUTHORITY_KEY)?),
            certificate: text(CERTIFICATE)?,
            key: SecretText::new(text(KEY)?),
        })
    }

    /// The Secret's data.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        [
            (AUTHORITY, self.authorities.as_str()),
            (AUTHORITY_KEY, self.authority_key.expose()),
            (CERTIFICATE, self.certificate.as_str()),
            (KEY, self.key.expose()),
        ]
        .map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())))
        .into()
    }

    /// The certificate with what leads to its authority, as TLS sends it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        certificates(&self.certificate)
    }

    /// The certificate's key.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, CertificateError> {
        PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes()).map_err(|_| CertificateError::Malformed(KEY))
    }
}

/// A new certificate by the newest of the authorities.
fn sign(
    authorities: String,
    authority_key: SecretText,
    names: &[String],
    now: SystemTime,
) -> Result<Bundle, CertificateError> {
    let signer = KeyPair::from_pem(authority_key.expose())?;
    let newest = certificates(&authorities)?.into_iter().next().ok_or(CertificateError::Malformed(AUTHORITY))?;
    let issuer = Issuer::from_ca_cert_der(&newest, signer)?;
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names.to_vec())?;
    parameters.distinguished_name = named("sofia-phone-custom-metrics");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = (now - LAG).into();
    parameters.not_after = (now + CERTIFICATE_LIFE).into();
    let certificate = parameters.signed_by(&key, &issuer)?.pem();
    Ok(Bundle { authorities, authority_key, certificate, key: SecretText::new(key.serialize_pem()) })
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Malformed("certificates in PEM"))
}

fn parsed<'a>(der: &'a CertificateDer<'_>, key: &'static str) -> Result<X509Certificate<'a>, CertificateError> {
    x509_parser::parse_x509_certificate(der).map(|(_, parsed)| parsed).map_err(|_| CertificateError::Malformed(key))
}

/// Whether two thirds of a certificate's life have passed.
fn is_due(certificate: &X509Certificate<'_>, now: SystemTime) -> bool {
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    now.is_none_or(|now| now < from || now >= from + (to - from) / 3 * 2)
}

fn is_made_out_to(certificate: &X509Certificate<'_>, name: &str) -> bool {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| names.value.general_names.contains(&GeneralName::DNSName(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["cm.ops.svc".to_owned()]
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * 20_000
    }

    #[test]
    fn what_was_kept_in_a_secret_is_read_back() {
        let bundle = Bundle::make(&names(), now()).expect("a bundle");
        assert_eq!(Bundle::of(&bundle.data()).expect("complete"), bundle);
        let mut incomplete = bundle.data();
        incomplete.remove(KEY);
        assert!(matches!(Bundle::of(&incomplete), Err(CertificateError::Malformed("tls.key"))));
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_by_the_same_authority() {
        let bundle = Bundle::make(&names(), now()).expect("a bundle");
        assert_eq!(bundle.renewal(&names(), now() + DAY * 59).expect("readable"), None);
        let renewed = bundle.renewal(&names(), now() + DAY * 61).expect("readable").expect("due");
        assert_eq!(renewed.authorities, bundle.authorities);
        assert_ne!(renewed.key, bundle.key, "with a new key");
        assert_eq!(renewed.renewal(&names(), now() + DAY * 61).expect("readable"), None);
    }

    #[test]
    fn a_renewed_authority_leaves_the_one_before_trusted() {
        let first = Bundle::make(&names(), now()).expect("a bundle");
        let later = now() + DAY * (4 * 365);
        let second = first.renewal(&names(), later).expect("readable").expect("due");
        assert!(second.authorities.contains(first.authorities.trim()));
        assert_eq!(certificates(&second.authorities).expect("PEM").len(), 2);
        assert_eq!(second.renewal(&names(), later).expect("readable"), None);

        let third = second.renewal(&names(), later + DAY * (4 * 365)).expect("readable").expect("due");
        assert_eq!(certificates(&third.authorities).expect("PEM").len(), 2, "one before is enough");
        assert!(!third.authorities.contains(first.authorities.trim()));
    }

    #[test]
    fn a_certificate_for_other_names_is_replaced() {
        let bundle = Bundle::make(&names(), now()).expect("a bundle");
        let other = vec!["cm.other.svc".to_owned()];
        assert!(bundle.renewal(&other, now()).expect("readable").is_some());
    }

    #[test]
    fn a_certificate_from_the_future_is_replaced() {
        let bundle = Bundle::make(&names(), now() + DAY).expect("a bundle");
        assert!(bundle.renewal(&names(), now()).expect("readable").is_some());
    }

    #[test]
    fn keys_are_not_shown() {
        let bundle = Bundle::make(&names(), now()).expect("a bundle");
        assert!(!format!("{bundle:?}").contains("PRIVATE KEY"));
    }
}
