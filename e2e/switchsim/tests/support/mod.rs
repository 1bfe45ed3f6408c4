//! What the tests of servers share: a configuration as an operator renders it, on addresses of its own, and the control API over a
//! plain connection.

use std::time::Duration;

use http::{Request, Response};
use switchsim::control::{CallStatus, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// Far longer than anything here takes.
pub const SOON: Duration = Duration::from_secs(20);

/// A whole configuration, as an operator renders it.
pub const CONFIGURATION: &str = include_str!("../fixtures/pod.xml");

/// A loopback address that no other test uses: fixed ports are free on it.
pub fn own_address() -> String {
    let [a, b, c, ..] = *Uuid::new_v4().as_bytes();
    format!("127.{}.{b}.{}", 1 + a % 250, 1 + c % 250)
}

/// A server's HTTP, as a transport of its client.
pub async fn exchange(address: String, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let mut text = format!("{} {} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n", head.method, head.uri);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(&body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("headers end");
    let status = String::from_utf8_lossy(&answer[9..12]).parse::<u16>().expect("a status");
    Ok(Response::builder().status(status).body(answer[end + 4..].to_vec()).unwrap())
}

/// The client of a server's control API.
#[macro_export]
macro_rules! client {
    ($address:expr) => {{
        let address = $address.to_string();
        switchsim::control::Client::new(move |request| $crate::support::exchange(address.clone(), request), "")
    }};
}

/// Waits until a call is as `condition` says.
pub async fn wait_for<T: switchsim::control::Transport>(
    client: &Client<T>,
    id: &str,
    condition: impl Fn(&CallStatus) -> bool,
) -> CallStatus {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let status = client.call(id).await.unwrap();
        if condition(&status) {
            return status;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a call is up and a pod is heard.
pub fn up(status: &CallStatus) -> bool {
    status.now.as_ref().is_some_and(|now| now.answered && now.packets_received > 0)
}
