//! The list of sessions, for whoever watches the pod or ends a call by hand. Counts nothing that matters to admission: the
//! permits do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use super::entries::SessionEntries;
use super::state::{IllegalTransition, SessionState};

/// What is known of a session when it begins.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The session's id, unique in the pod.
    pub id: String,
    /// The caller's number as it may be shown: masked, unless full numbers were asked for.
    pub caller: String,
    /// The number that was dialled.
    pub dialed: String,
    /// When the call came, for durations.
    pub started: Instant,
    /// When the call came, for people.
    pub started_at: SystemTime,
}

/// There is a session of that id already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is a session {id} already")]
pub struct DuplicateSession {
    /// The id.
    pub id: String,
}

struct Session {
    new: NewSession,
    state: Mutex<SessionState>,
    turns: AtomicU32,
    entries: Mutex<SessionEntries>,
    end: CancellationToken,
}

/// A session, seen from anywhere. Clones are the same session.
#[derive(Clone)]
pub struct SessionHandle(Arc<Session>);

impl SessionHandle {
    /// The session's id.
    pub fn id(&self) -> &str {
        &self.0.new.id
    }

    /// Where the session is in its life.
    pub fn state(&self) -> SessionState {
        *self.state_lock()
    }

    /// Takes a step.
    ///
    /// # Errors
    /// When the life of a session has no such step; the session stays where it is.
    pub fn set_state(&self, to: SessionState) -> Result<(), IllegalTransition> {
        let mut state = self.state_lock();
        if !state.may_become(to) {
            return Err(IllegalTransition { from: *state, to });
        }
        *state = to;
        Ok(())
    }

