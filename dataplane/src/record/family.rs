//! The records of one call by all the pods that had it: each names the others, so that every page leads to the whole call.

use std::fs;
use std::io;
use std::path::Path;

use super::call::{CallRecord, OtherRecord};
use super::names::id_in_names;

/// A call that went over more pods than this names the first ones only.
const MAX_OTHERS: usize = 50;
/// The longest record that is read, in bytes.
const MAX_RECORD: u64 = 64 << 20;

/// Notes in `record`, whose name is `stem`, which other records of its call lie in `folder`, and returns these as they are to be written
/// anew, by their names. Blocks on the disk.
pub(super) fn join(folder: &Path, stem: &str, record: &mut CallRecord) -> io::Result<Vec<(String, CallRecord)>> {
    let mark = format!("-{}", id_in_names(&record.call_id));
    let mut others = Vec::new();
    for entry in fs::read_dir(folder)? {
        let Ok(entry) = entry else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some(other) = name.strip_suffix(".json") else { continue };
        if other == stem || !other.contains(&mark) || entry.metadata().is_ok_and(|data| data.len() > MAX_RECORD) {
            continue;
        }
        let read = fs::read(entry.path()).ok().and_then(|json| serde_json::from_slice::<CallRecord>(&json).ok());
        if let Some(read) = read.filter(|read| read.call_id == record.call_id) {
            others.push((other.to_owned(), read));
        }
        if others.len() == MAX_OTHERS {
            break;
        }
    }
    let link = |name: &str, record: &CallRecord| OtherRecord {
        attempt: record.attempt,
        started_at: record.started_at,
        name: name.to_owned(),
    };
    let mut all: Vec<OtherRecord> = others.iter().map(|(name, record)| link(name, record)).collect();
    all.push(link(stem, record));
    all.sort_by_key(|record| (record.started_at, record.attempt));
    let but = |name: &str| all.iter().filter(|link| link.name != name).cloned().collect::<Vec<_>>();
    record.others = but(stem);
    for (name, other) in &mut others {
        other.others = but(name);
    }
    Ok(others)
}
