//! FreeSWITCH's pre-processor: `<X-PRE-PROCESS cmd="set" data="name=value"/>` and `$${name}`, replaced in the text before it
//! is parsed as XML. Never reads another file: a configuration here is one file.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::{ConfigError, LocalAddresses};

static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"<X-PRE-PROCESS\s+cmd\s*=\s*"([^"]*)"\s+data\s*=\s*"([^"]*)"\s*/>"#)
        .expect("the pattern is a constant")
});
static GLOBAL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\$\{([A-Za-z0-9_.-]+)\}").expect("the pattern is a constant"));

/// Values may name other variables; this many rounds is deeper than any sane file.
const MAX_DEPTH: usize = 16;

/// Replaces every `$${name}`; also returns the variables. `overrides` win over the file's own `set` directives, which win over
/// what FreeSWITCH defines by itself (`local_ip_v4`, `hostname`, …).
///
/// As in FreeSWITCH the file's own values are text of the file: what stands there as `&amp;` is `&` only after the parser.
///
/// # Errors
/// A variable that nobody defines, which FreeSWITCH would silently replace with nothing; an `include`.
pub(super) fn preprocess(
    xml: &str,
    overrides: &HashMap<String, String>,
    local: LocalAddresses,
) -> Result<(String, HashMap<String, String>), ConfigError> {
    let mut variables: HashMap<String, String> = [
        ("local_ip_v4", local.v4.to_string()),
        ("local_ip_v6", local.v6.to_string()),
        ("hostname", "switchsim".to_owned()),
        ("switchname", "switchsim".to_owned()),
        ("domain", local.v4.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let without_comments = strip_comments(xml);
    for directive in DIRECTIVE.captures_iter(&without_comments) {
        match (&directive[1], directive[2].split_once('=')) {
            ("set", Some((name, value))) => variables.insert(name.trim().to_owned(), value.trim().to_owned()),
            (command, _) => return Err(ConfigError::PreProcessor { directive: command.to_owned() }),
        };
    }
    variables.extend(overrides.iter().map(|(name, value)| (name.clone(), escape(value))));

    let mut text = DIRECTIVE.replace_all(&without_comments, "").into_owned();
    if let Some(start) = text.find("<X-PRE-PROCESS") {
        let directive = text[start..].lines().next().unwrap_or_default().to_owned();
        return Err(ConfigError::PreProcessor { directive });
    }
    for _ in 0..MAX_DEPTH {
        if !GLOBAL.is_match(&text) {
            variables.extend(overrides.iter().map(|(name, value)| (name.clone(), value.clone())));
            return Ok((text, variables));
        }
        if let Some(unknown) = GLOBAL.captures_iter(&text).find(|name| !variables.contains_key(&name[1])) {
            return Err(ConfigError::UndefinedGlobal { name: unknown[1].to_owned() });
        }
        text = GLOBAL.replace_all(&text, |name: &regex::Captures<'_>| variables[&name[1]].clone()).into_owned();
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

    fn preprocessed(xml: &str, pairs: &[(&str, &str)]) -> Result<String, ConfigError> {
        let overrides = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        preprocess(xml, &overrides, LocalAddresses::LOOPBACK).map(|(text, _)| text)
    }

    #[test]
    fn a_global_variable_is_replaced_and_an_override_wins() {
        let xml = r#"<a><X-PRE-PROCESS cmd="set" data="hosts=one|two"/><b data="$${hosts}"/></a>"#;
        assert!(preprocessed(xml, &[]).unwrap().contains(r#"data="one|two""#));
        assert!(preprocessed(xml, &[("hosts", "three")]).unwrap().contains(r#"data="three""#));
    }

    #[test]
    fn a_global_variable_may_name_another() {
        let xml = r#"<a><X-PRE-PROCESS cmd="set" data="x=$${y}:1"/><X-PRE-PROCESS cmd="set" data="y=h"/><b data="$${x}"/></a>"#;
        assert!(preprocessed(xml, &[]).unwrap().contains(r#"data="h:1""#));
    }

    #[test]
    fn the_machines_own_address_is_known_and_can_be_set() {
        let xml = "<a b='$${local_ip_v4}' c='$${local_ip_v6}'/>";
        assert_eq!(preprocessed(xml, &[]).unwrap(), "<a b='127.0.0.1' c='::1'/>");
        assert_eq!(preprocessed(xml, &[("local_ip_v4", "192.0.2.7")]).unwrap(), "<a b='192.0.2.7' c='::1'/>");
        let own = r#"<a><X-PRE-PROCESS cmd="set" data="local_ip_v4=192.0.2.8"/><b c="$${local_ip_v4}"/></a>"#;
        assert_eq!(preprocessed(own, &[]).unwrap(), r#"<a><b c="192.0.2.8"/></a>"#);
    }

    #[test]
    fn a_value_with_markup_stays_a_value() {
        let xml = r#"<a><X-PRE-PROCESS cmd="set" data="x=&quot;1&amp;2&quot;"/><b c="$${x}" d="$${y}"/></a>"#;
        let text = preprocessed(xml, &[("y", "\"<&")]).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let b = document.root_element().first_element_child().unwrap();
        assert_eq!((b.attribute("c"), b.attribute("d")), (Some("\"1&2\""), Some("\"<&")));
    }

    #[test]
    fn an_undefined_global_variable_is_named() {
        let error = preprocessed("<a b='$${nobody}'/>", &[]).unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
    }

    #[test]
    fn a_circle_of_variables_ends_with_an_error() {
        let xml = r#"<a><X-PRE-PROCESS cmd="set" data="x=$${x}"/><b data="$${x}"/></a>"#;
        assert!(preprocessed(xml, &[]).is_err());
    }

    #[test]
    fn a_directive_that_is_not_understood_is_not_passed_over() {
        for directive in ["cmd=\"include\" data=\"x.xml\"", "cmd=\"set\" data='x=1'", "cmd=\"set\" data=\"x\""] {
            let error = preprocessed(&format!("<a><X-PRE-PROCESS {directive}/></a>"), &[]).unwrap_err();
            assert!(error.to_string().contains("expected <X-PRE-PROCESS"), "{error}");
        }
    }

    #[test]
    fn comments_are_not_looked_into() {
        assert_eq!(preprocessed("<a><!-- $${none}\n --></a>", &[]).unwrap(), "<a>\n</a>");
    }
}
