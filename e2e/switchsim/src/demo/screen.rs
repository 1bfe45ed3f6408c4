//! The terminal: one line a moment with time, who, and what. Colours only where somebody sees them.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use sofia_dataplane::record::Latencies;

use super::log::PodEvent;
use super::story::Scene;
use super::tally::keys;

/// Longest line, in characters.
const WIDTH: usize = 96;
/// Where the words begin: behind time and name.
const INDENT: usize = 18;

/// Who does or says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The call as a whole.
    Call,
    /// The caller.
    Caller,
    /// The agent.
    Agent,
    /// The data plane.
    Pod,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Caller => "caller",
            Self::Agent => "agent",
            Self::Pod => "pod",
        }
    }

    const fn style(self) -> &'static str {
        match self {
            Self::Call | Self::Pod => DIM,
            Self::Caller => "\x1b[1;36m",
            Self::Agent => "\x1b[1;32m",
        }
    }
}

/// Bold.
pub const STRONG: &str = "\x1b[1m";
/// Faint.
pub const DIM: &str = "\x1b[2m";
/// For what is well.
pub const GOOD: &str = "\x1b[32m";
/// For what is not.
pub const BAD: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// Where the demo is told.
pub struct Screen {
    out: io::Stdout,
    colour: bool,
    /// The caller has just interrupted the agent: what the agent said is what was heard of it.
    cut: bool,
}

impl Screen {
    /// Standard output.
    pub fn stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { out: io::stdout(), colour: wanted && able && io::stdout().is_terminal(), cut: false }
    }

    /// What this is, before it begins.
    pub fn title(&mut self) -> io::Result<()> {
        let title = self.styled(STRONG, "Sofia Phone: one call, as it happens");
        self.print(&format!(
            "\n{title}\n\n\
             The pod is the real sofia-dataplane. switchsim plays FreeSWITCH and the caller, over TCP and UDP\n\
             on this machine; the caller's voice is a recording of a person. The built-in backend recognises\n\
             no words: it notices that somebody spoke, and answers from a script with recorded speech.\n\n"
        ))
    }

    /// One moment.
    pub fn line(&mut self, at: Duration, who: Who, what: &str) -> io::Result<()> {
        let text = moment(at, who, what, self.colour);
        self.print(&text)
    }

    /// More about the line before.
    pub fn detail(&mut self, what: &str) -> io::Result<()> {
        let text = self.styled(DIM, &wrapped(what, INDENT));
        self.print(&format!("{:INDENT$}{text}\n", ""))
    }

    /// Prints `text` as it is, and at once.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// `text` in `style`, where there are colours.
    pub fn styled(&self, style: &str, text: &str) -> String {
        if self.colour { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }

    /// What the caller does or hears.
    pub fn scene(&mut self, now: Duration, scene: &Scene) -> io::Result<()> {
        match scene {
            Scene::Answered { setup_ms, media } => {
                self.line(now, Who::Call, &format!("answered, {setup_ms:.1} ms after the pod was asked ({media})"))
            }
            Scene::Says { words, over_the_agent: false } => self.line(now, Who::Caller, &quoted(words)),
            Scene::Says { words, over_the_agent: true } => {
                self.line(now, Who::Caller, &format!("{}, while the agent speaks", quoted(words)))
            }
            Scene::FellSilent { ago, after } => {
                let at = now.saturating_sub(*ago);
                self.line(
                    at,
                    Who::Agent,
                    &format!("falls silent, {} ms after the caller's first sound", after.as_millis()),
                )
            }
            Scene::Presses(keys) => self.line(now, Who::Caller, &format!("presses {}", spaced(keys))),
            Scene::KeysAnswered(after) => {
                self.line(now, Who::Agent, &format!("answers {:.2} s after the last key", after.as_secs_f64()))
            }
            Scene::HangsUp => self.line(now, Who::Caller, "hangs up"),
            Scene::Greeted | Scene::HeardAnswer => Ok(()),
        }
    }

    /// What the pod has to tell.
    pub fn pod(&mut self, now: Duration, event: &PodEvent) -> io::Result<()> {
        match event {
            PodEvent::AgentSaid { at, text, .. } if std::mem::take(&mut self.cut) => {
                self.line(*at, Who::Pod, &format!("drops the rest; the caller heard {}", quoted(text)))
            }
            PodEvent::AgentSaid { at, text, .. } => self.line(*at, Who::Agent, &quoted(text)),
            PodEvent::Answered { at, waits } => {
                // Keys have no last sound; what the caller heard tells about them.
                let (Some(total), Some(_)) = (waits.total_ms, waits.endpointing_ms) else { return Ok(()) };
                let total = f64::from(total) / 1e3;
                self.line(*at, Who::Agent, &format!("answers {total:.2} s after the caller's last sound"))?;
                self.detail(&parts(waits))
            }
            PodEvent::CallerSaid { at, text } => match keys(text) {
                Some(keys) => self.line(*at, Who::Pod, &format!("received the keys {}", spaced(keys))),
                None => Ok(()),
            },
            PodEvent::Interrupted => {
                self.cut = true;
                Ok(())
            }
            PodEvent::Complaint(text) => self.line(now, Who::Pod, &format!("complains: {text}")),
            PodEvent::Ready(_) => Ok(()),
        }
    }
}

fn moment(at: Duration, who: Who, what: &str, colour: bool) -> String {
    let tenths = at.as_millis() / 100;
    let time = format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10);
    let name = format!("{:<6}", who.name());
    let (dim, style, plain) = if colour { (DIM, who.style(), PLAIN) } else { ("", "", "") };
    format!("  {dim}{time}{plain}  {style}{name}{plain}  {}\n", wrapped(what, INDENT))
}

fn quoted(words: &str) -> String {
    format!("“{words}”")
}

fn spaced(keys: &str) -> String {
    keys.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

/// What a wait consisted of.
fn parts(waits: &Latencies) -> String {
    let names = ["end of speech", "transcript", "model", "voice", "packet"];
    let parts = waits.stages().into_iter().zip(names);
    let parts = parts.filter_map(|((_, took), name)| took.filter(|ms| *ms > 0).map(|ms| format!("{name} {ms}")));
    format!("= {} ms", parts.collect::<Vec<_>>().join(" + "))
}

/// `text` without control characters, broken between words at [`WIDTH`], later lines `indent` to the right.
pub fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|c| !c.is_control()).collect();
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(&word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_line_with_time_name_and_words() {
        let at = Duration::from_millis(66_649);
        assert_eq!(moment(at, Who::Agent, "“Hello?”", false), "  1:06.6  agent   “Hello?”\n");
        assert!(moment(at, Who::Agent, "x", true).contains("\x1b[1;32magent \x1b[0m"));
    }

    #[test]
    fn long_words_are_broken_and_none_of_them_controls_the_terminal() {
        let text = wrapped(&format!("\x1b[31mred {}", "word ".repeat(40)), INDENT);
        assert!(text.lines().count() > 1);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(INDENT))), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_wait_is_the_sum_of_its_parts_that_took_time() {
        let waits = Latencies {
            endpointing_ms: Some(800),
            transcribe_ms: Some(121),
            first_token_ms: Some(251),
            first_audio_ms: Some(177),
            first_packet_ms: Some(0),
            total_ms: Some(1_349),
        };
        assert_eq!(parts(&waits), "= end of speech 800 + transcript 121 + model 251 + voice 177 ms");
    }
}
