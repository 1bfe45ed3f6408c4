//! The XML dialplan as data: contexts, extensions, conditions, actions. Refuses what the stand-in would not do as FreeSWITCH
//! does; never runs anything, which is [`crate::dialplan`]'s and the legs' business.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use roxmltree::Node;

use super::ConfigError;
use super::xml::{attribute, bad, descendants, line};
use crate::dialplan::{dial_string, playback};

/// Every application that a leg of this switch can run.
const APPLICATIONS: &[&str] = &[
    "answer",
    "bridge",
    "echo",
    "export",
    "hangup",
    "info",
    "log",
    "park",
    "playback",
    "pre_answer",
    "respond",
    "ring_ready",
    "sched_hangup",
    "set",
    "sleep",
    "socket",
    "transfer",
    "unset",
];

static API_CALL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{\s*\w+\s*\(").expect("the pattern is a constant"));

/// The contexts by name.
#[derive(Debug, Default)]
pub struct Dialplan(HashMap<String, Vec<Extension>>);

impl Dialplan {
    /// The extensions of a context, in order; none for an unknown one.
    #[must_use]
    pub fn extensions(&self, context: &str) -> &[Extension] {
        self.0.get(context).map_or(&[], Vec::as_slice)
    }
}

/// One `<extension>`.
#[derive(Debug)]
pub struct Extension {
    /// Its name, for the log.
    pub name: String,
    /// Go on hunting after a match.
    pub continues: bool,
    /// In order.
    pub conditions: Vec<Condition>,
}

/// One `<condition>`.
#[derive(Debug)]
pub struct Condition {
    /// `destination_number`, another field, `${variable}`, or empty: always true.
    pub field: String,
    /// Searched in the field, not anchored.
    pub expression: Regex,
    /// When the conditions behind it are still looked at.
    pub on: Break,
    /// When it is true.
    pub actions: Vec<Action>,
    /// When it is false.
    pub anti_actions: Vec<Action>,
}

/// FreeSWITCH's `break` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Stop this extension at a false condition (the default).
    OnFalse,
    /// Stop this extension at a true condition.
    OnTrue,
    /// Stop in any case.
    Always,
    /// Never stop.
    Never,
}

/// One `<action>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Which application.
    pub application: String,
    /// Its argument, with `$1` and `${name}` still in it.
    pub data: String,
    /// Runs already while the dialplan is read, so that later conditions see its effect.
    pub inline: bool,
}

/// What a dialplan may name: the profiles and gateways of the same configuration.
pub(super) struct Known<'a> {
    pub(super) profiles: Vec<&'a str>,
    pub(super) gateways: Vec<&'a str>,
}

/// Reads `<section name="dialplan">`.
pub(super) fn read(section: Node<'_, '_>, known: &Known<'_>) -> Result<Dialplan, ConfigError> {
    let mut contexts = HashMap::new();
    for node in descendants(section, "context") {
        let extensions = node
            .children()
            .filter(|child| child.has_tag_name("extension"))
            .map(|extension| read_extension(extension, known))
            .collect::<Result<_, _>>()?;
        contexts.insert(attribute(node, "name")?.to_owned(), extensions);
    }
    Ok(Dialplan(contexts))
}

fn read_extension(node: Node<'_, '_>, known: &Known<'_>) -> Result<Extension, ConfigError> {
    let conditions = node
        .children()
        .filter(|child| child.has_tag_name("condition"))
        .map(|condition| read_condition(condition, known))
        .collect::<Result<_, _>>()?;
    Ok(Extension {
        name: node.attribute("name").unwrap_or_default().to_owned(),
        continues: node.attribute("continue") == Some("true"),
        conditions,
    })
}

fn read_condition(node: Node<'_, '_>, known: &Known<'_>) -> Result<Condition, ConfigError> {
    let unsupported = |node, what| Err(ConfigError::Unsupported { line: line(node), what });
    for attribute in node.attributes() {
        if !matches!(attribute.name(), "field" | "expression" | "break") {
            return unsupported(node, format!("<condition {}=…>", attribute.name()));
        }
    }
    for child in node.children().filter(Node::is_element) {
        match child.tag_name().name() {
            "action" | "anti-action" => {}
            "condition" | "regex" => return unsupported(child, "a condition inside a condition".to_owned()),
            other => return unsupported(child, format!("<{other}> inside a condition")),
        }
    }
    let field = node.attribute("field").unwrap_or_default();
    if API_CALL.is_match(field) {
        return unsupported(node, format!("an API call inside the dialplan ({field})"));
    }
    let pattern = node.attribute("expression").unwrap_or("");
    let expression = Regex::new(pattern)
        .map_err(|error| bad(line(node), "expression", pattern, &format!("a regular expression: {error}")))?;
    let on = match node.attribute("break") {
        None | Some("on-false") => Break::OnFalse,
        Some("on-true") => Break::OnTrue,
        Some("always") => Break::Always,
        Some("never") => Break::Never,
        Some(other) => return Err(bad(line(node), "break", other, "on-false, on-true, always or never")),
    };
    let actions = |tag: &str| {
        let nodes = node.children().filter(|child| child.has_tag_name(tag));
        nodes.map(|action| read_action(action, known)).collect::<Result<Vec<_>, ConfigError>>()
    };
    Ok(Condition {
        field: field.to_owned(),
        expression,
        on,
        actions: actions("action")?,
        anti_actions: actions("anti-action")?,
    })
}

fn read_action(node: Node<'_, '_>, known: &Known<'_>) -> Result<Action, ConfigError> {
    let application = attribute(node, "application")?;
    let data = node.attribute("data").unwrap_or_default();
    let unsupported = |what| Err(ConfigError::Unsupported { line: line(node), what });
    if !APPLICATIONS.contains(&application) {
        return unsupported(format!("application {application:?}"));
    }
    if API_CALL.is_match(data) {
        return unsupported(format!("an API call inside the dialplan ({data})"));
    }
    let wrong = |expected: &str| Err(bad(line(node), application, data, expected));
    match application {
        "bridge" => {
            let dial = match dial_string(data) {
                Ok(dial) => dial,
                Err(problem) => return wrong(&format!("a dial string: {problem}")),
            };
            let (name, names, what) = match &dial.gateway {
                Some(gateway) => (gateway, &known.gateways, "gateway"),
                None => (&dial.profile, &known.profiles, "profile"),
            };
            if !name.contains('$') && !names.contains(&name.as_str()) {
                return wrong(&format!("to a {what} of this configuration: there is none with the name {name:?}"));
            }
        }
        "playback" if data.starts_with("tone_stream://") && !data.contains('$') && playback(data).is_none() => {
            return wrong("a tone such as tone_stream://%(500,500,480,620);loops=3");
        }
        "set" | "export" if !data.contains('=') => return wrong("name=value"),
        _ => {}
    }
    Ok(Action {
        application: application.to_owned(),
        data: data.to_owned(),
        inline: node.attribute("inline") == Some("true"),
    })
}
