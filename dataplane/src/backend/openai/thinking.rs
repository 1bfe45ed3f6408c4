//! Keeps a reasoning model's thoughts from the caller's ear: some servers send them in front of the answer, between
//! `<think>` and `</think>`. Touches nothing behind the first word of the answer.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Takes a reply in pieces, cut anywhere, and gives back what of it is meant for the caller.
#[derive(Debug, Default)]
pub(super) struct ThinkingFilter {
    state: State,
    /// What may still turn out to be a tag.
    held: String,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Start,
    Thinking,
    Answer,
}

impl ThinkingFilter {
    /// Takes the next piece and returns what may be spoken now; often all of it, sometimes nothing.
    pub(super) fn push(&mut self, piece: &str) -> String {
        if self.state == State::Answer {
            return piece.to_owned();
        }
        self.held.push_str(piece);
        if self.state == State::Start {
            let text = self.held.trim_start();
            if let Some(thoughts) = text.strip_prefix(OPEN) {
                self.held = thoughts.to_owned();
                self.state = State::Thinking;
            } else if OPEN.starts_with(text) {
                return String::new();
            } else {
                // White space in front of an answer is not spoken; behind thoughts there always is some.
                self.state = State::Answer;
                let answer = text.to_owned();
                self.held.clear();
                return answer;
            }
        }
        let Some(end) = self.held.find(CLOSE) else {
            let mut keep = self.held.len().saturating_sub(CLOSE.len() - 1);
            while !self.held.is_char_boundary(keep) {
                keep -= 1;
            }
            self.held.drain(..keep);
            return String::new();
        };
        let answer = self.held[end + CLOSE.len()..].trim_start().to_owned();
        self.held.clear();
        // The blank lines behind the thoughts may come in a later piece, and another block of thoughts behind them.
        self.state = if answer.is_empty() { State::Start } else { State::Answer };
        answer
    }

    /// The reply has ended: returns what was held back and turned out to be no tag.
    pub(super) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.state == State::Start && !held.trim().is_empty() { held } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(pieces: impl IntoIterator<Item = impl AsRef<str>>) -> String {
        let mut filter = ThinkingFilter::default();
        let mut text: String = pieces.into_iter().map(|piece| filter.push(piece.as_ref())).collect();
        text.push_str(&filter.finish());
        text
    }

    #[test]
    fn thoughts_are_taken_out_wherever_the_pieces_are_cut() {
        let reply = "\n<think>He wants é <b>, I </thin say</think>\n\nGood day. <think>";
        assert_eq!(filtered([reply]), "Good day. <think>");
        for cut in (1..reply.len()).filter(|&cut| reply.is_char_boundary(cut)) {
            assert_eq!(filtered([&reply[..cut], &reply[cut..]]), "Good day. <think>", "cut at {cut}");
        }
        assert_eq!(filtered(reply.chars().map(String::from)), "Good day. <think>");
    }

    #[test]
    fn a_reply_without_thoughts_passes_at_once_and_whole() {
        let mut filter = ThinkingFilter::default();
        assert_eq!(filter.push("Good"), "Good");
        assert_eq!(filter.push(" <think>day"), " <think>day");
        assert_eq!(filtered(["<", "thirty"]), "<thirty");
        assert_eq!(filtered(["<thi"]), "<thi");
    }

    #[test]
    fn thoughts_without_end_are_no_reply() {
        assert_eq!(filtered(["<think>", "on and on", "and on"]), "");
    }
}
