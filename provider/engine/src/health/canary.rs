//! A trace of our own, written like any client's and read back like any user's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tempoform_wire::otlp::{
    AnyValue, ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, KeyValue,
    Resource, ResourceSpans, ScopeSpans, Span, SpanKind, any_value,
};

use super::probe::describe;
use super::receiver::Receiver;
use super::{Check, HealthOptions, Outcome, READERS, chain, endpoint};
use crate::object::Instance;

/// The service that canary traces are of.
const SERVICE: &str = "tempoform-canary";
/// The attribute that is unique to each canary.
const MARK: &str = "tempoform.canary";
const TENANT_HEADER: &str = "x-scope-orgid";
const POLL: Duration = Duration::from_millis(100);

/// Writes a canary and reads it back by id and by search.
pub(super) async fn check(client: &Client, instances: &[Instance], options: &HealthOptions) -> Vec<Check> {
    let canary = Canary::new(options.tenant.clone());
    let began = Instant::now();
    let receiver = match Receiver::choose(instances) {
        Ok(receiver) => receiver,
        Err((outcome, reason)) => return vec![Check::new("canary/write", began, outcome, reason)],
    };
    let written = canary.write(&receiver, options.request_timeout).await;
    let failed = written.is_err();
    let mut checks = vec![verdict("canary/write", began, written, Outcome::Fail)];
    if failed {
        return checks;
    }
    let Some(reader) = endpoint(instances, &READERS, "http") else {
        let reason =
            "no component answers queries: queryFrontend, querier and tempo are all absent".to_owned();
        checks.push(Check::new("canary/by-id", Instant::now(), Outcome::Fail, reason));
        return checks;
    };
    let began = Instant::now();
    let by_id = canary.by_id(client, reader, began + options.by_id_within).await;
    checks.push(verdict("canary/by-id", began, by_id, Outcome::Fail));
    let began = Instant::now();
    let by_search = canary.by_search(client, reader, began + options.search_within).await;
    checks.push(verdict("canary/search", began, by_search, Outcome::Warn));
    checks
}

fn verdict(name: &str, began: Instant, result: Result<String, String>, otherwise: Outcome) -> Check {
    match result {
        Ok(seen) => Check::new(name, began, Outcome::Pass, seen),
        Err(reason) => Check::new(name, began, otherwise, reason),
    }
}

struct Canary {
    trace_id: [u8; 16],
    root: [u8; 8],
    child: [u8; 8],
    sent: SystemTime,
    tenant: Option<String>,
}

impl Canary {
    fn new(tenant: Option<String>) -> Self {
        // An id of all zeros is invalid; the first byte sees to it.
        let mut trace_id: [u8; 16] = rand::random();
        trace_id[0] |= 1;
        let (mut root, mut child): ([u8; 8], [u8; 8]) = (rand::random(), rand::random());
        root[0] = 1;
        child[0] = 2;
        Self { trace_id, root, child, sent: SystemTime::now(), tenant }
    }

    fn id(&self) -> String {
        hex::encode(self.trace_id)
    }

