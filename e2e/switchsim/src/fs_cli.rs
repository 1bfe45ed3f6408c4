//! `fs_cli -x COMMAND`, for this binary under the name `fs_cli`: one command to the event socket of the `default` profile. Takes no
//! password in its arguments, where everybody on the machine could read it, and has no console.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// FreeSWITCH's exit status when there is no connection.
const FAILED: u8 = 255;
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// How long a connection and its greeting may take, if nothing is said.
const GREETING: Duration = Duration::from_secs(5);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a profile connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Profile {
    host: String,
    port: u16,
    password: String,
}

impl Default for Profile {
    /// FreeSWITCH's own, where there is no file.
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 8021, password: "ClueCon".to_owned() }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    commands: Vec<String>,
    host: Option<String>,
    port: Option<u16>,
    timeout: Option<Duration>,
    profile: Option<String>,
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        // `-x'status'` and `--execute=status` as getopt has them.
        let (name, glued) = match (argument.strip_prefix("--"), argument.strip_prefix('-')) {
            (Some(long), _) => match long.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (long.to_owned(), None),
            },
            (None, Some(short)) => {
                let mut characters = short.chars();
                let name = characters.next().map(String::from).unwrap_or_default();
                (name, Some(characters.as_str().to_owned()).filter(|rest| !rest.is_empty()))
            }
            (None, None) => {
                ensure!(options.profile.is_none(), "more than one profile: {argument:?}");
                options.profile = Some(argument);
                continue;
            }
        };
        let mut value =
            || glued.clone().or_else(|| arguments.next()).with_context(|| format!("{argument}: a value is missing"));
        match name.as_str() {
            "x" | "execute" => options.commands.push(value()?),
            "H" | "host" => options.host = Some(value()?),
            "P" | "port" => {
                let port = value()?;
                options.port = Some(port.parse().with_context(|| format!("{argument} {port}: expected a port"))?);
            }
            "t" | "timeout" | "T" | "connect-timeout" => {
                let ms = value()?;
                let ms = ms.parse().with_context(|| format!("{argument} {ms}: expected milliseconds"))?;
                options.timeout = Some(Duration::from_millis(ms));
            }
            "p" | "password" => bail!(
                "a password in the arguments can be read by everybody: put it into ~/.fs_cli_conf or /etc/fs_cli.conf"
            ),
            "q" | "quiet" | "r" | "retry" | "R" | "reconnect" => {}
            _ => bail!("unknown option {argument:?}; there are -x, -H, -P, -t, -q and a profile's name"),
        }
    }
    ensure!(!options.commands.is_empty(), "expected -x COMMAND: there is no console here");
    Ok(options)
}

/// The profiles of a file: `[name]`, then `key => value` or `key = value`; `;` and `#` begin comments.
fn read_profiles(text: &str) -> Result<BTreeMap<String, Profile>> {
    let mut profiles = BTreeMap::new();
    let mut current: Option<String> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            profiles.entry(name.to_owned()).or_insert_with(Profile::default);
            current = Some(name.to_owned());
            continue;
        }
        // Never the line itself: it may hold the password.
        let bad = || format!("line {}: expected [profile] or key => value", at + 1);
        let (key, value) = line.split_once("=>").or_else(|| line.split_once('=')).with_context(bad)?;
        let profile = current.as_ref().and_then(|name| profiles.get_mut(name)).with_context(bad)?;
        let value = value.trim();
        match key.trim() {
            "host" => profile.host = value.to_owned(),
            "port" => profile.port = value.parse().with_context(|| format!("line {}: expected a port", at + 1))?,
            "password" => profile.password = value.to_owned(),
            _ => {}
        }
    }
    Ok(profiles)
}

/// The first of the files that is there.
fn load(name: Option<&str>) -> Result<Profile> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".fs_cli_conf"));
    for path in home.into_iter().chain([Path::new("/etc/fs_cli.conf").to_owned()]) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context(path.display().to_string()),
        };
        let mut profiles = read_profiles(&text).with_context(|| path.display().to_string())?;
        let wanted = name.unwrap_or("default");
        return match (profiles.remove(wanted), name) {
            (Some(profile), _) => Ok(profile),
            (None, None) => Ok(Profile::default()),
            (None, Some(_)) => bail!("{}: there is no profile {wanted:?}", path.display()),
        };
    }
    ensure!(name.is_none(), "there is neither ~/.fs_cli_conf nor /etc/fs_cli.conf");
    Ok(Profile::default())
}

