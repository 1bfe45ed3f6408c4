//! Text to reply: `POST /v1/chat/completions`, streamed.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use reqwest::Response;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::correction::corrected;
use super::endpoint::Endpoint;
use super::form::{Attempts, Form, Known, PromptRole};
use super::messages::Conversation;
use super::reading::{Habits, read};
use super::reply::{Reading, Tool};
use super::{Clock, GenerationSettings};
use crate::backend::resilience::{Adaptation, BackendObserver};
use crate::backend::{BackendError, ReplyStream, SessionInfo};
use crate::turn::history::Message;
use crate::turn::tool::{Destinations, ToolDefinition, tool_definitions};

pub(super) const ROUTE: &str = "/chat/completions";

/// Whether the model is offered tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolUse {
    /// Offered. A server that refuses them is asked without them, for this turn or, where it says that it takes none,
    /// for a while.
    #[default]
    Auto,
    /// Never offered.
    Never,
}

/// The generation service.
pub(super) struct Generation {
    pub(super) endpoint: Arc<Endpoint>,
    tools: ToolUse,
    destinations: Destinations,
    prompt_role: PromptRole,
    observer: Arc<dyn BackendObserver>,
    clock: Clock,
    known: Mutex<Known>,
    habits: Arc<Habits>,
}

impl Generation {
    pub(super) fn new(
        endpoint: Endpoint,
        settings: &GenerationSettings,
        observer: Arc<dyn BackendObserver>,
        clock: Clock,
    ) -> Self {
        Self {
            habits: Arc::new(Habits::new(settings.thoughts, &endpoint.model)),
            endpoint: Arc::new(endpoint),
            tools: settings.tools,
            destinations: settings.destinations.clone(),
            prompt_role: settings.prompt_role,
            observer,
            clock,
            known: Mutex::default(),
        }
    }

    pub(super) async fn generate(
        self: &Arc<Self>,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        let conversation = Conversation::new(&session.prompt, history, text);
        let reply = self.reply(&conversation).await?;
        let generation = Arc::clone(self);
        let ask_again = move |correction: super::correction::Correction| {
            async move {
                let mut conversation = conversation;
                correction.append_to(&mut conversation, &generation.destinations);
                let how = if correction.is_empty() { Adaptation::Repeated } else { Adaptation::Corrected };
                generation.observer.adapted(how);
                generation.reply(&conversation).await
            }
            .boxed()
        };
        Ok(corrected(reply, self.destinations.clone(), Box::new(ask_again)))
    }

    async fn reply(&self, conversation: &Conversation) -> Result<ReplyStream, BackendError> {
        let deadline = Instant::now() + self.endpoint.timeout;
        let (response, offered) = self.respond(conversation, deadline).await?;
        self.read(response, offered)
    }

    /// Asks in the form that is known to be taken, and in others as long as the server's refusals say that it may help.
    async fn respond(&self, conversation: &Conversation, deadline: Instant) -> Result<(Response, bool), BackendError> {
        let wants_tools = self.tools == ToolUse::Auto;
        let form = self.known().form(wants_tools, self.prompt_role, (self.clock)());
        let mut attempts = Attempts::new(form, !conversation.prompt.is_empty(), self.prompt_role);
        attempts.keep = conversation.said.len();
        loop {
            let refusal = match self.ask(conversation, &attempts, deadline).await {
                Ok(response) => {
                    self.answered(&attempts, wants_tools);
                    return Ok((response, attempts.form.tools));
                }
                Err(refusal) => refusal,
            };
            let otherwise = refusal.status.and_then(|status| attempts.refused(status, &refusal.body));
            let Some(how) = otherwise else { return Err(refusal.error) };
            tracing::warn!(error = %refusal.error, how = how.as_str(), "the server refused a request, it is asked again");
            if how == Adaptation::Repeated {
                self.observer.adapted(how);
            }
        }
    }

