//! Against a small server that answers as pods do, and as they should not. The fixtures are answers of a real pod with two calls.

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::*;

const SERVING: &str = include_str!("fixtures/serving.json");
const DRAINING: &str = include_str!("fixtures/draining.json");
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A scraper whose pods are this router, on whatever address.
async fn scraper(router: Router) -> Scraper {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Scraper::at_port(port).expect("a client")
}

async fn status(answer: impl IntoResponse + Clone + Send + Sync + 'static) -> Result<PodFigures, ScrapeError> {
    let router = Router::new().route("/status", get(async || answer));
    scraper(router).await.figures(LOCALHOST).await
}

#[tokio::test]
async fn a_pod_says_how_many_calls_it_has() {
    let figures = PodFigures { active: 2, capacity: 100, accepting: true, draining: false };
    assert_eq!(status(SERVING).await.expect("figures"), figures);
    let figures = PodFigures { accepting: false, draining: true, ..figures };
    assert_eq!(status(DRAINING).await.expect("figures"), figures);
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_given_up() {
    let router = Router::new().route("/status", get(std::future::pending::<()>));
    let error = scraper(router).await.figures(LOCALHOST).await.expect_err("no answer");
    assert!(matches!(&error, ScrapeError::Unreachable(cause) if cause.is_timeout()), "{error:?}");
}

#[tokio::test]
async fn a_pod_that_never_ends_its_answer_is_given_up() {
    let body = || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024])));
    let router = Router::new().route("/status", get(async move || body()));
    let error = scraper(router).await.figures(LOCALHOST).await.expect_err("too long");
    assert!(matches!(error, ScrapeError::TooLong), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let scraper = Scraper::at_port(port).expect("a client");
    assert!(matches!(scraper.figures(LOCALHOST).await, Err(ScrapeError::Unreachable(_))));
    let token = SecretText::new("sesame");
    assert!(matches!(scraper.drain(LOCALHOST, &token).await, Err(DrainError::Unreachable(_))));
}

#[tokio::test]
async fn what_no_data_plane_says_is_malformed() {
    let figures = r#"{"sessions":{"active":-1,"capacity":100,"accepting":true},"drain":{"draining":false}}"#;
    for answer in ["", "{}", "<html>", r#"{"sessions":{"active":1}}"#, figures, "[[[[[[["] {
        let error = status(answer).await.expect_err(answer);
        assert!(matches!(error, ScrapeError::Malformed(_)), "{answer}: {error:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(status(deep).await, Err(ScrapeError::Malformed(_))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let router = Router::new()
        .route("/status", get(async || Redirect::temporary("/elsewhere")))
        .route("/elsewhere", get(async || SERVING));
    let error = scraper(router).await.figures(LOCALHOST).await.expect_err("a redirect");
    assert!(matches!(error, ScrapeError::Refused(StatusCode::TEMPORARY_REDIRECT)), "{error:?}");
}

#[tokio::test]
async fn many_pods_answer_in_their_order_and_one_silent_pod_is_one_error() {
    let router = Router::new().route("/status", get(async || SERVING));
    let scraper = scraper(router).await;
    // Nothing listens on this address of the loopback network's other end.
    let addresses = (0..100).map(|pod| if pod == 70 { IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9)) } else { LOCALHOST });
    let answers = scraper.all(addresses).await;
    assert_eq!(answers.len(), 100);
    for (pod, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), pod == 70, "{pod}: {answer:?}");
    }
}

#[tokio::test]
async fn a_pod_is_told_to_drain_with_the_token() {
    let drain = async |headers: HeaderMap| match headers.get("authorization") {
        Some(value) if value == "Bearer sesame" => (StatusCode::ACCEPTED, r#"{"draining":true}"#),
        _ => (StatusCode::UNAUTHORIZED, "{}"),
    };
    let scraper = scraper(Router::new().route("/drain", post(drain))).await;
    scraper.drain(LOCALHOST, &SecretText::new("sesame")).await.expect("accepted");
    let error = scraper.drain(LOCALHOST, &SecretText::new("guess")).await.expect_err("refused");
    assert!(matches!(error, DrainError::Unauthorized(StatusCode::UNAUTHORIZED)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("guess"));
}

#[tokio::test]
async fn a_pod_without_a_token_says_so_and_another_status_is_none() {
    let answer = async |status: StatusCode| {
        let scraper = scraper(Router::new().route("/drain", post(async move || status))).await;
        scraper.drain(LOCALHOST, &SecretText::new("sesame")).await.expect_err("refused")
    };
    assert!(matches!(answer(StatusCode::FORBIDDEN).await, DrainError::Unauthorized(_)));
    assert!(matches!(answer(StatusCode::OK).await, DrainError::Refused(StatusCode::OK)));
    assert!(matches!(answer(StatusCode::NOT_FOUND).await, DrainError::Refused(_)));
}

#[test]
fn an_ipv6_address_is_written_in_brackets() {
    let scraper = Scraper::new().expect("a client");
    assert_eq!(scraper.url("fd00::1".parse().expect("an address"), "status"), "http://[fd00::1]:8080/status");
}
