//! A backend of one's own: repeats to the caller what it understood, in the mock's voice.
//!
//! Takes its settings from the environment, as the `sofia-dataplane` program does.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use sofia_dataplane::audio::SampleRate;
use sofia_dataplane::backend::{
    BackendError, MockBackend, ReplyPart, ReplyStream, SessionInfo, SpeechStream, VoiceBackend,
};
use sofia_dataplane::settings::Settings;
use sofia_dataplane::turn::history::Message;

struct Parrot(MockBackend);

#[async_trait]
impl VoiceBackend for Parrot {
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        self.0.transcribe(audio, rate).await
    }

    async fn generate(&self, text: &str, _: &SessionInfo, _: &[Message]) -> Result<ReplyStream, BackendError> {
        Ok(stream::iter([Ok(ReplyPart::Text(format!("You said: {text}")))]).boxed())
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        self.0.speak(text).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load()?;
    sofia_dataplane::run(settings, Arc::new(Parrot(MockBackend::default()))).await?;
    Ok(())
}
