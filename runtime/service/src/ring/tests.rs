use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use tempoform_config::Config;
use tower::ServiceExt as _;

use super::*;
use crate::membership::Membership;
use crate::membership::tests::{Cluster, Side, until_all_see};

struct Answer {
    status: StatusCode,
    location: Option<String>,
    text: String,
}

async fn ask(admin: &Arc<Admin>, request: Request<Body>) -> Answer {
    let answer = admin.router().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let location = answer.headers().get("location").map(|at| at.to_str().expect("text").to_owned());
    let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    Answer { status, location, text: String::from_utf8(body.to_vec()).expect("text") }
}

async fn get(admin: &Arc<Admin>, path: &str, accept: &str) -> Answer {
    ask(admin, Request::get(path).header("accept", accept).body(Body::empty()).expect("a request")).await
}

async fn post(admin: &Arc<Admin>, path: &str, form: &'static str) -> Answer {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    ask(admin, request.body(form.into()).expect("a request")).await
}

fn admin(membership: Membership) -> Arc<Admin> {
    let admin = Admin::new(Config::default());
    drop(admin.membership.set(membership));
    admin
}

fn member(name: &str, state: State) -> Member {
    let text = |text: &str| text.to_owned();
    let member = Member::starting(
        text(name),
        Target::Ingester,
        text("10.0.0.1:9095"),
        text("10.0.0.1:3200"),
        text("<zone>"),
    );
    Member { state, ..member }
}

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

#[tokio::test]
async fn browsers_get_a_page_and_all_others_json() {
    let membership = Membership::alone(member("ingester-0", State::Joining));
    membership.set_state(State::Active).await;
    membership.set_unflushed(2).await;
    let admin = admin(membership);
    for path in PATHS {
        let json: Value = serde_json::from_str(&get(&admin, path, "*/*").await.text).expect("JSON");
        let member = &json["members"][0];
        assert_eq!(member["name"], "ingester-0");
        assert_eq!((&member["target"], &member["state"]), (&"ingester".into(), &"active".into()));
        assert_eq!((&member["share"], &member["unflushed_segments"]), (&1.0.into(), &2.into()));
        member["since"].as_str().expect("text").parse::<Timestamp>().expect("RFC 3339");

        let page = get(&admin, path, BROWSER).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("<td>ingester-0</td>") && page.text.contains("100.0 %"), "{}", page.text);
        assert!(!page.text.contains("<form"), "one that is there is not forgotten");
    }
}

#[test]
fn the_page_offers_to_forget_who_went_away_and_escapes_everything() {
    let admin = Admin::new(Config::default());
    let evil = "<script>alert('1')</script>\"";
    let members: Members = Arc::new(
        [member(evil, State::Unhealthy), member("ingester-1", State::Active)]
            .map(|it| (it.name.clone(), it))
            .into(),
    );
    let page = page("own & only", &members, &BTreeMap::from([(evil.to_owned(), 7)]), &admin).expect("a page");
    assert!(!page.contains("<script") && !page.contains("<zone>") && !page.contains("\"\""), "{page}");
    assert!(page.contains("own &amp; only") && page.contains("&lt;zone&gt;"), "{page}");
    assert_eq!(page.matches("<form method=\"post\">").count(), 1, "{page}");
    assert!(page.contains("cannot be read for now") && page.contains(">7</td>"), "{page}");
}

#[tokio::test]
async fn who_is_there_is_not_forgotten() {
    let admin = admin(Membership::alone(member("ingester-0", State::Active)));
    let present = post(&admin, "/status/ring?forget=ingester-0", "").await;
    assert_eq!(present.status, StatusCode::CONFLICT);
    assert!(present.text.contains("POST http://10.0.0.1:3200/shutdown"), "{}", present.text);
    assert_eq!(post(&admin, "/ingester/ring", "forget=ingester%2D9").await.status, StatusCode::NOT_FOUND);
    assert_eq!(post(&admin, "/ingester/ring", "").await.status, StatusCode::BAD_REQUEST);
    let foreign = Request::post("/status/ring?forget=ingester-0").header("sec-fetch-site", "cross-site");
    assert_eq!(
        ask(&admin, foreign.body(Body::empty()).expect("a request")).await.status,
        StatusCode::FORBIDDEN
    );
    // Looking orders nothing.
    assert_eq!(get(&admin, "/status/ring?forget=ingester-0", "*/*").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_went_away_is_forgotten_by_the_pages_button_and_by_tempos_way() {
    let cluster = Cluster::new().await;
    let own = cluster.start("querier-0", Target::Querier, Side::Left).await;
    for name in ["ingester-1", "ingester-2"] {
        let gone = cluster.start(name, Target::Ingester, Side::Left).await;
        until_all_see(&[&own], name, Some(State::Active)).await;
        drop(gone);
        until_all_see(&[&own], name, Some(State::Unhealthy)).await;
    }
    let admin = admin(own);
    let button = Request::post("/status/ring").header("accept", BROWSER).body("forget=ingester-1".into());
    let button = ask(&admin, button.expect("a request")).await;
    assert_eq!((button.status, button.location.as_deref()), (StatusCode::SEE_OTHER, Some("/status/ring")));
    let tempos = post(&admin, "/ingester/ring", "forget=ingester-2").await;
    assert_eq!(tempos.status, StatusCode::OK, "{}", tempos.text);
    let left = get(&admin, "/status/ring", "application/json").await.text;
    assert!(left.contains("querier-0") && !left.contains("ingester-"), "{left}");
}
