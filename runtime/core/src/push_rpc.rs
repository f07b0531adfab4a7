//! OTLP requests over gRPC as raw bytes: the message is handed over as received, not decoded. Serves
//! the front door (`TraceService/Export`) and the way from distributor to ingester alike.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http_body_util::Full;
use prost::Message as _;
use tempoform_wire::internal::PushResponse;
use tempoform_wire::otlp::ExportTraceServiceResponse;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::Channel;

use crate::{Error, ErrorKind, Push, PushOutcome, Reservation, Result, SpanSink, TENANT_HEADER, TenantId};

mod message;

use message::{Message, Refused};

/// Where a service of this kind is mounted.
pub trait Route: Send + Sync + 'static {
    /// Full service name.
    const SERVICE: &'static str;
    /// Path of the one method.
    const PATH: &'static str;
    /// What it answers.
    type Response: prost::Message + Default;
}

/// OTLP's own: what exporters call.
#[derive(Debug)]
pub struct Export;

impl Route for Export {
    const SERVICE: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
    const PATH: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    type Response = ExportTraceServiceResponse;
}

/// Jaeger's: its request is other bytes, its answer an empty message too.
#[derive(Debug)]
pub struct PostSpans;

impl Route for PostSpans {
    const SERVICE: &'static str = "jaeger.api_v2.CollectorService";
    const PATH: &'static str = "/jaeger.api_v2.CollectorService/PostSpans";
    // An empty message, as Jaeger's `PostSpansResponse` is.
    type Response = ExportTraceServiceResponse;
}

/// From a distributor to an ingester.
#[derive(Debug)]
pub struct ToIngester;

impl Route for ToIngester {
    const SERVICE: &'static str = "tempoform.Ingester";
    const PATH: &'static str = "/tempoform.Ingester/Push";
    type Response = PushResponse;
}

/// Answers one export.
#[async_trait::async_trait]
pub trait ExportHandler: Send + Sync + 'static {
    /// What it answers.
    type Response: prost::Message;

    /// Takes the encoded request, for which `place` holds the room that [`admit`](Self::admit) gave it; a refusal is the
    /// gRPC status the client sees.
    async fn export(
        &self,
        metadata: &MetadataMap,
        request: Bytes,
        place: Option<Reservation>,
    ) -> Result<Self::Response, Status>;

    /// A message was refused before it got this far; `reason` is `too_large`, `undecodable`, `inflight_bytes` or
    /// `timeout`.
    fn refused(&self, reason: &'static str);

    /// Holds room for `bytes` bytes: those of a message that have come so far, and what they are unpacked to. By default
    /// there is room for any.
    ///
    /// # Errors
    /// The status that the client sees.
    fn admit(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<(), Status> {
        let _ = (place, bytes);
        Ok(())
    }
}

/// A gRPC service at [`Route`] `R` over a handler.
#[derive(Debug)]
pub struct ExportServer<R, H> {
    handler: Arc<H>,
    max_message_size: usize,
    route: PhantomData<fn() -> R>,
}

impl<R, H> ExportServer<R, H> {
    /// Serves `handler`; larger messages than `max_message_size` bytes are refused.
    pub fn new(handler: Arc<H>, max_message_size: usize) -> Self {
        Self { handler, max_message_size, route: PhantomData }
    }
}

impl<R, H> Clone for ExportServer<R, H> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.handler), self.max_message_size)
    }
}

impl<R: Route, H> NamedService for ExportServer<R, H> {
    const NAME: &'static str = R::SERVICE;
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<R: Route, H: ExportHandler> tower::Service<http::Request<Body>> for ExportServer<R, H> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let handler = Arc::clone(&self.handler);
        let max_message_size = self.max_message_size;
        Box::pin(async move {
            if request.uri().path() != R::PATH {
                return Ok(Status::unimplemented(format!("no method {}", request.uri().path())).into_http());
            }
            let (mut parts, body) = request.into_parts();
            let message = match Message::read(&mut parts.headers, body, max_message_size, &handler).await {
                Ok(message) => message,
                Err(Refused { status, reason }) => {
                    handler.refused(reason);
                    return Ok(status.into_http());
                }
            };
            // tonic reads an empty message: ours is read already, with room for all that it takes.
            let empty = Body::new(Full::new(Bytes::from_static(&[0; message::HEADER])));
            let mut grpc = tonic::server::Grpc::new(RawCodec);
            Ok(grpc.unary(Method { handler, message }, http::Request::from_parts(parts, empty)).await)
        })
    }
}

