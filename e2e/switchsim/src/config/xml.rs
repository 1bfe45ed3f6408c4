//! What the readers of the configuration share: parameters with their line, required attributes. Never judges a value's meaning.

use std::collections::HashMap;
use std::str::FromStr;

use roxmltree::Node;

use super::ConfigError;

/// A `<param>`'s value and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Param<'a> {
    pub(super) value: &'a str,
    pub(super) line: u32,
}

impl Param<'_> {
    pub(super) fn parse<T: FromStr>(&self, what: &str, expected: &str) -> Result<T, ConfigError> {
        self.value.trim().parse().map_err(|_| self.bad(what, expected))
    }

    pub(super) fn bad(&self, what: &str, expected: &str) -> ConfigError {
        bad(self.line, what, self.value, expected)
    }

    /// FreeSWITCH's idea of truth.
    pub(super) fn is_true(&self) -> bool {
        matches!(
            self.value.trim().to_ascii_lowercase().as_str(),
            "true" | "yes" | "on" | "1" | "enabled" | "active" | "allow" | "t"
        )
    }
}

pub(super) fn bad(line: u32, what: &str, value: &str, expected: &str) -> ConfigError {
    ConfigError::Value { line, what: what.to_owned(), value: value.to_owned(), expected: expected.to_owned() }
}

/// Line of the (pre-processed) file.
pub(super) fn line(node: Node<'_, '_>) -> u32 {
    node.document().text_pos_at(node.range().start).row
}

pub(super) fn descendants<'a, 'input>(node: Node<'a, 'input>, tag: &'a str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.descendants().filter(move |child| child.has_tag_name(tag))
}

/// All parameters of that name, in order: some may be given more than once.
pub(super) fn all<'a>(node: Node<'a, 'a>, name: &'a str) -> impl Iterator<Item = Param<'a>> {
    descendants(node, "param")
        .filter(move |param| param.attribute("name") == Some(name))
        .filter_map(|param| Some(Param { value: param.attribute("value")?, line: line(param) }))
}

/// The parameters by name; of several of one name the last counts.
pub(super) fn params<'a>(node: Node<'a, 'a>) -> HashMap<&'a str, Param<'a>> {
    descendants(node, "param")
        .filter_map(|param| {
            Some((param.attribute("name")?, Param { value: param.attribute("value")?, line: line(param) }))
        })
        .collect()
}

pub(super) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, ConfigError> {
    node.attribute(name).ok_or_else(|| ConfigError::Missing {
        what: format!("line {}: attribute {name:?} of <{}>", line(node), node.tag_name().name()),
    })
}