/// A message of FreeSWITCH.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    fn open(profile: &Profile, timeout: Option<Duration>) -> Result<Self> {
        let mut last = None;
        for address in (profile.host.as_str(), profile.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout.unwrap_or(GREETING)) {
                Ok(stream) => {
                    // What listens there need not be an event socket, which speaks first.
                    stream.set_read_timeout(Some(timeout.unwrap_or(GREETING)))?;
                    let mut connection = Self { stream, received: Vec::new() };
                    let first = connection.message()?;
                    ensure!(
                        first.header("Content-Type") == Some("auth/request"),
                        "{}",
                        String::from_utf8_lossy(&first.body).trim()
                    );
                    let answer = connection.command(&format!("auth {}", profile.password))?;
                    let text = answer.header("Reply-Text").unwrap_or_default();
                    ensure!(text.starts_with("+OK"), "Authentication failed: {text}");
                    connection.stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(connection);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| anyhow::anyhow!("{}: no address", profile.host), Into::into))
    }

    fn command(&mut self, line: &str) -> Result<Message> {
        ensure!(!line.contains(['\n', '\r']), "a command is one line");
        self.stream.write_all(format!("{line}\n\n").as_bytes())?;
        self.message()
    }

    fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\n\n") {
                let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
                let message = Message { head, body: Vec::new() };
                let length: usize =
                    message.header("Content-Length").map_or(Ok(0), str::parse).context("Content-Length")?;
                ensure!(length <= MAX_ANSWER, "an answer of {length} bytes");
                if let Some(body) = self.received.get(end + 2..end + 2 + length) {
                    let body = body.to_vec();
                    self.received.drain(..end + 2 + length);
                    return Ok(Message { body, ..message });
                }
            }
            ensure!(self.received.len() <= 2 * MAX_ANSWER, "an answer without an end");
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer)? {
                0 => bail!("the event socket closed the connection"),
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

fn execute(options: &Options) -> Result<()> {
    let mut profile = load(options.profile.as_deref())?;
    if let Some(host) = &options.host {
        profile.host.clone_from(host);
    }
    profile.port = options.port.unwrap_or(profile.port);
    let mut connection = Connection::open(&profile, options.timeout)
        .with_context(|| format!("Error Connecting to {}:{}", profile.host, profile.port))?;
    for command in &options.commands {
        let answer = connection.command(&format!("api {command}"))?;
        let mut out = io::stdout().lock();
        out.write_all(&answer.body)?;
        if !answer.body.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
    }
    // The answers are here; whether it says goodbye does not matter.
    let _ = connection.command("exit");
    Ok(())
}

/// Runs with the arguments behind the name. As with FreeSWITCH's own, an answer is a success, whatever it says.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let options = parse(arguments.map(|argument| argument.to_string_lossy().into_owned()));
    match options.and_then(|options| execute(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("[ERROR] fs_cli: {error:#}");
            FAILED.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options> {
        parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn a_command_and_a_profile_are_understood() {
        let options = parsed(&["-x", "fsctl pause inbound", "other", "-P9", "-t", "500"]).unwrap();
        assert_eq!(
            (options.commands, options.profile.as_deref()),
            (vec!["fsctl pause inbound".to_owned()], Some("other"))
        );
        assert_eq!((options.port, options.timeout), (Some(9), Some(Duration::from_millis(500))));
        assert_eq!(parsed(&["--execute=status"]).unwrap().commands, ["status"]);
        for wrong in [&["status"][..], &[], &["-x"], &["-x", "a", "-P", "x"], &["-x", "a", "--nonsense"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_password_in_the_arguments_is_refused_and_not_repeated() {
        for arguments in [&["-x", "status", "-p", "hush"][..], &["--password=hush", "-x", "status"], &["-phush"]] {
            let error = parsed(arguments).unwrap_err().to_string();
            assert!(error.contains("fs_cli_conf") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn profiles_are_read_as_freeswitch_writes_them() {
        let text = "; made by hand\n[default]\nhost     => 127.0.0.1\npassword => a=>b = c\nport=8022\ndebug => 7\n\n[other]\nhost => ::1\n";
        let profiles = read_profiles(text).unwrap();
        let default = Profile { port: 8022, password: "a=>b = c".to_owned(), ..Profile::default() };
        assert_eq!(profiles["default"], default);
        assert_eq!((profiles["other"].host.as_str(), profiles["other"].port), ("::1", 8021));
        for (wrong, line) in [("password => x\n", 1), ("[default]\nhush", 2), ("[default]\nport => hush", 2)] {
            let error = format!("{:#}", read_profiles(wrong).unwrap_err());
            assert!(error.starts_with(&format!("line {line}")) && !error.contains("hush\""), "{error}");
        }
    }
}
