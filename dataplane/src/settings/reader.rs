//! Reads single variables out of the environment by the rules of the table, collecting what is wrong instead of stopping.
//! Knows no variable by name.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use super::error::SettingsError;
use super::table::{VARIABLES, Values, Variable, lookup};
use crate::backend::Secret;

/// What every variable's name begins with.
pub(super) const PREFIX: &str = "SOFIA_PHONE_";
/// Most warnings about unknown names; a broken environment shall not flood the log.
const UNKNOWN_NAMED: usize = 16;
/// Longest name that is repeated in a warning or compared with the known ones.
const NAME_BYTES: usize = 64;
/// Longest secret: what an HTTP header can carry.
const SECRET_BYTES: usize = 8 * 1024;
/// Longest JSON object.
const JSON_BYTES: usize = 4000;

pub(super) struct Reader {
    values: HashMap<String, String>,
    read: BTreeSet<&'static str>,
    pub(super) errors: Vec<SettingsError>,
    pub(super) warnings: Vec<String>,
}

impl Reader {
    /// Takes the variables of ours; of the same name twice, the later one. Empty means unset, as Compose files and Helm
    /// charts leave variables empty that nobody filled in.
    pub(super) fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let values: HashMap<_, _> = vars.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        let mut reader = Self { values, read: BTreeSet::new(), errors: Vec::new(), warnings: Vec::new() };
        reader.drop_service_links();
        reader.values.retain(|_, value| !value.trim().is_empty());
        reader
    }

    /// Kubernetes describes every Service of a namespace to its pods in variables: a Service called `sofia-phone-esl` gives
    /// `SOFIA_PHONE_ESL_PORT=tcp://10.0.0.7:8084`. Those are nobody's settings.
    fn drop_service_links(&mut self) {
        let is_link = |value: &str| ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
        for variable in VARIABLES.iter().filter(|variable| variable.name.ends_with("_PORT")) {
            if self.values.get(variable.name).is_some_and(|value| is_link(value)) {
                self.values.remove(variable.name);
                self.warnings.push(format!(
                    "{} was set by Kubernetes for a Service of that name and is ignored; set enableServiceLinks: false \
                     in the pod, or the variable itself",
                    variable.name
                ));
            }
        }
        self.values.retain(|name, value| {
            lookup(name).is_some()
                || !(is_link(value)
                    || name.ends_with("_SERVICE_HOST")
                    || name.contains("_SERVICE_PORT")
                    || ["_TCP_", "_UDP_", "_SCTP_"].iter().any(|protocol| name.contains(protocol)))
        });
    }

    fn row(&mut self, name: &str) -> &'static Variable {
        let row = lookup(name).expect("only variables of the table are read; a test reads them all");
        self.read.insert(row.name);
        row
    }

    pub(super) fn wrong(&mut self, name: &str, got: Option<&str>, expected: impl Into<String>) {
        self.errors.push(SettingsError::new(name, got, expected));
    }

    /// Whether the variable was given.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The value given or else the default, as text; `None` when neither is there.
    fn text_of(&mut self, name: &str) -> Option<String> {
        let row = self.row(name);
        let given = self.values.get(name).map(String::as_str);
        given.or(Some(row.default).filter(|default| !default.is_empty())).map(str::to_owned)
    }

    /// Reads by `parse`; what doesn't parse is an error, and the default stands in so that reading goes on.
    fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text_of(name)?;
        let parsed = parse(text.trim());
        if parsed.is_some() {
            return parsed;
        }
        let row = self.row(name);
        self.wrong(name, Some(&text), row.values.to_string());
        parse(row.default)
    }

    pub(super) fn integer(&mut self, name: &str) -> u64 {
        let Values::Integer { min, max } = self.row(name).values else {
            unreachable!("{name} is an integer in the table")
        };
        self.parsed(name, |text| text.parse().ok().filter(|number| (min..=max).contains(number)))
            .expect("the table's defaults are valid: tested")
    }

    /// An integer whose upper bound in the table fits 32 bits.
    pub(super) fn count(&mut self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).expect("the table's bounds of counts fit 32 bits: tested")
    }

    pub(super) fn port(&mut self, name: &str) -> u16 {
        u16::try_from(self.integer(name)).expect("the table's bounds of ports fit 16 bits: tested")
    }

    pub(super) fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(self.integer(name))
    }

    pub(super) fn milliseconds(&mut self, name: &str) -> Duration {
        Duration::from_millis(self.integer(name))
    }

    pub(super) fn switch(&mut self, name: &str) -> bool {
        self.parsed(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        })
        .expect("the table's defaults are valid: tested")
    }

    /// One of `choices`, whose words are those of the table.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        self.parsed(name, |text| {
            choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, choice)| *choice)
        })
        .expect("the table's defaults are valid: tested")
    }

    pub(super) fn address(&mut self, name: &str) -> IpAddr {
        self.parsed(name, |text| text.parse().ok()).expect("the table's defaults are valid: tested")
    }

    /// Anything with a default and a rule of its own.
    pub(super) fn custom<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        self.parsed(name, parse).expect("the table's defaults are valid: tested")
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let Values::Text { max_bytes } = self.row(name).values else { unreachable!("{name} is text in the table") };
        self.parsed(name, |text| (text.len() <= max_bytes && !text.contains('\0')).then(|| text.to_owned()))
    }

    /// Text that the word `none` switches off.
    pub(super) fn text_or_none(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.eq_ignore_ascii_case("none"))
    }

    pub(super) fn url(&mut self, name: &str) -> Option<String> {
        self.parsed(name, |text| is_plain_url(text).then(|| text.trim_end_matches('/').to_owned()))
    }

    pub(super) fn path(&mut self, name: &str) -> Option<std::path::PathBuf> {
        self.parsed(name, |text| (!text.contains('\0')).then(|| text.into()))
    }

    /// A JSON object; without one, an empty object.
    pub(super) fn json_object(&mut self, name: &str) -> serde_json::Map<String, serde_json::Value> {
        self.parsed(name, |text| if text.len() <= JSON_BYTES { serde_json::from_str(text).ok() } else { None })
            .unwrap_or_default()
    }

    /// The path of a file that can be read now.
    pub(super) fn readable_file(&mut self, name: &str) -> Option<std::path::PathBuf> {
        let path = self.path(name)?;
        match open_regular(&path) {
            Ok(_) => Some(path),
            Err(reason) => {
                self.wrong(name, Some(&path.to_string_lossy()), format!("the path of a readable file ({reason})"));
                None
            }
        }
    }

    /// A secret from `name`, or from the file that `name` + `_FILE` names; both at once is an error.
    pub(super) fn secret(&mut self, name: &str) -> Option<Secret> {
        let file_name = format!("{name}_FILE");
        let inline = self.text_of(name);
        let path = self.path(&file_name);
        let text = match (inline, path) {
            (Some(_), Some(_)) => {
                self.wrong(name, None, format!("either this or {file_name}, not both"));
                return None;
            }
            (Some(text), None) => text,
            (None, Some(path)) => match read_secret(&path) {
                Ok(text) => text,
                Err(reason) => {
                    let expected = format!("a readable file with the secret ({reason})");
                    self.wrong(&file_name, Some(&path.to_string_lossy()), expected);
                    return None;
                }
            },
            (None, None) => return None,
        };
        let text = text.trim();
        // Secrets end up in HTTP headers, which carry neither line ends nor other control characters.
        if text.is_empty() || text.len() > SECRET_BYTES || text.chars().any(char::is_control) {
            let at_fault = if self.is_set(name) { name } else { &file_name };
            self.wrong(at_fault, None, format!("one line of 1 to {SECRET_BYTES} bytes (the value is not shown)"));
            return None;
        }
        Some(Secret::from(text.to_owned()))
    }

    /// Warns of names that begin as ours do and mean nothing.
    pub(super) fn warn_of_unknown_names(&mut self) {
        let mut unknown: Vec<&str> =
            self.values.keys().map(String::as_str).filter(|name| lookup(name).is_none()).collect();
        unknown.sort_unstable();
        for name in unknown.iter().take(UNKNOWN_NAMED) {
            let shown: String = name.chars().take(NAME_BYTES).flat_map(char::escape_default).collect();
            let hint = nearest(name).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            self.warnings.push(format!("{shown} is not a known setting{hint}"));
        }
        if unknown.len() > UNKNOWN_NAMED {
            self.warnings.push(format!("{} more unknown {PREFIX}* settings", unknown.len() - UNKNOWN_NAMED));
        }
    }

    /// The names read so far.
    #[cfg(test)]
    pub(super) fn names_read(&self) -> &BTreeSet<&'static str> {
        &self.read
    }
}

