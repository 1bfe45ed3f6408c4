//! How much there is of what grows: the number of entries in each structure of a call, and of the pod. Numbers only, never what stands in
//! them.

use serde::Serialize;

/// Entries of one call, or of all calls together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SessionEntries {
    /// Messages that the model is told.
    pub history: usize,
    /// Sentences that wait to be spoken, are out, or are being cut.
    pub sentences: usize,
    /// Utterances of the caller's whose words are not known yet.
    pub utterances: usize,
    /// Notes of words that were lost with another pod, of which the caller was not told yet.
    pub lost_words: usize,
    /// Clips whose length in letters is kept.
    pub clips: usize,
    /// Clips that wait for the voice, and notes of those that are not wanted any more.
    pub voice: usize,
    /// Requests of the backend that have not ended.
    pub requests: usize,
    /// Answers of the backend that wait to be taken in.
    pub answers: usize,
    /// Clips in the media worker.
    pub media_clips: usize,
    /// Marks that were set in them and not reached yet.
    pub media_marks: usize,
    /// Commands that the switch has not answered yet.
    pub commands: usize,
    /// Turns that the journal has open.
    pub journal_turns: usize,
    /// Clips that the journal waits for.
    pub journal_clips: usize,
    /// Turns, marks, errors and stretches of speech in the record: it grows with the call, up to a bound.
    pub record: usize,
}

impl SessionEntries {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let Self {
            history,
            sentences,
            utterances,
            lost_words,
            clips,
            voice,
            requests,
            answers,
            media_clips,
            media_marks,
            commands,
            journal_turns,
            journal_clips,
            record,
        } = other;
        Self {
            history: self.history + history,
            sentences: self.sentences + sentences,
            utterances: self.utterances + utterances,
            lost_words: self.lost_words + lost_words,
            clips: self.clips + clips,
            voice: self.voice + voice,
            requests: self.requests + requests,
            answers: self.answers + answers,
            media_clips: self.media_clips + media_clips,
            media_marks: self.media_marks + media_marks,
            commands: self.commands + commands,
            journal_turns: self.journal_turns + journal_turns,
            journal_clips: self.journal_clips + journal_clips,
            record: self.record + record,
        }
    }
}

/// What the pod holds of its calls beside the calls themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PodEntries {
    /// Connections that have brought no call yet, or are being told that it is not taken.
    pub arriving: usize,
    /// Records of calls that are over, on their way.
    pub records_pending: usize,
    /// Records of calls that run, kept for the case that the pod is lost.
    pub records_running: usize,
    /// Each media worker.
    pub workers: Vec<WorkerEntries>,
}

/// What a media worker holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WorkerEntries {
    /// Calls that it carries.
    pub calls: usize,
    /// Addresses by which it knows their packets: two a call.
    pub addresses: usize,
    /// Entries in the wheel that says who is due: one a call, and one more for each time at which it was moved forward, for a packet's time.
    pub scheduled: usize,
}
