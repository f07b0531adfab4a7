//! What queries find.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::{self, Below, Resource, Scope, Span, Trace, attributes, span, text};
use crate::{
    EvaluateError, Field, Intrinsic, Kind, Match, Query, Static, Status, parse_attribute,
    tag_search_to_query, value_of,
};

fn run(query: &Query, traces: &[Trace]) -> Result<Vec<Match>, EvaluateError> {
    query.evaluate(&model::batch(traces, &query.fields()))
}

fn find(query: &str, traces: &[Trace]) -> Result<Vec<Match>, EvaluateError> {
    run(&Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")), traces)
}

/// The spans of all spansets.
fn spans(query: &str, traces: &[Trace]) -> Vec<u32> {
    find(query, traces)
        .unwrap_or_else(|error| panic!("{query}: {error}"))
        .into_iter()
        .flat_map(|one| one.spansets)
        .flat_map(|set| set.spans)
        .collect()
}

fn one_span(span: Span, resource: &[(&str, Static)]) -> Vec<Trace> {
    let scope = Scope { spans: vec![span], ..Scope::default() };
    let resource = Resource { attributes: attributes(resource), scopes: vec![scope] };
    vec![Trace { resources: vec![resource], ..Trace::default() }]
}

/// The sample span of the language's description.
fn sample() -> Vec<Trace> {
    let mut span = span("GET", 1_500_000_000, Status::Error, Kind::Server);
    span.attributes = attributes(&[
        ("n", Static::Int(5)),
        ("s", text("x")),
        ("tags", Static::StringArray(vec!["p".into(), "q".into()])),
        ("f", Static::Float(2.0)),
        ("yes", Static::Bool(true)),
    ]);
    let event = |name: &str, pairs: &[(&str, Static)]| Below {
        intrinsics: BTreeMap::from([
            (Intrinsic::EventName, text(name)),
            (Intrinsic::EventTimeSinceStart, Static::Duration(2_000_000)),
        ]),
        attributes: attributes(pairs),
    };
    span.events = vec![
        event("retry", &[("attempt", Static::Int(1))]),
        event("exception", &[("type", text("Timeout"))]),
    ];
    one_span(span, &[("s", text("y")), ("service.name", text("shop"))])
}

#[test]
fn filters_on_a_sample_span() {
    let traces = sample();
    for (filter, matches) in [
        (".s = \"x\"", true),
        (".s = \"y\"", false),
        ("resource.s = \"y\"", true),
        ("span.z != 1", false),
        ("span.z = nil", true),
        ("span.n = 5.0", false),
        ("span.n > 4", true),
        ("span.n != \"5\"", false),
        ("span.tags = \"p\"", true),
        ("span.tags != \"p\"", false),
        ("span.tags != \"r\"", true),
        ("span.tags =~ \"q\"", true),
        ("span.tags !~ \"q\"", false),
        ("span.tags !~ \"r\"", true),
        ("span.s =~ \"X\"", false),
        ("span.s =~ \"(?i)X\"", true),
        ("span.n + 1 = 6", true),
        ("span.z + 1 = 6", false),
        // Shadowing: the span's value hides the resource's, whatever its type.
        (".s != \"x\"", false),
        (".service.name = \"shop\"", true),
        // Types.
        ("span.f = 2.0", true),
        ("span.f = 2", false),
        ("span.n = 5s", false),
        ("span.n = span.f + 3", true),
        ("span.yes", true),
        ("span.n", false),
        ("span.yes = true", true),
        ("!span.yes", false),
        ("!(span.z = 1)", true),
        ("\"x\" = span.s", true),
        ("6 > span.n", true),
        // Nil.
        (".n != nil", true),
        (".z != nil", false),
        ("span.s = nil", false),
        ("nil = nil", false),
        (".n != nil && -.n < 0", true),
        // Intrinsics.
        ("duration > 1s", true),
        ("duration = 1500000000", true),
        ("duration >= 1.5e9", true),
        ("duration > 1.5e9", false),
        ("status = error", true),
        ("status != error", false),
        ("kind = server && kind != client", true),
        ("name = \"GET\" && span:name =~ \"G.T\"", true),
        ("duration / 2 = 750ms", true),
        // Events: any of them; nil where one lacks it.
        ("event:name = \"retry\"", true),
        ("event:name != \"retry\"", true),
        ("event:name = \"none\"", false),
        ("event.attempt = nil", true),
        ("event.attempt != nil", true),
        ("event:name = \"exception\" && event.type =~ \".*out\"", true),
        ("event:timeSinceStart > 1ms", true),
        ("event.attempt + 4 = span.n", true),
        ("link:traceID != \"\"", false),
        ("link.x = nil", false),
        // Arithmetic.
        ("span.n / 2 = 2", true),
        ("span.n % 2 = 1", true),
        ("2 ^ span.n = 25", true),
        ("span.f / 0 > 1000000", true),
        ("true || !span.z", true),
        ("false && !span.z", false),
    ] {
        let query = format!("{{ {filter} }}");
        assert_eq!(!spans(&query, &traces).is_empty(), matches, "{query}");
    }
}

#[test]
fn what_fails_says_so() {
    let traces = sample();
    for (query, message) in [
        (
            "{ !span.z }",
            "`!` needs a boolean, not nil, in `!span.z`: test first that the attribute is there, as in `{ .a != nil && !.a }`",
        ),
        (
            "{ -span.s < 0 }",
            "`-` needs a number, not string, in `-span.s`: test first that the attribute is there, as in `{ .a != nil && -.a < 0 }`",
        ),
        ("{ 6 / 0 = 1 }", "integer division by zero in `6 / 0`"),
        ("{ span.n % 0 = 1 }", "integer division by zero in `span.n % 0`"),
        (
            "{ span.tags = span.tags }",
            "an array cannot be used in `span.tags = span.tags`: arrays can only be compared with single values",
        ),
        ("{} | by(name) | {} > {}", ""),
    ] {
        let result = find(query, &traces);
        match message {
            "" => assert!(result.is_ok(), "one group is one spanset"),
            message => assert_eq!(result.unwrap_err().to_string(), message),
        }
    }
    let mut deep = span("a", 1, Status::Ok, Kind::Server);
    deep.attributes = attributes(&[("a", Static::Bool(false))]);
    let long = format!("{{ !{} }}", "span.".to_owned() + &"z".repeat(5000));
    let error = find(&long, &one_span(deep, &[])).unwrap_err().to_string();
    assert!(error.len() < 500, "the expression is cut: {error}");
}

/// web ── a ── b ── c, web ── d; a second trace with an orphan.
fn tree() -> Vec<Trace> {
    let node = |name: &str, left: i64, right: i64, parent: i64, error: bool| {
        let status = if error { Status::Error } else { Status::Unset };
        let mut node = span(name, left * 1_000_000, status, Kind::Internal);
        node.intrinsics.extend([
            (Intrinsic::NestedSetLeft, Static::Int(left)),
            (Intrinsic::NestedSetRight, Static::Int(right)),
            (Intrinsic::NestedSetParent, Static::Int(parent)),
        ]);
        node.attributes = attributes(&[("depth", Static::Int(left % 3))]);
        node
    };
    let first = vec![
        node("web", 1, 10, -1, false),
        node("a", 2, 7, 1, true),
        node("b", 3, 6, 2, false),
        node("c", 4, 5, 3, true),
        node("d", 8, 9, 1, true),
    ];
    let second = vec![node("a", 0, 0, 0, true), node("e", 0, 0, 0, false)];
    let trace = |id: &str, service: &str, spans| Trace {
        intrinsics: BTreeMap::from([
            (Intrinsic::TraceId, text(id)),
            (Intrinsic::RootName, text("web")),
            (Intrinsic::RootService, text("shop front")),
            (Intrinsic::TraceDuration, Static::Duration(3_000_000_000)),
        ]),
        resources: vec![Resource {
            attributes: attributes(&[("service.name", text(service))]),
            scopes: vec![Scope { spans, ..Scope::default() }],
        }],
    };
    vec![trace("abc", "shop", first), trace("def", "bank", second)]
}

#[test]
fn combinations_and_structure() {
    let traces = tree();
    for (query, expected) in [
        ("{ name = \"a\" } && { name = \"d\" }", &[1_u32, 4][..]),
        ("{ name = \"a\" } || { name = \"d\" }", &[1, 4, 5]),
        ("{ name = \"a\" } && { name = \"none\" }", &[]),
        ("{ name = \"web\" } > { status = error }", &[1, 4]),
        ("{ name = \"web\" } >> { status = error }", &[1, 3, 4]),
        ("{ name = \"c\" } < {}", &[2]),
        ("{ name = \"c\" } << {}", &[0, 1, 2]),
        ("{ name = \"a\" } ~ {}", &[4]),
        ("{} ~ { status = error }", &[1, 4]),
        ("{ name = \"web\" } !> { status = error }", &[3, 5]),
        ("{ name = \"none\" } !>> { status = error }", &[1, 3, 4, 5]),
        ("{ name = \"web\" } &> { name = \"a\" }", &[0, 1]),
        ("{ name = \"web\" } &>> { name = \"c\" }", &[0, 3]),
        ("{ name = \"a\" } >> { name = \"b\" } >> { name = \"c\" }", &[3]),
        ("{ status = error } | { name = \"a\" }", &[1, 5]),
        ("{ status = error } >> {} | { name = \"c\" }", &[3]),
        ("{ nestedSetParent < 0 }", &[0]),
        ("{ trace:id = \"000abc\" && rootName = \"web\" && traceDuration > 2s }", &[0, 1, 2, 3, 4]),
        ("{ resource.service.name != \"shop\" }", &[5, 6]),
        ("{}", &[0, 1, 2, 3, 4, 5, 6]),
        ("{ false }", &[]),
        ("({ name = \"a\" } | count() > 0) && ({ status = error } | count() > 2)", &[1, 3, 4]),
    ] {
        assert_eq!(spans(query, &traces), expected, "{query}");
    }
}

#[test]
fn aggregates_keep_spansets_and_show_values() {
    let traces = tree();
    let sets = |query: &str| find(query, &traces).unwrap();
    let count = sets("{ status = error } | count() > 2");
    assert_eq!(count.len(), 1);
    assert_eq!(count[0].spansets[0].attributes, [("count()".to_owned(), Static::Int(3))]);
    let value = |query: &str| sets(query)[0].spansets[0].attributes[0].clone();
    let ms = |count: i64| Static::Duration(count * 1_000_000);
    assert_eq!(value("{ status = error } | max(duration) > 1ms"), ("max(duration)".into(), ms(8)));
    assert_eq!(value("{ status = error } | min(duration) > 1ms"), ("min(duration)".into(), ms(2)));
    assert_eq!(value("{ status = error } | sum(duration) > 1ms"), ("sum(duration)".into(), ms(14)));
    assert_eq!(value("{ name =~ \"a|d\" } | avg(duration) > 1ms"), ("avg(duration)".into(), ms(5)));
    assert_eq!(
        value("{ name =~ \"a|d\" } | avg(span.depth) > 1"),
        ("avg(span.depth)".into(), Static::Float(2.0))
    );
    assert_eq!(value("{} | sum(span.depth) > 1"), ("sum(span.depth)".into(), Static::Int(6)));
    assert!(sets("{} | sum(span.none) >= 0").is_empty(), "no value, no result");
    assert!(sets("{} | sum(.none + 1) >= 0").is_empty());
}

#[test]
fn grouping() {
    let traces = tree();
    let found = find("{ status = error } | by(span.depth) | count() > 0", &traces).unwrap();
    let first: Vec<_> =
        found[0].spansets.iter().map(|set| (set.spans.clone(), set.attributes.clone())).collect();
    let group = |spans: &[u32], value: i64| {
        let attributes = vec![
            ("by(span.depth)".to_owned(), Static::Int(value)),
            ("count()".to_owned(), Static::Int(spans.len() as i64)),
        ];
        (spans.to_vec(), attributes)
    };
    assert_eq!(first, [group(&[1, 4], 2), group(&[3], 1)]);
    let nil = find("{} | by(span.none)", &traces).unwrap();
    assert_eq!(nil[0].spansets[0].attributes, [("by(span.none)".to_owned(), Static::Nil)]);
    let halves = find("{} | by(duration > 2ms) | count() > 2", &traces).unwrap();
    assert_eq!(halves[0].spansets[0].attributes[0], ("by(duration > 2ms)".to_owned(), Static::Bool(true)));
    assert_eq!(halves[0].spansets[0].spans, [2, 3, 4]);
    let merged = find("{} | by(name) | coalesce() | { status = error } >> {}", &traces).unwrap();
    assert_eq!(merged[0].spansets.len(), 1);
    assert_eq!(merged[0].spansets[0].spans, [2, 3]);
    let unclear = find("{} | by(name) | {} >> {}", &traces).unwrap_err().to_string();
    assert_eq!(
        unclear,
        "`>>` needs one spanset on each side, but `by()` made several: put `| coalesce()` before it"
    );
}

#[test]
fn fields_and_values_of_results() {
    let query = Query::parse(
        "{ .s = \"x\" && duration > 1s && status = error } | select(resource.service.name, name, event.attempt)",
    )
    .unwrap();
    let keys: Vec<&str> =
        query.selected_fields().iter().map(|one| one.key().to_owned()).map(|key| &*key.leak()).collect();
    assert_eq!(keys, ["s", "s", "status", "service.name", "attempt"]);
    assert!(query.needs_span_name());
    assert!(!Query::parse("{ .name = \"a\" }").unwrap().needs_span_name());
    let batch = model::batch(&sample(), &query.fields());
    let values: Vec<_> = query.selected_fields().iter().map(|field| value_of(&batch, field, 0)).collect();
    let expected =
        [text("x"), text("y"), Static::Status(Status::Error), text("shop"), Static::Int(1)].map(Some);
    assert_eq!(values, expected);
    let structural = Query::parse("{ .a } > { .b }").unwrap();
    assert!(structural.fields().contains(&Field::Intrinsic(Intrinsic::NestedSetLeft)));
    assert!(!structural.selected_fields().contains(&Field::Intrinsic(Intrinsic::NestedSetLeft)));
}

#[test]
fn a_chain_of_equalities_is_one_condition() {
    let chain: Vec<_> = (0..2000).map(|i| format!("span.a = \"{i}\"")).collect();
    let query = Query::parse(&format!("{{ {} || span.a = 7 }}", chain[..1000].join(" || ")));
    assert!(query.is_ok(), "{query:?}");
    let query = Query::parse(&format!("{{ {} }}", chain.join(" || "))).unwrap();
    let [condition] = &query.prune()[..] else { panic!("{query}") };
    assert!(condition.matches_string("1999") && !condition.matches_string("2000"));
    let numbers = Query::parse("{ .b = 1 || .b = 5 }").unwrap();
    let condition = &numbers.prune()[0];
    assert!(condition.may_match_ints(2, 5) && !condition.may_match_ints(2, 4));
}

#[test]
fn hints_and_constants() {
    let query = Query::parse("{ .a } | rate() with (most_recent=true, exemplars=5)").unwrap();
    let hints: Vec<_> = query.root().hints.iter().map(|hint| hint.name.as_str()).collect();
    assert_eq!(hints, ["most_recent", "exemplars"]);
    assert!(query.root().metrics.is_some());
    for (text, never) in [
        ("{ false }", true),
        ("{ .a = 1s }", true),
        ("{ 1 = 2 } && { .a }", true),
        ("{ false } || { .a }", false),
        ("{ false } !> { .a }", false),
        ("{ false } > { .a }", true),
        ("{ .a } | { 1 > 2 }", true),
        ("{ true }", false),
    ] {
        assert_eq!(Query::parse(text).unwrap().never_matches(), never, "{text}");
    }
}

#[test]
fn pruning_conditions_are_those_that_must_hold() {
    let fields = |text: &str| -> Vec<String> {
        let conditions = Query::parse(text).unwrap().prune();
        conditions.iter().map(|one| one.fields.iter().map(Field::key).collect::<Vec<_>>().join("|")).collect()
    };
    assert_eq!(fields("{ span.a = 1 && resource.b = \"x\" && (.c = 1 || .d = 1) }"), ["b", "a"]);
    assert_eq!(fields("{ .a = 1 }"), ["a|a"]);
    assert_eq!(fields("{ span.a = 1 } && { span.b = 1 } | { span.c = 1 }"), ["a", "b", "c"]);
    assert_eq!(fields("{ span.a = 1 } || { span.b = 1 }"), [""; 0]);
    assert_eq!(fields("{ span.a = 1 } !> { span.b = 1 }"), ["b"]);
    assert_eq!(fields("{ span.a = nil && !(span.b = 1) }"), [""; 0]);
    let condition = &Query::parse("{ span.a >= 5 }").unwrap().prune()[0];
    assert!(condition.may_match_ints(0, 5) && !condition.may_match_ints(0, 4));
    assert!(!condition.matches_string("5"));
}

#[test]
fn attributes_of_tag_endpoints() {
    for (text, keys) in [
        (".foo", &["foo", "foo"][..]),
        ("span.http.method", &["http.method"]),
        ("resource.service.name", &["service.name"]),
        ("name", &["name"]),
        ("span:status", &["status"]),
        ("span.\"a b\"", &["a b"]),
    ] {
        let fields = parse_attribute(text).unwrap().fields();
        assert_eq!(fields.iter().map(Field::key).collect::<Vec<_>>(), keys, "{text}");
    }
    for text in ["", "foo", ".a .b", "span.", "{ .a }", "parent.a", "1"] {
        assert!(parse_attribute(text).is_err(), "{text}");
    }
}

#[test]
fn tag_search() {
    let traces = [sample(), tree()].concat();
    let matched = |tags: &[(&str, &str)], min: Option<u64>, max: Option<u64>| -> Vec<u32> {
        let tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let query =
            tag_search_to_query(&tags, min.map(Duration::from_millis), max.map(Duration::from_millis));
        let travelled = Query::parse(&query.to_string()).unwrap();
        assert_eq!(travelled.to_string(), query.to_string());
        run(&travelled, &traces).unwrap().iter().map(|one| one.trace).collect()
    };
    assert_eq!(matched(&[], None, None), [0, 1, 2]);
    assert_eq!(matched(&[("service.name", "ho")], None, None), [0, 1], "substring");
    assert_eq!(matched(&[("service.name", "Ho")], None, None), [0_u32; 0], "case-sensitive");
    assert_eq!(matched(&[("service.name", "s.op")], None, None), [0_u32; 0], "no pattern");
    assert_eq!(matched(&[("name", "E")], None, None), [0]);
    assert_eq!(matched(&[("root.name", "we"), ("root.service.name", "p f")], None, None), [1, 2]);
    assert_eq!(matched(&[("s", "x")], None, None), [0]);
    assert_eq!(matched(&[("s", "y")], None, None), [0], "the span does not hide the resource");
    assert_eq!(matched(&[("n", "5")], None, None), [0_u32; 0], "only strings");
    assert_eq!(matched(&[("status.code", "error")], None, None), [0, 1, 2]);
    assert_eq!(matched(&[("status.code", "bad")], None, None), [0_u32; 0]);
    assert_eq!(matched(&[("error", "true")], None, None), [0, 1, 2]);
    assert_eq!(matched(&[("name", "c"), ("name ", "x")], None, None), [0_u32; 0], "each must be found");
    assert_eq!(matched(&[("name", "c"), ("service.name", "shop")], None, None), [1]);
    assert_eq!(matched(&[], Some(3_000), Some(3_000)), [1, 2]);
    assert_eq!(matched(&[("service.name", "b")], Some(3_001), None), [0_u32; 0]);
}

#[test]
fn http_status_code_is_an_integer_in_tag_search() {
    let mut found = span("a", 1, Status::Ok, Kind::Server);
    found.attributes = attributes(&[("http.status_code", Static::Int(500))]);
    let query = tag_search_to_query(&[("http.status_code".into(), "500".into())], None, None);
    assert_eq!(run(&query, &one_span(found, &[])).unwrap().len(), 1);
}
