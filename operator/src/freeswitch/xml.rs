//! Elements and attributes, and all the escaping there is: nothing else here writes a quotation mark. Knows no FreeSWITCH
//! configuration, only how FreeSWITCH reads the file.
//!
//! FreeSWITCH reads it twice. A pre-processor goes over the raw lines first: it replaces `$${name}` wherever that stands and
//! drops a line with the word of its own directive. Then comes the XML parser. A value is written so that the first has
//! nothing to find in it and the second gives it back whole. `${name}` is neither's business: an application expands it when
//! a call runs, so what goes into an application's data is checked by [`super::check`].

use std::borrow::Cow;

use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;

use super::error::RenderError;

/// The pre-processor's directive, which it looks for in any case.
const DIRECTIVE: &str = "x-pre-process";

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A text that FreeSWITCH shall see as it is.
    Text(String),
    /// A variable that FreeSWITCH itself fills in when it starts, such as `local_ip_v4`.
    Global(&'static str),
}

impl Value {
    fn escaped(&self) -> Option<String> {
        match self {
            Self::Text(text) => escape(text),
            Self::Global(name) => Some(format!("$${{{name}}}")),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Text(truth.to_string())
    }
}

/// Whether an attribute can hold it: all but what no XML 1.0 document can (production 2, Char), and control characters with the
/// line ends, which the line-wise pre-processor would take apart.
pub(super) fn is_writable(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() || matches!(character, '\u{FFFE}' | '\u{FFFF}'))
}

fn escape(text: &str) -> Option<String> {
    if !is_writable(text) {
        return None;
    }
    let hide_hyphens = text.to_ascii_lowercase().contains(DIRECTIVE);
    let mut escaped = String::with_capacity(text.len() + 16);
    let mut after_dollar = false;
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '$' if after_dollar => escaped.push_str("&#36;"),
            '-' if hide_hyphens => escaped.push_str("&#45;"),
            other => escaped.push(other),
        }
        after_dollar = character == '$';
    }
    Some(escaped)
}

/// An element in the making.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, Value)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    Comment(&'static str),
}

impl Element {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), children: Vec::new() }
    }

    /// An element that is known by its name.
    pub(super) fn named(tag: &'static str, name: impl Into<Value>) -> Self {
        Self::new(tag).with("name", name)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    pub(super) fn child(mut self, child: Element) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    pub(super) fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// For whoever reads the file in the cluster; it comes before the children that follow.
    pub(super) fn comment(mut self, text: &'static str) -> Self {
        self.children.push(Node::Comment(text));
        self
    }

    /// `<param name="…" value="…"/>`
    pub(super) fn param(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.child(Self::named("param", name).with("value", value))
    }

    /// The whole document.
    pub(super) fn into_document(self) -> Result<String, RenderError> {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        write(&mut writer, Event::Decl(BytesDecl::new("1.0", None, None)));
        self.write(&mut writer)?;
        let mut text = String::from_utf8(writer.into_inner()).expect("only strings were written");
        text.push('\n');
        Ok(text)
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> Result<(), RenderError> {
        let mut start = BytesStart::new(self.name);
        for (name, value) in &self.attributes {
            let value = value.escaped().ok_or_else(|| self.unwritable(name))?;
            start.push_attribute(Attribute { key: QName(name), value: Cow::Owned(value) });
        }
        if self.children.is_empty() {
            write(writer, Event::Empty(start));
            return Ok(());
        }
        write(writer, Event::Start(start));
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(writer)?,
                Node::Comment(text) => write(writer, Event::Comment(BytesText::from_escaped(format!(" {text} ")))),
            }
        }
        write(writer, Event::End(BytesEnd::new(self.name)));
        Ok(())
    }

    fn unwritable(&self, attribute: &str) -> RenderError {
        let own_name = self.attributes.iter().find_map(|(name, value)| match value {
            Value::Text(text) if *name == "name" && *name != attribute => Some(text.as_str()),
            _ => None,
        });
        let field = format!("{attribute} of <{} name={:?}>", self.name, own_name.unwrap_or_default());
        RenderError::new(field, "text without control characters and line ends")
    }
}

fn write(writer: &mut Writer<Vec<u8>>, event: Event<'_>) {
    writer.write_event(event).expect("writing to memory never fails");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roxmltree::Document;

    use super::*;

    fn document(value: impl Into<Value>) -> Result<String, RenderError> {
        Element::named("a", "it").with("value", value).child(Element::new("b")).into_document()
    }

    #[test]
    fn markup_in_a_value_stays_text() {
        let text = document("\"/><c x='1'>&amp;]]><!--").unwrap();
        let parsed = Document::parse(&text).unwrap();
        assert_eq!(parsed.root_element().attribute("value"), Some("\"/><c x='1'>&amp;]]><!--"));
        assert_eq!(parsed.root_element().children().filter(roxmltree::Node::is_element).count(), 1);
    }

    #[test]
    fn the_pre_processor_finds_nothing_in_a_text() {
        for hostile in
            ["$${secret}", "a$$${x}", "<X-PRE-PROCESS cmd=\"exec\" data=\"id\"/>", "x-Pre-Process", "<?x", "<!--#exec"]
        {
            let text = document(hostile).unwrap();
            let line = text.lines().find(|line| line.contains("value=")).unwrap();
            for found in ["$${", "<?", "<!--"] {
                assert!(!line.contains(found), "{line}");
            }
            assert!(!line.to_ascii_lowercase().contains(DIRECTIVE), "{line}");
            assert_eq!(Document::parse(&text).unwrap().root_element().attribute("value"), Some(hostile));
        }
    }

    #[test]
    fn a_global_is_left_to_the_pre_processor() {
        assert!(document(Value::Global("local_ip_v4")).unwrap().contains("value=\"$${local_ip_v4}\""));
    }

    #[test]
    fn what_xml_cannot_hold_is_refused_with_its_place() {
        for text in ["\0", "a\nb", "a\rb", "\t", "\u{1b}", "\u{FFFF}", "\u{85}"] {
            let error = document(text).unwrap_err();
            assert_eq!(error.field, "value of <a name=\"it\">");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back_whole_or_is_refused(text in any::<String>()) {
            if let Ok(written) = document(text.as_str()) {
                let parsed = Document::parse(&written).unwrap();
                prop_assert_eq!(parsed.root_element().attribute("value"), Some(text.as_str()));
                prop_assert_eq!(parsed.descendants().filter(roxmltree::Node::is_element).count(), 2);
                let global = written.contains("$${");
                prop_assert!(!global);
            } else {
                prop_assert!(!is_writable(&text));
            }
        }
    }
}
