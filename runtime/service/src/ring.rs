//! The members for operators: as a page for browsers, as JSON for everybody else, and the order to forget one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use handlebars::Handlebars;
use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};
use tempoform_config::Target;
use tempoform_distributor::ownership;

use crate::admin::Admin;
use crate::membership::{Member, Members, NotForgotten, State};

/// Where the page is: our place, and Tempo's.
pub(crate) const PATHS: [&str; 4] =
    ["/status/ring", "/ingester/ring", "/distributor/ring", "/compactor/ring"];

const PAGE: &str = "page";

static PAGES: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut pages = Handlebars::new();
    pages.set_strict_mode(true);
    pages
        .register_template_string(PAGE, include_str!("ring.html.hbs"))
        .expect("the template is part of the program");
    pages
});

/// Shows members, and forgets them.
pub(crate) fn route() -> MethodRouter<Arc<Admin>> {
    get(show).post(forget)
}

/// A member, and what is computed for it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    member: &'a Member,
    /// Of the copies of all traces, 0 to 1; active ingesters only.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    /// As last told, of ingesters.
    #[serde(skip_serializing_if = "Option::is_none")]
    unflushed_segments: Option<u64>,
}

/// The members as JSON.
pub(crate) fn json(admin: &Admin) -> serde_json::Value {
    let Some(membership) = admin.membership.get() else {
        return serde_json::json!({ "members": [] });
    };
    let members = membership.members();
    serde_json::json!({ "members": shown(&members, &membership.unflushed(), admin) })
}

fn shown<'a>(members: &'a Members, unflushed: &BTreeMap<String, u64>, admin: &Admin) -> Vec<Shown<'a>> {
    let ring = &admin.config().ingester.lifecycler.ring;
    let zone = |member: &'a Member| if ring.zone_awareness_enabled { member.zone.as_str() } else { "" };
    let active: Vec<(&str, &str)> = members
        .values()
        .filter(|member| member.state == State::Active && member.target.runs(Target::Ingester))
        .map(|member| (member.name.as_str(), zone(member)))
        .collect();
    let shares = ownership(&active, ring.replication_factor as usize);
    let shares: BTreeMap<&str, f64> = active.iter().map(|(name, _)| *name).zip(shares).collect();
    let of = |member: &'a Member| Shown {
        member,
        share: shares.get(member.name.as_str()).copied(),
        unflushed_segments: unflushed.get(&member.name).copied(),
    };
    members.values().map(of).collect()
}

async fn show(Shared(admin): Shared<Arc<Admin>>, headers: HeaderMap) -> Response {
    if !wants_html(&headers) {
        return axum::Json(json(&admin)).into_response();
    }
    let Some(membership) = admin.membership.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response();
    };
    match page(membership.own_name(), &membership.members(), &membership.unflushed(), &admin) {
        Ok(page) => Html(page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("could not write the page: {error}\n"))
            .into_response(),
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// What the template gets; it escapes all of it.
#[derive(Serialize)]
struct Page<'a> {
    own_name: &'a str,
    now: String,
    version: &'static str,
    unhealthy: usize,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    zone: &'a str,
    role: &'static str,
    state: &'static str,
    explained: &'static str,
    since: String,
    grpc: &'a str,
    http: &'a str,
    share: String,
    unflushed: String,
    may_be_forgotten: bool,
    loss: &'static str,
}

fn page(
    own_name: &str,
    members: &Members,
    unflushed: &BTreeMap<String, u64>,
    admin: &Admin,
) -> Result<String, handlebars::RenderError> {
    let now = Timestamp::now();
    let page = Page {
        own_name,
        now: seconds(now),
        version: env!("CARGO_PKG_VERSION"),
        unhealthy: members.values().filter(|member| member.state == State::Unhealthy).count(),
        rows: shown(members, unflushed, admin).iter().map(|shown| row(shown, now)).collect(),
    };
    PAGES.render(PAGE, &page)
}

fn row<'a>(shown: &Shown<'a>, now: Timestamp) -> Row<'a> {
    let Member { name, target, state, since, generation: _, grpc, http, zone } = shown.member;
    let has_spans = target.runs(Target::Ingester);
    Row {
        name,
        zone,
        role: target.as_str(),
        state: state.as_str(),
        explained: match state {
            State::Joining if has_spans => "starts, replays its log",
            State::Joining => "starts",
            State::Active => "",
            State::Leaving => "ends, takes no more writes",
            State::Left => "nothing is left to be read from it",
            State::Unhealthy if has_spans => {
                "does not answer; spans that only its disk has cannot be read for now"
            }
            State::Unhealthy => "does not answer",
        },
        since: since.map_or_else(String::new, |since| {
            format!("{} ({:#} ago)", seconds(since), whole_seconds(now.duration_since(since)))
        }),
        grpc,
        http,
        share: shown.share.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0)),
        unflushed: shown.unflushed_segments.map_or_else(String::new, |segments| segments.to_string()),
        may_be_forgotten: matches!(state, State::Unhealthy | State::Left),
        loss: if has_spans && *state == State::Unhealthy {
            "Spans that only its disk has are then not looked for, and answers do not say that they are missing."
        } else {
            "Nothing is lost."
        },
    }
}

/// RFC 3339, to the second.
fn seconds(time: Timestamp) -> String {
    time.round(TimestampRound::new().smallest(Unit::Second)).unwrap_or(time).to_string()
}

fn whole_seconds(age: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(age.as_secs().max(0))
}

/// Whom to forget.
#[derive(Default, Deserialize)]
struct Order {
    forget: Option<String>,
}

/// `POST …?forget=NAME`, or `forget=NAME` as a form.
async fn forget(
    Shared(admin): Shared<Arc<Admin>>,
    uri: Uri,
    headers: HeaderMap,
    Query(order): Query<Order>,
    body: Bytes,
) -> Response {
    // A page from elsewhere must not order anything by a visitor's browser.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return (StatusCode::FORBIDDEN, "orders from pages of other sites are refused\n").into_response();
    }
    let of_form =
        || form_urlencoded::parse(&body).find(|(key, _)| key == "forget").map(|(_, name)| name.into_owned());
    let Some(name) = order.forget.or_else(of_form).filter(|name| !name.is_empty()) else {
        return (StatusCode::BAD_REQUEST, "name the member: POST /status/ring?forget=NAME\n").into_response();
    };
    let Some(membership) = admin.membership.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response();
    };
    match membership.forget(&name).await {
        Ok(()) if wants_html(&headers) => Redirect::to(uri.path()).into_response(),
        Ok(()) => format!("{name} is forgotten\n").into_response(),
        Err(NotForgotten::Unknown) => {
            (StatusCode::NOT_FOUND, format!("no member is named {name}; GET /status/ring names them\n"))
                .into_response()
        }
        Err(NotForgotten::Present(state)) => {
            let http = membership.members().get(&name).map(|member| member.http.clone()).unwrap_or_default();
            (StatusCode::CONFLICT, present(&name, state, &http)).into_response()
        }
    }
}

fn present(name: &str, state: State, http: &str) -> String {
    let state = state.as_str();
    format!(
        "{name} is {state}: only members that went away are forgotten. To stop it, declare fewer replicas and apply, or POST http://{http}/shutdown, which brings what it holds to storage first\n"
    )
}

#[cfg(test)]
mod tests;
