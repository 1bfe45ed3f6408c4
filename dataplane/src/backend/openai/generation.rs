//! Text to reply: `POST /v1/chat/completions`, streamed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::endpoint::{Endpoint, Refusal};
use super::reading::{Habits, Thoughts, read};
use super::reply::{Reading, Tool};
use crate::backend::{BackendError, ReplyStream, SessionInfo};
use crate::turn::history::{Message, Role};
use crate::turn::tool::{ToolDefinition, tool_definitions};

pub(super) const ROUTE: &str = "/chat/completions";

/// Whether the model is offered tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolUse {
    /// Offered, until the server refuses a request because of them; then it is asked without, from then on.
    #[default]
    Auto,
    /// Never offered.
    Never,
}

/// The generation service.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) endpoint: Arc<Endpoint>,
    tools: ToolUse,
    /// The server has refused tools.
    tools_refused: AtomicBool,
    habits: Arc<Habits>,
}

impl Generation {
    pub(super) fn new(endpoint: Endpoint, tools: ToolUse, thoughts: Thoughts) -> Self {
        let habits = Arc::new(Habits::new(thoughts, &endpoint.model));
        Self { endpoint: Arc::new(endpoint), tools, tools_refused: AtomicBool::new(false), habits }
    }

    pub(super) async fn generate(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        let deadline = Instant::now() + self.endpoint.timeout;
        let with_tools = self.tools == ToolUse::Auto && !self.tools_refused.load(Ordering::Relaxed);
        let response = match self.ask(text, session, history, with_tools, deadline).await {
            Err(refusal) if with_tools && refuses_tools(&refusal) => {
                let response = self.ask(text, session, history, false, deadline).await?;
                tracing::warn!(error = %refusal.error, "the server refuses tools: the model can't end or transfer calls");
                self.tools_refused.store(true, Ordering::Relaxed);
                response
            }
            answer => answer?,
        };
        self.read(response, with_tools && !self.tools_refused.load(Ordering::Relaxed))
    }

    /// The reply in a successful answer. `offered` says whether the model was offered tools.
    fn read(&self, response: Response, offered: bool) -> Result<ReplyStream, BackendError> {
        let tools = if offered { tools() } else { Vec::new() };
        let reading = Reading { tools, habit: self.habits.current() };
        read(Arc::clone(&self.endpoint), response, reading, Arc::clone(&self.habits))
    }

    async fn ask(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
        with_tools: bool,
        deadline: Instant,
    ) -> Result<Response, Refusal> {
        let body = self.endpoint.with_extra(request(&self.endpoint.model, text, session, history, with_tools));
        self.endpoint.send(self.endpoint.post().json(&body), deadline).await
    }
}

/// The tools, as calls in the text are told by.
pub(super) fn tools() -> Vec<Tool> {
    let tool = |tool: ToolDefinition| Tool {
        name: tool.name.to_owned(),
        main_argument: tool.parameters["required"][0].as_str().map(str::to_owned),
    };
    tool_definitions().into_iter().map(tool).collect()
}

/// What servers answer when their model, or their setup, has no tools: with these statuses and a word about them.
fn refuses_tools(refusal: &Refusal) -> bool {
    const STATUSES: [StatusCode; 4] = [
        StatusCode::BAD_REQUEST,
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::NOT_IMPLEMENTED,
    ];
    refusal.about_tools && refusal.status.is_some_and(|status| STATUSES.contains(&status))
}

fn request(
    model: &str,
    text: &str,
    session: &SessionInfo,
    history: &[Message],
    with_tools: bool,
) -> Map<String, Value> {
    let prompt = (!session.prompt.is_empty()).then_some((Role::System, session.prompt.as_str()));
    let said = history.iter().map(|message| (message.role, message.content.as_str()));
    let messages: Vec<Value> = prompt
        .into_iter()
        .chain(said)
        .chain([(Role::User, text)])
        .map(|(role, content)| json!({ "role": role_name(role), "content": content }))
        .collect();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("messages".to_owned(), json!(messages));
    body.insert("stream".to_owned(), json!(true));
    if with_tools {
        let tools: Vec<Value> = tool_definitions()
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

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_prompt_history_and_words_in_this_order() {
        let session = SessionInfo { prompt: "Be brief.".to_owned(), ..SessionInfo::default() };
        let history = [
            Message { role: Role::User, content: "Hello?".to_owned() },
            Message { role: Role::Assistant, content: "Good day.".to_owned() },
        ];
        let body = request("m", "Who are you?", &session, &history, false);
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
        assert_eq!(Value::Object(body), expected);
    }

    #[test]
    fn an_empty_prompt_is_left_out_and_tools_are_offered_as_functions() {
        let body = request("m", "Hello?", &SessionInfo::default(), &[], true);
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
