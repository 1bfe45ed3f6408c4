//! Carries out a decision, step by step in the order that keeps calls. The only way from a [`Decision`] to a fleet: the operator's hands
//! and the model's are moved by the same function, so what the model proves is what the product does. Decides nothing.

use std::future::Future;

use super::decide::Decision;

/// How many pods there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Replicas of the Deployment.
    pub replicas: u32,
    /// How many of them shall serve.
    pub serving: u32,
    /// Whether pods have been full, or late, lately.
    pub crowded: bool,
}

/// What can be done to a fleet. What fails is told by whoever implements it; it is decided again at the next pass.
pub trait Hands {
    /// Takes the mark off pods that have calls again.
    fn unmark(&mut self, pods: &[String]) -> impl Future<Output = ()> + Send;

    /// Marks pods as drained.
    fn mark(&mut self, pods: &[String]) -> impl Future<Output = ()> + Send;

    /// Sets how many pods there shall be, and how many of them must be left by evictions.
    fn resize(&mut self, size: Size) -> impl Future<Output = ()> + Send;

    /// Has pods drain.
    fn drain(&mut self, pods: &[String]) -> impl Future<Output = ()> + Send;

    /// Deletes pods by name.
    fn delete(&mut self, pods: &[String]) -> impl Future<Output = ()> + Send;
}

/// Carries out all of a decision. Marks come first: lowering the replicas takes the pods that bear one.
pub async fn execute(decision: &Decision, hands: &mut (impl Hands + Send)) {
    // By name each, so that nothing that is decided is left undone.
    let Decision { replicas, serving, drain, mark, unmark, delete, crowded } = decision;
    hands.unmark(unmark).await;
    hands.mark(mark).await;
    hands.resize(Size { replicas: *replicas, serving: *serving, crowded: *crowded }).await;
    hands.drain(drain).await;
    hands.delete(delete).await;
}
