//! The command line of FreeSWITCH, for this binary under the name `freeswitch`: the same options, the same refusals. What an option
//! would change in a real FreeSWITCH beyond its configuration and its directories has no effect here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use switchsim::SwitchBuilder;

use crate::serve::{self, Term};

/// Where the control API listens; [`DEFAULT_CONTROL`] if not set.
const CONTROL: &str = "SWITCHSIM_CONTROL";
const DEFAULT_CONTROL: &str = "0.0.0.0:8099";
/// FreeSWITCH's exit status when it does not start.
const REFUSED: u8 = 255;

/// Options without a value.
const FLAGS: &[&str] = &[
    "-c",
    "-core",
    "-heavy-timer",
    "-hp",
    "-lp",
    "-no-auto-stack",
    "-nocal",
    "-nonat",
    "-nonatmap",
    "-nort",
    "-nosql",
    "-np",
    "-reincarnate",
    "-rp",
    "-vg",
    "-waste",
];
/// Options with a value, and what it is.
const VALUES: &[(&str, &str)] = &[
    ("-base", "a base directory"),
    ("-cache", "a cache directory"),
    ("-certs", "a certificates directory"),
    ("-cfgname", "a config file name"),
    ("-conf", "a config directory"),
    ("-db", "a db directory"),
    ("-fonts", "a fonts directory"),
    ("-g", "a group"),
    ("-grammar", "a grammar directory"),
    ("-htdocs", "a htdocs directory"),
    ("-images", "an images directory"),
    ("-log", "a log directory"),
    ("-mod", "a module directory"),
    ("-recordings", "a recordings directory"),
    ("-run", "a pid directory"),
    ("-scripts", "a scripts directory"),
    ("-sounds", "a sounds directory"),
    ("-storage", "a storage directory"),
    ("-temp", "a temp directory"),
    ("-u", "a user"),
];

/// What the options come to.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    configuration: PathBuf,
    /// To be made if they are not there.
    directories: Vec<PathBuf>,
    /// Where the process writes its id.
    run: Option<PathBuf>,
    term: Term,
}

/// What does not start FreeSWITCH.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("FreeSWITCH version: switchsim-{}", env!("CARGO_PKG_VERSION"))]
    Version,
    #[error(
        "Unknown Option \"{0}\"; options are those of FreeSWITCH: -nonat -nf -c -conf DIR -log DIR -db DIR -run DIR …"
    )]
    Unknown(String),
    #[error("When using {option} you must specify {value}")]
    Value { option: String, value: &'static str },
    #[error("You must specify all or none of -conf, -log, and -db")]
    AllOrNone,
    #[error("-nc puts FreeSWITCH into the background, where a container ends: use -c, or add -nf")]
    Background,
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, Refused> {
    let mut arguments = arguments.peekable();
    let (mut console, mut foreground, mut term) = (true, false, Term::Now);
    let mut values: Vec<(String, String)> = Vec::new();
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "-version" => return Err(Refused::Version),
            "-nf" => foreground = true,
            "-nc" | "-ncwait" => console = false,
            "-elegant-term" => term = Term::Elegant,
            flag if FLAGS.contains(&flag) => console |= flag == "-c",
            _ => {
                let Some((_, value)) = VALUES.iter().find(|(name, _)| *name == option) else {
                    return Err(Refused::Unknown(option));
                };
                match arguments.next_if(|next| !next.is_empty() && !next.starts_with('-')) {
                    Some(given) => values.push((option, given)),
                    None => return Err(Refused::Value { option, value }),
                }
            }
        }
    }
    if !console && !foreground {
        return Err(Refused::Background);
    }
    let value =
        |name: &str| values.iter().rev().find(|(known, _)| known == name).map(|(_, value)| PathBuf::from(value));
    let (base, conf, log, db) = (value("-base"), value("-conf"), value("-log"), value("-db"));
    let given = [&conf, &log, &db].into_iter().flatten().count();
    if base.is_none() && given != 0 && given != 3 {
        return Err(Refused::AllOrNone);
    }
    let conf = conf.or_else(|| base.map(|base| base.join("conf"))).unwrap_or_else(|| "/etc/freeswitch".into());
    let made = ["-log", "-db", "-run", "-temp", "-storage", "-cache", "-recordings"];
    Ok(Options {
        configuration: conf.join(value("-cfgname").unwrap_or_else(|| "freeswitch.xml".into())),
        directories: made.into_iter().filter_map(value).collect(),
        run: value("-run").or(log),
        term,
    })
}

/// Starts as FreeSWITCH would, with the arguments behind its name.
///
/// # Errors
/// The directories, the configuration, an address or a port.
pub async fn run(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let options = match parse(arguments.map(|argument| argument.to_string_lossy().into_owned())) {
        Ok(options) => options,
        Err(version @ Refused::Version) => {
            println!("{version}");
            return Ok(ExitCode::SUCCESS);
        }
        Err(refused) => {
            eprintln!("{refused}");
            return Ok(REFUSED.into());
        }
    };
    match serve(&options).await {
        Ok(code) => Ok(code),
        Err(error) => {
            eprintln!("Cannot Initialize [{error:#}]");
            Ok(REFUSED.into())
        }
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let control = std::env::var(CONTROL).unwrap_or_else(|_| DEFAULT_CONTROL.to_owned());
    let control: SocketAddr = control.parse().with_context(|| format!("{CONTROL}={control}: expected ADDRESS:PORT"))?;
    for directory in &options.directories {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let pid_file = options.run.as_deref().map(write_pid).transpose()?;
    let served = serve::run(SwitchBuilder::from_file(&options.configuration)?, control, options.term).await;
    if let Some(pid_file) = pid_file {
        // As little harm as in FreeSWITCH, which says so and ends all the same.
        let _ = std::fs::remove_file(pid_file);
    }
    served
}

fn write_pid(directory: &Path) -> Result<PathBuf> {
    let path = directory.join("freeswitch.pid");
    std::fs::write(&path, std::process::id().to_string())
        .with_context(|| format!("Cannot open pid file {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, Refused> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_options_of_a_container_are_understood() {
        let options =
            parsed("-nonat -nf -c -conf /c -log /l -db /d -run /r -temp /t -storage /s -cache /k -nocal -nosql")
                .unwrap();
        assert_eq!(options.configuration, Path::new("/c/freeswitch.xml"));
        assert_eq!(options.run.as_deref(), Some(Path::new("/r")));
        assert_eq!(options.directories, ["/l", "/d", "/r", "/t", "/s", "/k"].map(PathBuf::from));
        assert_eq!(options.term, Term::Now);
    }

    #[test]
    fn without_directories_the_packages_ones_are_taken() {
        let options = parsed("-nc -nf -elegant-term").unwrap();
        assert_eq!(options.configuration, Path::new("/etc/freeswitch/freeswitch.xml"));
        assert_eq!((options.run, options.term), (None, Term::Elegant));
        assert_eq!(parsed("-base /b").unwrap().configuration, Path::new("/b/conf/freeswitch.xml"));
    }

    #[test]
    fn what_freeswitch_refuses_is_refused() {
        assert_eq!(parsed("-nonat -config /c"), Err(Refused::Unknown("-config".to_owned())));
        assert_eq!(parsed("/c"), Err(Refused::Unknown("/c".to_owned())));
        let no_value = Refused::Value { option: "-conf".to_owned(), value: "a config directory" };
        assert_eq!(parsed("-conf"), Err(no_value));
        assert_eq!(parsed("-nonat -c -conf /c"), Err(Refused::AllOrNone));
        assert_eq!(parsed("-nc"), Err(Refused::Background));
    }
}
