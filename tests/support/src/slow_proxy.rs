//! A proxy that makes an HTTP server as far away as a real object store.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use reqwest::StatusCode;
use tokio::net::TcpListener;

/// Headers that belong to one connection.
const HOP_BY_HOP: [&str; 3] = ["connection", "keep-alive", "transfer-encoding"];

/// Passes requests on to a server, each after a delay.
#[derive(Clone, Debug)]
pub struct SlowProxy {
    client: reqwest::Client,
    target: String,
    delay: Duration,
}

impl SlowProxy {
    /// Starts a proxy to `target` (`host:port`); gives its URL.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(target: &str, delay: Duration) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let proxy = Self { client: reqwest::Client::new(), target: target.to_owned(), delay };
        let router = Router::new().fallback(pass_on).with_state(proxy);
        tokio::spawn(axum::serve(listener, router).into_future());
        Ok(url)
    }

    async fn forward(&self, request: Request) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        // `Host` stays as it is: it is part of what the client signed.
        let answer = self
            .client
            .request(parts.method, format!("http://{}{path}", self.target))
            .headers(parts.headers)
            .body(to_bytes(body, usize::MAX).await?)
            .send()
            .await?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers().iter().filter(|(name, _)| !HOP_BY_HOP.contains(&name.as_str()))
        {
            response = response.header(name, value);
        }
        Ok(response.body(Body::from(answer.bytes().await?))?)
    }
}

async fn pass_on(State(proxy): State<SlowProxy>, request: Request) -> Response {
    tokio::time::sleep(proxy.delay).await;
    match proxy.forward(request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
