//! The documentation says what is so: its tables are those of the program, its names exist, its links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sofia_dataplane::call::{HANDED_OVER_VARIABLE, STATE_VARIABLE};
use sofia_dataplane::metrics::{CircuitLevel, Metrics};
use sofia_dataplane::settings::{VARIABLES, markdown_table};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page for readers, by its path in the workspace.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    let docs = fs::read_dir(root().join("docs")).expect("there is a folder docs");
    let docs = docs.map(|entry| Path::new("docs").join(entry.expect("it can be listed").file_name()));
    paths.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    assert!(paths.len() > 5, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), read(path))).collect()
}

#[test]
fn the_table_of_settings_is_the_programs() {
    let page = read("docs/settings.md");
    let (_, rest) = page.split_once("<!-- settings: begin").expect("it has the marker");
    let (_, rest) = rest.split_once("-->\n").expect("the marker ends");
    let (table, _) = rest.split_once("<!-- settings: end -->").expect("it has the other marker");
    assert_eq!(table, markdown_table(), "docs/settings.md is stale: put in what `sofia-dataplane --settings` prints");
}

/// Names and types of everything that a scrape can hold.
fn scraped() -> BTreeSet<(String, String)> {
    let metrics = Metrics::new(vec![], Instant::now());
    // Families with labels appear with their first series.
    metrics.session_ended("caller_hung_up", Duration::from_secs(1));
    metrics.backend_error("speak", "timeout");
    metrics.backend_retry("speak");
    metrics.esl_error("timeout");
    metrics.set_circuit("speak", CircuitLevel::Closed);
    metrics.set_component_health("backend", true);
    let text = metrics.scrape(Instant::now());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[test]
fn the_metrics_documented_are_those_of_a_scrape() {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let documented: BTreeSet<_> = rows
        .filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(" |")?.0.to_owned())))
        .filter(|(name, _)| name.starts_with("sofia_phone_"))
        .collect();
    let scraped = scraped();
    let missing: Vec<_> = scraped.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&scraped).collect();
    assert!(missing.is_empty() && invented.is_empty(), "not documented: {missing:?}; not there: {invented:?}");
}

#[test]
fn every_metric_that_a_page_names_exists() {
    let families: BTreeSet<String> = scraped().into_iter().map(|(name, _)| name).collect();
    let switch = read("e2e/switchsim/freeswitch.xml");
    for (path, text) in pages() {
        for name in words(&text, "sofia_phone_", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            // Variables of FreeSWITCH are named alike: what pods keep on the caller's leg, and what the dialplan passes on.
            let variable =
                [STATE_VARIABLE, HANDED_OVER_VARIABLE].contains(&name) || switch.contains(&format!("${{{name}}}"));
            let known = families.contains(family.unwrap_or(name)) || variable;
            assert!(known, "{}: {name}", path.display());
        }
    }
}

#[test]
fn every_setting_that_a_page_names_exists() {
    let prefix = "SOFIA_PHONE_";
    for (path, text) in pages() {
        for name in words(&text, prefix, |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            // `SOFIA_PHONE_*` and `SOFIA_PHONE_…_API_KEY` stand for many.
            let known = name == prefix || VARIABLES.iter().any(|variable| variable.name == name);
            assert!(known, "{}: {name}", path.display());
        }
    }
}

#[test]
fn every_make_target_that_a_page_names_exists() {
    let makefile = read("Makefile");
    let mut named = 0;
    for (path, text) in pages() {
        for command in words(&text, "`make ", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            let target = command.trim_start_matches("`make ");
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "{}: make {target}", path.display());
            named += 1;
        }
    }
    assert!(named >= 2, "README.md names `make demo` and `make test`");
}

#[test]
fn every_link_and_path_of_a_page_leads_to_a_file() {
    for (path, text) in pages() {
        let folder = root().join(path.parent().expect("a file lies in a folder"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link)) {
            let file = link.split_once('#').map_or(link, |(file, _)| file);
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{}: {link}", path.display());
            }
        }
    }
}

#[test]
fn the_folders_of_the_architecture_page_are_there() {
    let page = read("docs/architecture.md");
    let tree = page
        .split("```\n")
        .find(|block| block.starts_with("crds/") || block.contains("\ncrds/"))
        .expect("it shows the tree");
    let mut top = PathBuf::new();
    let mut seen = 0;
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let is_inner = line.starts_with(' ');
        for word in line.split_whitespace().take_while(|word| word.ends_with('/')) {
            let folder = if is_inner { top.join(word) } else { root().join(word) };
            assert!(folder.is_dir(), "{}", folder.display());
            if !is_inner {
                top = folder;
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{tree}");
}

/// The words of `text` that begin with `prefix`, as far as `belongs` goes.
fn words<'a>(text: &'a str, prefix: &'a str, belongs: impl Fn(char) -> bool + 'a) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).map(move |(at, _)| {
        let rest = &text[at + prefix.len()..];
        let end = rest.find(|c: char| !belongs(c)).unwrap_or(rest.len());
        &text[at..at + prefix.len() + end]
    })
}