/// The known name that differs least from `name`, if it differs little.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > NAME_BYTES {
        return None;
    }
    let tail = |name: &'static str| &name[PREFIX.len()..];
    let sought = name.get(PREFIX.len()..)?.to_ascii_uppercase();
    VARIABLES
        .iter()
        .map(|variable| (edit_distance(&sought, tail(variable.name)), variable.name))
        .min()
        .filter(|(distance, known)| *distance <= (tail(known).len() / 4).max(2))
        .map(|(_, known)| known)
}

/// Insertions, deletions and replacements of bytes between two names (Levenshtein).
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// Whether `text` is an http(s) URL with a host and no credentials, which belong in the variables for keys.
fn is_plain_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<axum::http::Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Opens a regular file. A pipe or device would block or never end.
fn open_regular(path: &std::path::Path) -> Result<File, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    File::open(path).map_err(|error| error.to_string())
}

fn read_secret(path: &std::path::Path) -> Result<String, String> {
    let mut text = String::new();
    let limit = 2 * SECRET_BYTES as u64;
    open_regular(path)?.take(limit).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_a_stranger_is_not() {
        assert_eq!(nearest("SOFIA_PHONE_MAX_SESSION"), Some("SOFIA_PHONE_MAX_SESSIONS"));
        assert_eq!(nearest("SOFIA_PHONE_ESLPORT"), Some("SOFIA_PHONE_ESL_PORT"));
        assert_eq!(nearest("SOFIA_PHONE_log_level"), Some("SOFIA_PHONE_LOG_LEVEL"));
        assert_eq!(nearest("SOFIA_PHONE_COFFEE_MACHINE"), None);
    }

    #[test]
    fn edit_distance_counts_single_bytes() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn urls_need_a_scheme_and_a_host_and_carry_no_credentials() {
        for good in ["http://ollama:11434/v1", "https://api.example.com", "http://[::1]:8000/v1"] {
            assert!(is_plain_url(good), "{good}");
        }
        for bad in
            ["ollama:11434", "/v1", "ftp://host/", "http://", "http://user:pass@host/", "http://a b/", "https:///v1"]
        {
            assert!(!is_plain_url(bad), "{bad}");
        }
    }
}
