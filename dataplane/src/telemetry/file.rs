//! The log file: turned over when it is full or a day old; what is older than a week goes. Reads no clock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::writer::LineSink;

/// When the file is turned over and how long turned ones stay.
#[derive(Debug, Clone, Copy)]
pub struct FileLimits {
    /// The file is turned over before it grows beyond this; only a single longer line makes a longer file.
    pub max_bytes: u64,
    /// The file is turned over when it is this old, so that nothing in it outstays `keep` by more.
    pub max_age: Duration,
    /// How long turned files stay.
    pub keep: Duration,
    /// Most turned files: a pod that logs a gigabyte an hour shall not fill its node.
    pub max_files: usize,
}

impl Default for FileLimits {
    /// 100 MB, a day, a week, 30 files.
    fn default() -> Self {
        Self {
            max_bytes: 100_000_000,
            max_age: Duration::from_secs(24 * 3600),
            keep: Duration::from_secs(7 * 24 * 3600),
            max_files: 30,
        }
    }
}

/// How long a file that could not be opened, or turned over, is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// `NAME.20250131T235959Z`: sorts by time, has no character that any file system minds.
const STAMP: &str = "%Y%m%dT%H%M%SZ";

struct Open {
    file: File,
    bytes: u64,
    since: SystemTime,
    /// The last write broke off, maybe in the middle of a line.
    torn: bool,
}

/// A log file that turns itself over: `app.log` becomes `app.log.20250131T235959Z`, and a new `app.log` begins.
pub struct RotatingFile {
    path: PathBuf,
    limits: FileLimits,
    open: Option<Open>,
    retry_at: Option<SystemTime>,
}

impl RotatingFile {
    /// Opens nothing yet: the first line does.
    pub fn new(path: impl Into<PathBuf>, limits: FileLimits) -> Self {
        Self { path: path.into(), limits, open: None, retry_at: None }
    }

    fn open(&mut self, now: SystemTime) -> io::Result<&mut Open> {
        if self.open.is_none() {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            // Logs speak of callers: other users of the machine have no business in them.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&self.path)?;
            let metadata = file.metadata()?;
            // A file that was there before is as old as its first line, as far as the file system knows.
            let since =
                if metadata.len() == 0 { now } else { metadata.created().or(metadata.modified()).unwrap_or(now) };
            prune(&self.path, &self.limits, now);
            self.open = Some(Open { file, bytes: metadata.len(), since, torn: false });
        }
        Ok(self.open.as_mut().expect("just opened"))
    }

    fn waits_to_retry(&self, now: SystemTime) -> bool {
        // A clock that was set back shall not put the retry off for long.
        self.retry_at.is_some_and(|at| now < at && at.duration_since(now).is_ok_and(|wait| wait <= RETRY_AFTER))
    }

    fn turn_over(&mut self, now: SystemTime) -> io::Result<()> {
        fs::rename(&self.path, turned_path(&self.path, now))?;
        self.open = None;
        Ok(())
    }
}

impl LineSink for RotatingFile {
    fn write_line(&mut self, line: &[u8], now: SystemTime) -> io::Result<()> {
        let resting = self.waits_to_retry(now);
        if self.open.is_none() && resting {
            return Err(io::Error::other("the log file could not be opened"));
        }
        let limits = self.limits;
        let opened = self.open(now).map(|open| {
            let full = open.bytes > 0 && open.bytes + line.len() as u64 > limits.max_bytes;
            let old = open.bytes > 0 && now.duration_since(open.since).is_ok_and(|age| age >= limits.max_age);
            full || old
        });
        match opened {
            // Better a file that is too long than no log, so a failed turn is only tried again later.
            Ok(true) if !resting => self.retry_at = self.turn_over(now).is_err().then(|| now + RETRY_AFTER),
            Ok(_) => {}
            Err(error) => {
                self.retry_at = Some(now + RETRY_AFTER);
                return Err(error);
            }
        }
        let open = self.open(now)?;
        if std::mem::take(&mut open.torn) {
            open.file.write_all(b"\n").inspect_err(|_| open.torn = true)?;
            open.bytes += 1;
        }
        open.file.write_all(line).inspect_err(|_| open.torn = true)?;
        open.bytes += line.len() as u64;
        Ok(())
    }
}

/// A name for the turned file that is not taken.
fn turned_path(path: &Path, now: SystemTime) -> PathBuf {
    let stamp = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime(STAMP).to_string();
    let named = |suffix: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    // Several in a second: numbered with a fixed width, so that names still sort by time.
    std::iter::once(named(format!(".{stamp}")))
        .chain((1..1000).map(|n| named(format!(".{stamp}-{n:03}"))))
        .find(|candidate| !candidate.exists())
        .unwrap_or_else(|| named(format!(".{stamp}-999")))
}

/// When a file was turned over, by its name; `None` for files that are not ours.
fn turned_at(name: &str, log_name: &str) -> Option<SystemTime> {
    let stamp = name.strip_prefix(log_name)?.strip_prefix('.')?;
    let (stamp, number) = stamp.split_once('-').unwrap_or((stamp, "0"));
    number.parse::<u16>().ok()?;
    let civil = jiff::civil::DateTime::strptime(STAMP, stamp).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().into())
}