    /// Counts a finished turn.
    pub fn count_turn(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells how much the call holds.
    pub fn set_entries(&self, entries: SessionEntries) {
        *self.0.entries.lock().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    /// How much the call held when it last did something.
    pub fn entries(&self) -> SessionEntries {
        *self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the call to hang up.
    pub fn end(&self) {
        self.0.end.cancel();
    }

    /// Cancelled when the call is asked to hang up; the call's own task watches it, and may hang its tree of tasks under it.
    pub fn end_requested(&self) -> &CancellationToken {
        &self.0.end
    }

    /// What can be told of the session.
    pub fn snapshot(&self, now: Instant) -> SessionSnapshot {
        let new = &self.0.new;
        SessionSnapshot {
            id: new.id.clone(),
            caller: new.caller.clone(),
            dialed: new.dialed.clone(),
            state: self.state(),
            started_at: new.started_at,
            duration: now.saturating_duration_since(new.started),
            turns: self.0.turns.load(Ordering::Relaxed),
        }
    }

    fn state_lock(&self) -> MutexGuard<'_, SessionState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can be told of a session at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// The session's id.
    pub id: String,
    /// The caller's number as it may be shown.
    pub caller: String,
    /// The number that was dialled.
    pub dialed: String,
    /// Where it is in its life.
    pub state: SessionState,
    /// When it began.
    pub started_at: SystemTime,
    /// How long it has lasted.
    pub duration: std::time::Duration,
    /// Turns finished.
    pub turns: u32,
}

/// All sessions of the pod, at most as many as there are permits. Clones share the list.
#[derive(Clone, Default)]
pub struct Registry {
    sessions: Arc<Mutex<HashMap<String, SessionHandle>>>,
}

impl Registry {
    /// No sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lists a session until the guard is dropped.
    ///
    /// # Errors
    /// When its id is taken.
    pub fn register(&self, new: NewSession) -> Result<SessionGuard, DuplicateSession> {
        let mut sessions = self.lock();
        let id = new.id.clone();
        if sessions.contains_key(&id) {
            return Err(DuplicateSession { id });
        }
        let handle = SessionHandle(Arc::new(Session {
            new,
            state: Mutex::new(SessionState::Created),
            turns: AtomicU32::new(0),
            entries: Mutex::default(),
            end: CancellationToken::new(),
        }));
        sessions.insert(id, handle.clone());
        Ok(SessionGuard { registry: self.clone(), handle })
    }

    /// The session of that id.
    pub fn get(&self, id: &str) -> Option<SessionHandle> {
        self.lock().get(id).cloned()
    }

    /// Asks the call of that id to hang up; says whether there is one.
    pub fn end(&self, id: &str) -> bool {
        self.get(id).inspect(SessionHandle::end).is_some()
    }

    /// All sessions, the oldest first.
    pub fn list(&self, now: Instant) -> Vec<SessionSnapshot> {
        let handles: Vec<SessionHandle> = self.lock().values().cloned().collect();
        let mut list: Vec<_> = handles.iter().map(|handle| handle.snapshot(now)).collect();
        list.sort_by(|a, b| b.duration.cmp(&a.duration).then_with(|| a.id.cmp(&b.id)));
        list
    }

    /// How much each session holds, by its id.
    pub fn entries(&self) -> Vec<(String, SessionEntries)> {
        let handles: Vec<SessionHandle> = self.lock().values().cloned().collect();
        handles.iter().map(|handle| (handle.id().to_owned(), handle.entries())).collect()
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, SessionHandle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a session on the list; the call's task holds it. Derefs to the [`SessionHandle`].
pub struct SessionGuard {
    registry: Registry,
    handle: SessionHandle,
}

impl SessionGuard {
    /// A handle that does not keep the session on the list.
    pub fn handle(&self) -> SessionHandle {
        self.handle.clone()
    }
}

impl std::ops::Deref for SessionGuard {
    type Target = SessionHandle;

    fn deref(&self) -> &SessionHandle {
        &self.handle
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        // Ended is where every state may go; who still has a handle shall not take the session for a living one.
        *self.handle.state_lock() = SessionState::Ended;
        self.registry.lock().remove(self.handle.id());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    fn new(id: &str, started: Instant) -> NewSession {
        NewSession {
            id: id.to_owned(),
            caller: "+155…67".to_owned(),
            dialed: "1000".to_owned(),
            started,
            started_at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_session_is_listed_from_its_beginning_to_the_end_of_its_guard() {
        let now = Instant::now();
        let registry = Registry::new();
        let guard = registry.register(new("a", now)).expect("the id is free");
        let handle = guard.handle();
        guard.set_state(SessionState::Active).expect("answered");
        guard.count_turn();
        let list = registry.list(now + Duration::from_secs(3));
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].id.as_str(), list[0].state, list[0].turns), ("a", SessionState::Active, 1));
        assert_eq!(list[0].duration, Duration::from_secs(3));
        drop(guard);
        assert!(registry.is_empty());
        assert_eq!(handle.state(), SessionState::Ended);
    }

    #[test]
    fn an_id_is_never_listed_twice() {
        let now = Instant::now();
        let registry = Registry::new();
        let guard = registry.register(new("a", now)).expect("the id is free");
        assert_eq!(registry.register(new("a", now)).err(), Some(DuplicateSession { id: "a".to_owned() }));
        assert_eq!(registry.len(), 1, "the refused one removed nothing");
        drop(guard);
        assert!(registry.register(new("a", now)).is_ok());
    }

    #[test]
    fn the_oldest_session_comes_first() {
        let now = Instant::now();
        let registry = Registry::new();
        let _young = registry.register(new("young", now + Duration::from_secs(5))).expect("free");
        let _old = registry.register(new("old", now)).expect("free");
        let ids: Vec<_> = registry.list(now + Duration::from_secs(9)).into_iter().map(|session| session.id).collect();
        assert_eq!(ids, ["old", "young"]);
    }

    #[test]
    fn a_session_can_be_ended_by_its_id() {
        let registry = Registry::new();
        let guard = registry.register(new("a", Instant::now())).expect("free");
        assert!(!guard.end_requested().is_cancelled());
        assert!(registry.end("a"));
        assert!(guard.end_requested().is_cancelled());
        assert!(!registry.end("b"));
    }

    #[test]
    fn an_illegal_step_is_refused_and_changes_nothing() {
        let registry = Registry::new();
        let guard = registry.register(new("a", Instant::now())).expect("free");
        let refused = guard.set_state(SessionState::OnHold).expect_err("not answered yet");
        assert_eq!(refused.to_string(), "a session that is created can't become on_hold");
        assert_eq!(guard.state(), SessionState::Created);
    }
}