    fn request(&self) -> ExportTraceServiceRequest {
        let end = self.sent.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let span = |span_id: [u8; 8], parent: &[u8], name: &str, kind: SpanKind, nanos: u64| Span {
            trace_id: self.trace_id.to_vec(),
            span_id: span_id.to_vec(),
            parent_span_id: parent.to_vec(),
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: end.saturating_sub(nanos),
            end_time_unix_nano: end,
            attributes: vec![text(MARK, self.id())],
            ..Span::default()
        };
        let spans = vec![
            span(self.root, &[], "canary", SpanKind::Server, 2_000_000),
            span(self.child, &self.root, "canary child", SpanKind::Internal, 1_000_000),
        ];
        let scope = InstrumentationScope { name: "tempoform".to_owned(), ..InstrumentationScope::default() };
        let resource =
            Resource { attributes: vec![text("service.name", SERVICE.to_owned())], ..Resource::default() };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
                schema_url: String::new(),
            }],
        }
    }

    async fn write(&self, receiver: &Receiver<'_>, timeout: Duration) -> Result<String, String> {
        let place = receiver.place();
        let response: ExportTraceServiceResponse = receiver
            .call(&self.request(), timeout, |request| self.with_tenant(request))
            .await
            .map_err(|reason| format!("{place}: {reason}"))?;
        accepted(&response, &format!("trace {} sent to {place}", self.id()))
    }

    async fn by_id(&self, client: &Client, reader: &str, deadline: Instant) -> Result<String, String> {
        let url = format!("http://{reader}/api/v2/traces/{}", self.id());
        let spans = [self.root, self.child].map(|id| BASE64.encode(id));
        let began = Instant::now();
        self.poll(client, &url, &[], deadline, |answer| {
            let found = spans_of(answer);
            let seen = spans.iter().filter(|span| found.contains(&span.as_str())).count();
            if seen == spans.len() {
                Ok(())
            } else {
                Err(format!("{seen} of {} spans came back", spans.len()))
            }
        })
        .await
        .map(|reads| format!("read back by id after {} ms, {reads} request(s)", began.elapsed().as_millis()))
    }

    async fn by_search(&self, client: &Client, reader: &str, deadline: Instant) -> Result<String, String> {
        let url = format!("http://{reader}/api/search");
        let now = self.sent.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let query = [
            ("q", format!("{{ span.{MARK} = \"{}\" }}", self.id())),
            ("start", now.saturating_sub(60).to_string()),
            ("end", (now + 60).to_string()),
        ];
        // Search gives ids without leading zeros.
        let id = self.id();
        let wanted = id.trim_start_matches('0');
        let began = Instant::now();
        self.poll(client, &url, &query, deadline, |answer| {
            let traces =
                answer.get("traces").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let mut ids = traces.iter().filter_map(|trace| trace.get("traceID")?.as_str());
            let found = ids.any(|id| id.trim_start_matches('0') == wanted);
            if found { Ok(()) } else { Err("a search by its attribute does not find it".to_owned()) }
        })
        .await
        .map(|reads| format!("found by search after {} ms, {reads} request(s)", began.elapsed().as_millis()))
    }

    /// Asks until `judge` is content; the number of requests.
    async fn poll(
        &self,
        client: &Client,
        url: &str,
        query: &[(&str, String)],
        deadline: Instant,
        judge: impl Fn(&Value) -> Result<(), String>,
    ) -> Result<u32, String> {
        let mut reads = 0;
        loop {
            reads += 1;
            let reason = match self.read(client, url, query).await.and_then(|answer| judge(&answer)) {
                Ok(()) => return Ok(reads),
                Err(reason) => reason,
            };
            if Instant::now() + POLL >= deadline {
                return Err(format!("{url}: {reason} ({reads} requests)"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn read(&self, client: &Client, url: &str, query: &[(&str, String)]) -> Result<Value, String> {
        let mut url = reqwest::Url::parse(url).map_err(|error| error.to_string())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.with_tenant(client.get(url)).header("accept", "application/json");
        let answer = request.send().await.map_err(|error| chain(&error))?;
        if !answer.status().is_success() {
            return Err(describe(answer).await);
        }
        answer.json().await.map_err(|error| chain(&error))
    }

    fn with_tenant(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.tenant {
            Some(tenant) => request.header(TENANT_HEADER, tenant),
            None => request,
        }
    }
}

/// A partial success rejects spans although the answer is a good one.
fn accepted(response: &ExportTraceServiceResponse, seen: &str) -> Result<String, String> {
    match &response.partial_success {
        Some(partial) if partial.rejected_spans > 0 => {
            Err(format!("{seen}, and refused: {}", partial.error_message))
        }
        _ => Ok(seen.to_owned()),
    }
}

fn text(key: &str, value: String) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value)) };
    KeyValue { key: key.to_owned(), value: Some(value) }
}

/// The span ids (base64) in an answer of `/api/v2/traces/{id}`.
fn spans_of(answer: &Value) -> Vec<&str> {
    answer
        .pointer("/trace/resourceSpans")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|resource| resource.get("scopeSpans")?.as_array())
        .flatten()
        .filter_map(|scope| scope.get("spans")?.as_array())
        .flatten()
        .filter_map(|span| span.get("spanId")?.as_str())
        .collect()
}