struct Method<H> {
    handler: Arc<H>,
    message: Message,
}

impl<H: ExportHandler> UnaryService<Bytes> for Method<H> {
    type Response = Vec<Bytes>;
    type Future = BoxFuture<Result<tonic::Response<Vec<Bytes>>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let handler = Arc::clone(&self.handler);
        let Message { bytes, place } = std::mem::take(&mut self.message);
        Box::pin(async move {
            let response = handler.export(request.metadata(), bytes, place).await?;
            Ok(tonic::Response::new(vec![response.encode_to_vec().into()]))
        })
    }
}

/// A receiver in another process, sent requests that are encoded already.
#[derive(Clone, Debug)]
pub struct RemoteExporter {
    channel: Channel,
    tenant: Option<String>,
}

impl RemoteExporter {
    /// Exports over `channel`.
    pub fn new(channel: Channel) -> Self {
        Self { channel, tenant: None }
    }

    /// The same, as `tenant`.
    #[must_use]
    pub fn with_tenant(self, tenant: impl Into<String>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// Sends one request; `Ok` is the acknowledgement of all of it.
    ///
    /// # Errors
    /// The receiver's status, or `FAILED_PRECONDITION` when it refused a part for good.
    pub async fn export(&self, request: Bytes) -> Result<(), Status> {
        let mut request = tonic::Request::new(vec![request]);
        if let Some(tenant) = &self.tenant {
            let name = tenant
                .parse()
                .map_err(|_| Status::invalid_argument(format!("tenant {tenant:?} is no metadata value")))?;
            request.metadata_mut().insert(TENANT_HEADER, name);
        }
        let response = call::<Export>(&self.channel, request).await?;
        match response.partial_success {
            Some(partial) if partial.rejected_spans > 0 => Err(Status::failed_precondition(format!(
                "{} spans rejected: {}",
                partial.rejected_spans, partial.error_message
            ))),
            _ => Ok(()),
        }
    }
}

async fn call<R: Route>(
    channel: &Channel,
    request: tonic::Request<Vec<Bytes>>,
) -> Result<R::Response, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(format!("not reachable: {error}")))?;
    let response = grpc.unary(request, http::uri::PathAndQuery::from_static(R::PATH), RawCodec).await?;
    R::Response::decode(response.into_inner())
        .map_err(|error| Status::internal(format!("the answer cannot be decoded: {error}")))
}

/// An ingester in another process.
#[derive(Clone, Debug)]
pub struct RemoteIngester {
    channel: Channel,
}

impl RemoteIngester {
    /// Pushes over `channel`.
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }
}

#[async_trait::async_trait]
impl SpanSink for RemoteIngester {
    async fn push(&self, tenant: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
        let led = push.led.len();
        let mut request = tonic::Request::new(push.encode());
        let name = tenant.as_str().parse().map_err(|_| {
            Error::new(ErrorKind::Internal, format!("tenant {tenant} does not fit into gRPC metadata"))
        })?;
        request.metadata_mut().insert(TENANT_HEADER, name);
        let PushResponse { rejected_spans, over_trace_bytes } =
            call::<ToIngester>(&self.channel, request).await?;
        if rejected_spans.len() != led {
            return Err(Error::new(ErrorKind::Internal, "an ingester answered for other batches"));
        }
        // One of an earlier version does not say which limit it was.
        let over_trace_bytes = over_trace_bytes.into_iter().chain(std::iter::repeat(0));
        let outcome = |(rejected, over_trace_bytes): (u64, u64)| PushOutcome {
            over_trace_bytes: over_trace_bytes.min(rejected),
            over_live_traces: rejected.saturating_sub(over_trace_bytes),
        };
        Ok(rejected_spans.into_iter().zip(over_trace_bytes).map(outcome).collect())
    }
}

/// Hands messages over as they are.
#[derive(Clone, Copy, Debug)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<Bytes>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    /// The message in chunks.
    type Item = Vec<Bytes>;
    type Error = Status;

    fn encode(&mut self, chunks: Vec<Bytes>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(chunks.iter().map(Bytes::len).sum());
        chunks.into_iter().for_each(|chunk| buffer.put(chunk));
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests;
