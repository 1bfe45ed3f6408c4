//! The words that label values are made of. Each label has a closed set of them.

/// A stretch of a turn whose time the caller feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnStage {
    /// End of speech found → transcript.
    Transcribe,
    /// Transcript → first words of the reply.
    GenerateFirstToken,
    /// First sentence → its first audio.
    SpeakFirstAudio,
    /// First audio of the backend → first packet of it sent.
    Playout,
    /// End of the caller's speech → first packet of the reply, endpointing included: what the caller waits.
    Total,
}

impl TurnStage {
    /// Every stage.
    pub const ALL: [Self; 5] =
        [Self::Transcribe, Self::GenerateFirstToken, Self::SpeakFirstAudio, Self::Playout, Self::Total];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::GenerateFirstToken => "generate_first_token",
            Self::SpeakFirstAudio => "speak_first_audio",
            Self::Playout => "playout",
            Self::Total => "total",
        }
    }
}

/// What was wrong with a call's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioFault {
    /// The caller's samples were cut off at full scale.
    Clipped,
    /// Packets came, but nothing was ever heard in them.
    Silent,
    /// No packets came from the caller, while ours were sent.
    OneWay,
    /// Too many packets were lost.
    Lossy,
}

impl AudioFault {
    /// Every fault.
    pub const ALL: [Self; 4] = [Self::Clipped, Self::Silent, Self::OneWay, Self::Lossy];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clipped => "clipped",
            Self::Silent => "silent",
            Self::OneWay => "one_way",
            Self::Lossy => "lossy",
        }
    }
}

/// A circuit's state as the gauge's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitLevel {
    /// The backend is asked.
    Closed = 0,
    /// The backend is tried.
    HalfOpen = 1,
    /// The backend is left alone.
    Open = 2,
}

impl CircuitLevel {
    /// The state's name in `GET /status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A route of the admin server; what is none of them is `other`, whatever was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestPath {
    /// `/health`
    Health,
    /// `/ready`
    Ready,
    /// `/metrics`
    Metrics,
    /// `/status`
    Status,
    /// `/debug/structures`
    Structures,
    /// `/drain`
    Drain,
    /// `/sessions/{id}`
    Session,
    /// Anything else.
    Other,
}

impl RequestPath {
    /// Every route.
    pub const ALL: [Self; 8] = [
        Self::Health,
        Self::Ready,
        Self::Metrics,
        Self::Status,
        Self::Structures,
        Self::Drain,
        Self::Session,
        Self::Other,
    ];

    /// The route of a request's path.
    pub fn of(path: &str) -> Self {
        match path {
            "/health" => Self::Health,
            "/ready" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/status" => Self::Status,
            "/debug/structures" => Self::Structures,
            "/drain" => Self::Drain,
            _ if path.strip_prefix("/sessions/").is_some_and(|id| !id.is_empty() && !id.contains('/')) => Self::Session,
            _ => Self::Other,
        }
    }

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Ready => "/ready",
            Self::Metrics => "/metrics",
            Self::Status => "/status",
            Self::Structures => "/debug/structures",
            Self::Drain => "/drain",
            Self::Session => "/sessions/{id}",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_path_is_asked_for_the_label_is_one_of_seven() {
        assert_eq!(RequestPath::of("/sessions/abc"), RequestPath::Session);
        assert_eq!(RequestPath::of("/health"), RequestPath::Health);
        for strange in ["/sessions/", "/sessions/a/b", "/healthz", "", "/../../etc/passwd", "/metrics/"] {
            assert_eq!(RequestPath::of(strange), RequestPath::Other, "{strange}");
        }
    }
}
