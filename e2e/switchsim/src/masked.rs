//! Keeps secrets out of reports: what dialplans set or present under a name that speaks of a token or a password. Never touches what
//! pods are sent.

use std::sync::LazyLock;

use regex::Regex;

static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)([\w:.-]*(?:token|password|secret)[\w.-]*=)[^,\]}>]*").expect("the pattern is a constant")
});

const MASK: &str = "***";

/// Whether a variable of that name is nobody's business.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "password", "secret"].iter().any(|word| name.contains(word))
}

/// A variable's value, or a mask.
pub(crate) fn value(name: &str, value: &str) -> String {
    if is_secret(name) { MASK.to_owned() } else { value.to_owned() }
}

/// The data of an application.
pub(crate) fn data(application: &str, data: &str) -> String {
    match data.split_once('=') {
        // One pair, whose value may hold anything.
        Some((name, value)) if matches!(application, "set" | "export") => {
            format!("{name}={}", self::value(name, value))
        }
        _ => PAIR.replace_all(data, format!("${{1}}{MASK}")).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_a_token_is_masked_and_nothing_else() {
        assert_eq!(data("export", "nolocal:sip_h_X-Sofia-Token=a,b]c"), "nolocal:sip_h_X-Sofia-Token=***");
        assert_eq!(data("set", "continue_on_fail=true"), "continue_on_fail=true");
        let bridge = "[leg_timeout=3,sip_h_X-Sofia-Token=hush,sip_h_X-Attempt=1]sofia/agent/1@127.0.0.1:5080";
        assert_eq!(data("bridge", bridge), bridge.replace("hush", "***"));
        assert_eq!(
            data("bridge", "[sip_auth_password=hush]sofia/gateway/c/1"),
            "[sip_auth_password=***]sofia/gateway/c/1"
        );
    }
}
