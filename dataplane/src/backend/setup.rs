//! From settings to a guarded backend. Decides nothing; it only puts the parts together.

use std::sync::Arc;
use std::time::Instant;

use super::VoiceBackend;
use super::mock::{MockBackend, MockSettings};
pub use super::openai::SetupError;
use super::openai::{HttpClients, OpenAiBackend, OpenAiSettings};
use super::resilience::{BackendObserver, BreakerSettings, Circuits, ResilienceSettings, Resilient};

/// One backend.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendSettings {
    /// The built-in one.
    Mock(MockSettings),
    /// Servers with the OpenAI-compatible routes.
    OpenAi(Box<OpenAiSettings>),
}

impl Default for BackendSettings {
    /// The built-in one.
    fn default() -> Self {
        Self::Mock(MockSettings::default())
    }
}

impl BackendSettings {
    /// The backend's name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Mock(_) => "mock",
            Self::OpenAi(_) => "openai",
        }
    }

    fn build(
        &self,
        clients: &HttpClients,
        observer: &Arc<dyn BackendObserver>,
    ) -> Result<Arc<dyn VoiceBackend>, SetupError> {
        Ok(match self {
            Self::Mock(settings) => Arc::new(MockBackend::new(*settings)),
            Self::OpenAi(settings) => {
                Arc::new(OpenAiBackend::sharing(clients, settings, Arc::clone(observer), Instant::now)?)
            }
        })
    }
}

/// What answers the calls, and what guards it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BackendsSettings {
    /// The backend that is asked first.
    pub primary: BackendSettings,
    /// Those that are asked in this order when all before them failed.
    pub fallbacks: Vec<BackendSettings>,
    /// Deadlines, retries and breakers.
    pub resilience: ResilienceSettings,
}

/// What all backends of a process know of the endpoints that they ask: their circuits, and the connections to them. Agents
/// with one server between them find out once that it is down.
#[derive(Debug)]
pub struct SharedEndpoints {
    circuits: Arc<Circuits>,
    clients: HttpClients,
}

impl SharedEndpoints {
    /// Of no endpoint yet; circuits open and close by `breaker`.
    #[must_use]
    pub fn new(breaker: BreakerSettings) -> Self {
        Self { circuits: Arc::new(Circuits::new(breaker)), clients: HttpClients::default() }
    }
}

/// Builds the backends, guarded. `observer` is asked for one observer a backend, by its name: that of its settings, for the
/// fallbacks with `-fallback-1` and so on behind it.
///
/// # Errors
/// The first thing that is wrong with the settings.
pub fn build(
    settings: &BackendsSettings,
    endpoints: &SharedEndpoints,
    mut observer: impl FnMut(&str) -> Arc<dyn BackendObserver>,
) -> Result<Resilient, SetupError> {
    let BackendsSettings { primary, fallbacks, resilience } = settings;
    let SharedEndpoints { circuits, clients } = endpoints;
    let name = primary.as_str();
    let watched = observer(name);
    let backend = primary.build(clients, &watched)?;
    let mut guarded = Resilient::sharing(circuits, name, backend, *resilience, watched);
    for (index, fallback) in fallbacks.iter().enumerate() {
        let name = format!("{}-fallback-{}", fallback.as_str(), index + 1);
        let watched = observer(&name);
        guarded = guarded.with_fallback(&*name, fallback.build(clients, &watched)?, watched);
    }
    Ok(guarded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Stage;
    use crate::backend::resilience::NoObserver;

    fn endpoints() -> SharedEndpoints {
        SharedEndpoints::new(BreakerSettings::default())
    }

    #[test]
    fn with_no_settings_the_mock_answers() {
        let backend = build(&BackendsSettings::default(), &endpoints(), |_| Arc::new(NoObserver)).unwrap();
        assert!(backend.circuits().all(|(name, ..)| name == "mock"));
    }

    #[test]
    fn a_fallback_has_circuits_of_its_own() {
        let settings = BackendsSettings { fallbacks: vec![BackendSettings::default()], ..BackendsSettings::default() };
        let mut names = Vec::new();
        let backend = build(&settings, &endpoints(), |name| {
            names.push(name.to_owned());
            Arc::new(NoObserver)
        })
        .unwrap();
        assert_eq!(names, ["mock", "mock-fallback-1"]);
        assert_eq!(backend.circuits().count(), 6);
    }

    #[test]
    fn a_backend_without_url_is_refused_at_the_start() {
        let settings =
            BackendsSettings { primary: BackendSettings::OpenAi(Box::default()), ..BackendsSettings::default() };
        let Err(error) = build(&settings, &endpoints(), |_| Arc::new(NoObserver)) else { panic!("expected an error") };
        assert_eq!(error.to_string(), "transcribe: URL: expected a URL, came none");
    }

    #[test]
    fn an_endpoint_is_named_by_place_and_model_and_without_credentials() {
        let named = |url: &str, model: &str| {
            let mut settings = OpenAiSettings::default();
            for endpoint in
                [&mut settings.transcription.endpoint, &mut settings.generation.endpoint, &mut settings.speech.endpoint]
            {
                (endpoint.url, endpoint.model) = (url.to_owned(), model.to_owned());
            }
            OpenAiBackend::new(&settings).unwrap().endpoint(Stage::Generate).unwrap()
        };
        let name = named("http://user:s3cret@one.example:8000/v1?key=s3cret", "small");
        assert!(name.contains("one.example") && !name.contains("s3cret") && !name.contains("user"), "{name}");
        assert_eq!(name, named("http://one.example:8000", "small"));
        assert_ne!(name, named("http://one.example:8000", "large"));
        assert_ne!(name, named("http://two.example:8000", "small"));
    }
}
