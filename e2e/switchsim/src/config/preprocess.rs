//! FreeSWITCH's pre-processor: `<X-PRE-PROCESS cmd="set" data="name=value"/>` and `$${name}`, replaced in the text before it
//! is parsed as XML. Never reads another file: a configuration here is one file.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::ConfigError;

static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"<X-PRE-PROCESS\s+cmd\s*=\s*"([^"]*)"\s+data\s*=\s*"([^"]*)"\s*/>"#)
        .expect("the pattern is a constant")
});
static GLOBAL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\$\{([A-Za-z0-9_.-]+)\}").expect("the pattern is a constant"));

/// Values may name other variables; this many rounds is deeper than any sane file.
const MAX_DEPTH: usize = 16;

/// Replaces every `$${name}`. `overrides` win over the file's own `set` directives, which win over what FreeSWITCH defines by
/// itself (`local_ip_v4`, `hostname`, …, here loopback values).
///
/// # Errors
/// A variable that nobody defines, which FreeSWITCH would silently replace with nothing; an `include`.
pub(super) fn preprocess(xml: &str, overrides: &HashMap<String, String>) -> Result<String, ConfigError> {
    let mut variables: HashMap<String, String> = [
        ("local_ip_v4", "127.0.0.1"),
        ("local_ip_v6", "::1"),
        ("hostname", "switchsim"),
        ("switchname", "switchsim"),
        ("domain", "127.0.0.1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let without_comments = strip_comments(xml);
    for directive in DIRECTIVE.captures_iter(&without_comments) {
        match (&directive[1], directive[2].split_once('=')) {
            ("set", Some((name, value))) => variables.insert(name.trim().to_owned(), value.trim().to_owned()),
            (command, _) => return Err(ConfigError::PreProcessor { directive: command.to_owned() }),
        };
    }
    variables.extend(overrides.iter().map(|(name, value)| (name.clone(), value.clone())));

    let mut text = DIRECTIVE.replace_all(&without_comments, "").into_owned();
    for _ in 0..MAX_DEPTH {
        if !GLOBAL.is_match(&text) {
            return Ok(text);
        }
        if let Some(unknown) = GLOBAL.captures_iter(&text).find(|name| !variables.contains_key(&name[1])) {
            return Err(ConfigError::UndefinedGlobal { name: unknown[1].to_owned() });
        }
        text = GLOBAL.replace_all(&text, |name: &regex::Captures<'_>| escape(&variables[&name[1]])).into_owned();
    }
    Err(ConfigError::PreProcessor { directive: "set, in a circle".to_owned() })
}

/// Comments may hold `$${…}` and directives as examples; line ends stay, so that the parser's line numbers do too.
fn strip_comments(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len());
    let mut rest = xml;
    while let Some(start) = rest.find("<!--") {
        out.push_str(&rest[..start]);
        let end = rest[start..].find("-->").map_or(rest.len(), |end| start + end + 3);
        out.extend(rest[start..end].chars().filter(|character| *character == '\n'));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The text is XML already: a value with markup in it would change its structure.
fn escape(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_global_variable_is_replaced_and_an_override_wins() {
        let xml = r#"<a><X-PRE-PROCESS cmd="set" data="hosts=one|two"/><b data="$${hosts}"/></a>"#;
        assert!(preprocess(xml, &overrides(&[])).unwrap().contains(r#"data="one|two""#));
        assert!(preprocess(xml, &overrides(&[("hosts", "three")])).unwrap().contains(r#"data="three""#));
    }

    #[test]
    fn a_global_variable_may_name_another() {
        let xml = r#"<a><X-PRE-PROCESS cmd="set" data="x=$${y}:1"/><X-PRE-PROCESS cmd="set" data="y=h"/><b data="$${x}"/></a>"#;
        assert!(preprocess(xml, &overrides(&[])).unwrap().contains(r#"data="h:1""#));
    }

    #[test]
    fn an_undefined_global_variable_is_named() {
        let error = preprocess("<a b='$${nobody}'/>", &overrides(&[])).unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
    }

    #[test]
    fn a_circle_of_variables_ends_with_an_error() {
        let xml = r#"<a><X-PRE-PROCESS cmd="set" data="x=$${x}"/><b data="$${x}"/></a>"#;
        assert!(preprocess(xml, &overrides(&[])).is_err());
    }

    #[test]
    fn comments_are_not_looked_into() {
        assert_eq!(preprocess("<a><!-- $${none}\n --></a>", &overrides(&[])).unwrap(), "<a>\n</a>");
    }
}
