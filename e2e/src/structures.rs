//! What a pod tells of how much its calls hold, watched from outside while they run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{PodProcess, eventually, request};

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Where.
const PATH: &str = "/debug/structures";

/// The most that was seen of each structure, while a pod is watched. The pod may be lost meanwhile.
pub struct Watch {
    seen: Arc<Mutex<Most>>,
    task: JoinHandle<()>,
}

/// The most that was seen of each structure.
#[derive(Debug, Clone, Default)]
pub struct Most {
    /// How often it was looked at.
    pub looks: usize,
    /// In one call, by name.
    pub call: BTreeMap<String, u64>,
    /// In the pod; those of media workers by `workers.N.name`.
    pub pod: BTreeMap<String, u64>,
}

impl Watch {
    /// Begins to watch the pod, which has that admin token.
    #[must_use]
    pub fn of(pod: &PodProcess, token: &'static str) -> Self {
        let seen: Arc<Mutex<Most>> = Arc::default();
        let (address, sees) = (pod.http(), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Some(told) = told(address, token).await {
                sees.lock().unwrap_or_else(PoisonError::into_inner).add(&told);
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { seen, task }
    }

    /// The most that was seen so far.
    #[must_use]
    pub fn most(&self) -> Most {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Most {
    fn add(&mut self, told: &Value) {
        self.looks += 1;
        for (name, value) in figures("", told) {
            raise(&mut self.pod, name, value);
        }
        for call in told["calls"].as_object().into_iter().flat_map(|calls| calls.values()) {
            for (name, value) in figures("", call) {
                raise(&mut self.call, name, value);
            }
        }
    }
}

fn raise(most: &mut BTreeMap<String, u64>, name: String, value: u64) {
    let known = most.entry(name).or_default();
    *known = value.max(*known);
}

/// The numbers of an object and of the lists in it, by name; what has parts of its own is left out.
fn figures(before: &str, told: &Value) -> Vec<(String, u64)> {
    let mut figures = Vec::new();
    for (name, value) in told.as_object().into_iter().flatten() {
        let name = format!("{before}{name}");
        if let Some(number) = value.as_u64() {
            figures.push((name, number));
        } else if let Some(parts) = value.as_array() {
            for (at, part) in parts.iter().enumerate() {
                figures.extend(self::figures(&format!("{name}.{at}."), part));
            }
        }
    }
    figures
}

async fn told(address: SocketAddr, token: &str) -> Option<Value> {
    let reply = request(address, "GET", PATH, Some(token)).await.ok()?;
    assert_eq!(reply.status, 200, "{}", reply.body);
    Some(reply.json())
}

/// Waits until the pod holds nothing of any call any more.
///
/// # Panics
/// When that does not come, see [`eventually`].
pub async fn nothing_left(pod: &PodProcess, token: &str) {
    let left = Mutex::new(Value::Null);
    let empty = eventually("a pod to hold nothing of calls that are over", async || {
        let told = told(pod.http(), token).await.expect("the pod answers");
        let mut figures = [figures("", &told), figures("", &told["total"])].concat();
        figures.extend(told["calls"].as_object().map(|calls| ("calls".to_owned(), calls.len() as u64)));
        let some: Vec<_> = figures.into_iter().filter(|(_, value)| *value > 0).collect();
        *left.lock().unwrap_or_else(PoisonError::into_inner) = told;
        (some.is_empty()).then_some(())
    });
    // A test that waits in vain says what is left.
    let guard = Told(&left);
    empty.await;
    drop(guard);
}

struct Told<'a>(&'a Mutex<Value>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left: {}", self.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
