//! A pod that answers every call and sends every packet back: what the load generator is measured with.
//!
//! `cargo run --release -p switchsim --example echo_pod 127.0.0.1:8084`

#[path = "../tests/support/pod.rs"]
mod pod;

use pod::{Behaviour, TestPod};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8084".to_owned());
    let pod = TestPod::start_at(&address, Behaviour::Echo).await;
    println!("an echo at {}", pod.address);
    std::future::pending::<()>().await;
}