/// Removes turned files that are too old or too many. What can't be removed now is tried at the next turn.
fn prune(path: &Path, limits: &FileLimits, now: SystemTime) {
    let Some(log_name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut turned: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((turned_at(entry.file_name().to_str()?, log_name)?, entry.path())))
        .collect();
    turned.sort_by(|newer, older| older.cmp(newer));
    for (index, (at, file)) in turned.iter().enumerate() {
        let too_old = now.duration_since(*at).is_ok_and(|age| age > limits.keep);
        if too_old || index >= limits.max_files {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is gone when the test is over.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sofia-log-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("the temporary folder takes folders");
            Self(path)
        }

        fn log(&self) -> PathBuf {
            self.0.join("app.log")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).expect("the folder is there");
            let mut names: Vec<_> =
                entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn limits(max_bytes: u64) -> FileLimits {
        FileLimits { max_bytes, ..FileLimits::default() }
    }

    /// 2025-01-31, 23:59:59 UTC.
    fn new_years_eve() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_738_367_999)
    }

    #[test]
    fn a_full_file_is_turned_over_between_lines() {
        let folder = Folder::new("size");
        let mut log = RotatingFile::new(folder.log(), limits(10));
        let now = new_years_eve();
        for line in ["first\n", "2nd\n", "third\n"] {
            log.write_line(line.as_bytes(), now).expect("the folder is writable");
        }
        assert_eq!(folder.names(), ["app.log", "app.log.20250131T235959Z"]);
        assert_eq!(fs::read_to_string(folder.log()).expect("there"), "third\n");
        let turned = folder.0.join("app.log.20250131T235959Z");
        assert_eq!(fs::read_to_string(turned).expect("there"), "first\n2nd\n");
    }

    #[test]
    fn several_turns_in_a_second_lose_nothing() {
        let folder = Folder::new("many");
        let mut log = RotatingFile::new(folder.log(), limits(1));
        for n in 0..5 {
            log.write_line(format!("{n}\n").as_bytes(), new_years_eve()).expect("the folder is writable");
        }
        assert_eq!(
            folder.names(),
            [
                "app.log",
                "app.log.20250131T235959Z",
                "app.log.20250131T235959Z-001",
                "app.log.20250131T235959Z-002",
                "app.log.20250131T235959Z-003"
            ]
        );
    }

    #[test]
    fn a_file_is_turned_over_daily_and_kept_for_a_week() {
        let folder = Folder::new("age");
        let foreign = ["app.log.notes", "app.log.20250131T235959Z.gz", "other.log.20200101T000000Z"];
        for name in foreign {
            fs::write(folder.0.join(name), "keep me").expect("the folder is writable");
        }
        let mut log = RotatingFile::new(folder.log(), limits(1000));
        let day = Duration::from_secs(24 * 3600);
        for n in 0..20 {
            log.write_line(b"a day\n", new_years_eve() + day * n).expect("the folder is writable");
        }
        let names = folder.names();
        let ours: Vec<_> = names.iter().filter(|name| !foreign.contains(&name.as_str())).collect();
        assert_eq!(ours.len(), 1 + 8, "today, and seven days and the turn of the eighth: {ours:?}");
        assert_eq!(names.len() - ours.len(), foreign.len(), "what is not ours stays");
    }

    #[test]
    fn turned_files_are_bounded_in_number() {
        let folder = Folder::new("count");
        let few = FileLimits { max_files: 3, ..limits(1) };
        let mut log = RotatingFile::new(folder.log(), few);
        for n in 0..20 {
            log.write_line(format!("{n}\n").as_bytes(), new_years_eve() + Duration::from_secs(n)).expect("writable");
        }
        assert_eq!(folder.names().len(), 4);
        assert_eq!(fs::read_to_string(folder.log()).expect("there"), "19\n");
    }

    #[test]
    fn a_restart_goes_on_with_the_file_that_is_there() {
        let folder = Folder::new("restart");
        for line in ["one\n", "two\n"] {
            let mut log = RotatingFile::new(folder.log(), limits(100));
            log.write_line(line.as_bytes(), SystemTime::now()).expect("the folder is writable");
        }
        assert_eq!(fs::read_to_string(folder.log()).expect("there"), "one\ntwo\n");
    }

    #[test]
    fn a_folder_that_appears_later_is_found() {
        let folder = Folder::new("late");
        let path = folder.0.join("sub").join("app.log");
        let mut log = RotatingFile::new(&path, limits(100));
        let now = new_years_eve();
        assert!(log.write_line(b"lost\n", now).is_err());
        fs::create_dir(folder.0.join("sub")).expect("the folder is writable");
        assert!(log.write_line(b"lost too\n", now + Duration::from_secs(1)).is_err(), "not tried for each line");
        log.write_line(b"kept\n", now + RETRY_AFTER).expect("tried again");
        assert_eq!(fs::read_to_string(path).expect("there"), "kept\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let mut log = RotatingFile::new("/dev/full", FileLimits { max_bytes: u64::MAX, ..FileLimits::default() });
        for _ in 0..3 {
            let error = log.write_line(b"x\n", SystemTime::now()).expect_err("no space");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }
}
