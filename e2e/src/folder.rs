//! A folder that lasts as long as a test.

use std::path::{Path, PathBuf};

use sofia_dataplane::record::CallRecord;

use crate::eventually;

/// A new, empty folder, removed when dropped; a test that fails leaves it for a look.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one below the system's folder for temporary files.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("sofia-phone-e2e-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).expect("folders can be made where temporary files go");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The files in it whose names end in `suffix`, in order of their names.
    #[must_use]
    pub fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(&self.0, suffix, &mut files);
        files.sort();
        files
    }

    /// Waits for the records of `count` calls, in order of their names, which begin with the time.
    ///
    /// # Panics
    /// When they do not come, see [`eventually`].
    pub async fn records(&self, count: usize) -> Vec<CallRecord> {
        let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
        eventually(&format!("{count} call records"), async || {
            let records: Vec<CallRecord> = self.files(".json").iter().filter_map(read).collect();
            (records.len() >= count).then_some(records)
        })
        .await
    }
}

/// Files of all levels: how records are laid out is not this module's business.
fn collect(folder: &Path, suffix: &str, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, suffix, files);
        } else if path.to_string_lossy().ends_with(suffix) {
            files.push(path);
        }
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            // Left-overs in the folder for temporary files harm nobody.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
