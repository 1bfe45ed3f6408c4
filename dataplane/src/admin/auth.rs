//! The bearer token of the admin server's verbs (RFC 6750). Tells neither by its answer nor by its time how near a guess was.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use subtle::ConstantTimeEq as _;

use super::{AdminParts, ApiError};

/// Proof that the request carried the admin token.
pub(super) struct Authorized;

impl FromRequestParts<Arc<AdminParts>> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut Parts, parts: &Arc<AdminParts>) -> Result<Self, ApiError> {
        let expected = parts.admin_token.as_ref().ok_or_else(ApiError::no_token_set)?;
        let header = request.headers.get(AUTHORIZATION).ok_or_else(ApiError::unauthorized)?;
        let presented = bearer_of(header.as_bytes()).ok_or_else(ApiError::unauthorized)?;
        let same: bool = presented.ct_eq(expected.expose().as_bytes()).into();
        if same { Ok(Self) } else { Err(ApiError::unauthorized()) }
    }
}

/// The token of `Bearer TOKEN`; the scheme's name is in any case (RFC 9110 §11.1).
fn bearer_of(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_what_follows_the_scheme() {
        assert_eq!(bearer_of(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer_of(b"bearer  abc "), Some(&b"abc"[..]));
        for other in [&b"Basic abc"[..], b"abc", b"", b"Bearer", b"Bearerabc"] {
            assert_eq!(bearer_of(other), None);
        }
    }
}