    fn answered(&self, attempts: &Attempts, wants_tools: bool) {
        let without_for = self.known().answered(attempts, (self.clock)());
        if let Some(believed) = without_for {
            tracing::warn!(
                ?believed,
                "the server takes no functions: the model can't end or transfer calls for so long"
            );
        }
        if wants_tools && !attempts.form.tools {
            self.observer.adapted(Adaptation::WithoutTools);
        }
        if !attempts.form.stream {
            self.observer.adapted(Adaptation::Whole);
        }
        if attempts.shortened {
            self.observer.adapted(Adaptation::Shortened);
        }
        if attempts.moved_prompt() {
            self.observer.adapted(Adaptation::PromptInUser);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Nothing panics while it is held, and every write leaves a whole state behind.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(
        &self,
        conversation: &Conversation,
        attempts: &Attempts,
        deadline: Instant,
    ) -> Result<Response, super::endpoint::Refusal> {
        let (model, form) = (&self.endpoint.model, attempts.form);
        let request = match conversation.recent(attempts.keep) {
            Some(recent) => request(model, &recent, form, &self.destinations),
            None => request(model, conversation, form, &self.destinations),
        };
        let body = self.endpoint.with_extra(request);
        self.endpoint.send(self.endpoint.post().json(&body), deadline).await
    }

    /// The reply in a successful answer. `offered` says whether the model was offered tools.
    fn read(&self, response: Response, offered: bool) -> Result<ReplyStream, BackendError> {
        let tools = if offered { tools(&self.destinations) } else { Vec::new() };
        let reading = Reading { tools, habit: self.habits.current() };
        read(Arc::clone(&self.endpoint), response, reading, Arc::clone(&self.habits))
    }
}

/// The tools, as calls in the text are told by.
pub(super) fn tools(destinations: &Destinations) -> Vec<Tool> {
    let tool = |tool: ToolDefinition| Tool {
        name: tool.name.to_owned(),
        main_argument: tool.parameters["required"][0].as_str().map(str::to_owned),
    };
    tool_definitions(destinations).into_iter().map(tool).collect()
}

fn request(model: &str, conversation: &Conversation, form: Form, destinations: &Destinations) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("messages".to_owned(), json!(conversation.messages(form.prompt)));
    body.insert("stream".to_owned(), json!(form.stream));
    if form.tools {
        let tools: Vec<Value> = tool_definitions(destinations)
            .iter()
            .map(|tool| {
                let function =
                    json!({ "name": tool.name, "description": tool.description, "parameters": tool.parameters });
                json!({ "type": "function", "function": function })
            })
            .collect();
        body.insert("tools".to_owned(), json!(tools));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::openai::messages::PromptPlace;
    use crate::turn::history::Role;
    use crate::turn::tool::Transfers;

    #[test]
    fn a_request_holds_prompt_history_and_words_in_this_order() {
        let history = [
            Message { role: Role::User, content: "Hello?".to_owned() },
            Message { role: Role::Assistant, content: "Good day.".to_owned() },
        ];
        let conversation = Conversation::new("Be brief.", &history, "Who are you?");
        let form = Form { tools: false, prompt: PromptPlace::System, stream: true };
        let expected = json!({
            "model": "m",
            "stream": true,
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "Hello?" },
                { "role": "assistant", "content": "Good day." },
                { "role": "user", "content": "Who are you?" },
            ],
        });
        assert_eq!(Value::Object(request("m", &conversation, form, &Transfers::Names.into())), expected);
    }

    #[test]
    fn tools_are_offered_as_functions() {
        let form = Form { tools: true, prompt: PromptPlace::System, stream: true };
        let body = request("m", &Conversation::new("", &[], "Hello?"), form, &Transfers::Names.into());
        assert_eq!(body["messages"].as_array().unwrap().len(), 1);
        let names: Vec<&str> = body["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| {
                assert_eq!(tool["type"], "function");
                assert_eq!(tool["function"]["parameters"]["type"], "object");
                tool["function"]["name"].as_str().unwrap()
            })
            .collect();
        assert_eq!(names, ["hang_up", "transfer", "send_dtmf"]);
    }
}
