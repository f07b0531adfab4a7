//! A proxy before an object store that behaves as badly as networks and stores do.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a proxy does to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Nothing.
    None,
    /// Answers with this status without asking the store.
    Status(u16),
    /// Answers with this status to whoever asks whether an object is there.
    StatusOfHeads(u16),
    /// Answers nothing until the fault ends, and then drops the connection.
    Hold,
    /// Answers this much later.
    Slow(Duration),
    /// Drops the connection in the middle of each upload, to the store too.
    CutUploads,
    /// Takes uploads to the store and drops the connection instead of answering.
    LoseAnswers,
    /// Sends the first half of what is read, with a length that says so.
    Shorten,
    /// Sends the first half of what is read, then drops the connection.
    CutDownloads,
}

/// A proxy that listens on a port of its own. Ends when dropped.
#[derive(Debug)]
pub struct StoreProxy {
    address: SocketAddr,
    fault: watch::Sender<StoreFault>,
    hits: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl StoreProxy {
    /// A proxy before the server at `store` (`host:port`), which does nothing yet.
    ///
    /// # Errors
    /// When there are no ports.
    pub async fn start(store: String) -> Result<Self> {
        Self::before(store, false).await
    }

    /// The same before an emulator of Google Cloud Storage (`fake-gcs-server`). It takes an upload to an object's address only
    /// where that is marked as a signed URL, though it looks at no signature, and answers without the entity tag that clients want.
    ///
    /// # Errors
    /// When there are no ports.
    pub async fn before_google_emulator(store: String) -> Result<Self> {
        Self::before(store, true).await
    }

    async fn before(store: String, google_emulator: bool) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (fault, current) = watch::channel(StoreFault::None);
        let hits = Arc::<AtomicU64>::default();
        let proxied =
            Proxied { store: store.into(), google_emulator, fault: current, hits: Arc::clone(&hits) };
        Ok(Self { address, fault, hits, task: tokio::spawn(serve(listener, proxied)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does this.
    pub fn set(&self, fault: StoreFault) {
        self.fault.send_replace(fault);
    }

    /// How many requests a fault has met so far.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = BoxBody<Bytes, io::Error>;

#[derive(Clone)]
struct Proxied {
    store: Arc<str>,
    google_emulator: bool,
    fault: watch::Receiver<StoreFault>,
    hits: Arc<AtomicU64>,
}

async fn serve(listener: TcpListener, proxied: Proxied) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let proxied = proxied.clone();
        connections.spawn(async move {
            let service = service_fn(|request| proxied.clone().answer(request));
            let connection = hyper::server::conn::http1::Builder::new();
            // An error is a fault that was ordered, or a client that went away.
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Proxied {
    /// An error drops the connection.
    async fn answer(mut self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let fault = *self.fault.borrow_and_update();
        let (uploads, downloads) =
            (matches!(*request.method(), Method::PUT | Method::POST), request.method() == Method::GET);
        let meets = match fault {
            StoreFault::None => false,
            StoreFault::Status(_) | StoreFault::Hold | StoreFault::Slow(_) => true,
            StoreFault::StatusOfHeads(_) => request.method() == Method::HEAD,
            StoreFault::CutUploads | StoreFault::LoseAnswers => uploads,
            StoreFault::Shorten | StoreFault::CutDownloads => downloads,
        };
        if !meets {
            return self.ask(request, false).await;
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
        match fault {
            StoreFault::None => self.ask(request, false).await,
            StoreFault::Status(status) | StoreFault::StatusOfHeads(status) => {
                let mut response = Response::new(full(Bytes::new()));
                *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
                Ok(response)
            }
            StoreFault::Hold => {
                if self.fault.changed().await.is_err() {
                    pending::<()>().await;
                }
                Err(dropped())
            }
            StoreFault::Slow(delay) => {
                tokio::time::sleep(delay).await;
                self.ask(request, false).await
            }
            StoreFault::CutUploads => self.ask(request, true).await.and(Err(dropped())),
            StoreFault::LoseAnswers => self.ask(request, false).await.and(Err(dropped())),
            StoreFault::Shorten => half(self.ask(request, false).await?, true).await,
            StoreFault::CutDownloads => half(self.ask(request, false).await?, false).await,
        }
    }

    /// Asks the store, on a connection of its own. With `cut`, only half of the request comes there.
    async fn ask(&self, request: Request<Incoming>, cut: bool) -> io::Result<Response<Body>> {
        let stream = TcpStream::connect(&*self.store).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        // S3 knows no bearer tokens; a client of another store may send one that means nothing.
        if head.headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bearer ")) {
            head.headers.remove(AUTHORIZATION);
        }
        if self.google_emulator && head.method == Method::PUT && head.uri.query().is_none() {
            let marked = format!("{}?X-Goog-Algorithm=none", head.uri.path());
            head.uri = marked.parse().map_err(io::Error::other)?;
        }
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let body = if cut { broken(body.slice(..body.len() / 2)) } else { full(body) };
        let mut response =
            sender.send_request(Request::from_parts(head, body)).await.map_err(io::Error::other)?;
        if self.google_emulator && !response.headers().contains_key(ETAG) {
            response.headers_mut().insert(ETAG, HeaderValue::from_static("\"none\""));
        }
        Ok(response.map(|body| body.map_err(io::Error::other).boxed()))
    }
}

fn dropped() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A body that ends before its time.
fn broken(bytes: Bytes) -> Body {
    BoxBody::new(StreamBody::new(stream::iter([Ok(Frame::data(bytes)), Err(dropped())])))
}

async fn half(response: Response<Body>, honest: bool) -> io::Result<Response<Body>> {
    let (mut head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let kept = body.slice(..body.len() / 2);
    let length = if honest { kept.len() } else { body.len() };
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(Response::from_parts(head, if honest || body.is_empty() { full(kept) } else { broken(kept) }))
}
