//! Example queries and what becomes of them.

use crate::{ParseError, Query};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Valid,
    Syntax,
    Types,
    Unsupported,
}
use Outcome::{Syntax, Types, Unsupported, Valid};

const EXAMPLES: [(&str, Outcome); 75] = [
    ("{}", Valid),
    ("{ resource.service.name = \"checkout\" && span.http.status_code >= 500 }", Valid),
    ("{ name = \"a\" } // trailing remark", Valid),
    ("{ duration > 1h30m }", Valid),
    ("{ duration > 1.5d }", Syntax),
    ("{ duration >= 250000000 }", Valid),
    ("{ .latency > 1s }", Valid),
    ("{ status = error || kind = server }", Valid),
    ("{ status > ok }", Types),
    ("{ status = \"error\" }", Types),
    ("{ kind != client }", Valid),
    ("{ http.method = \"GET\" }", Syntax),
    ("{ .http.method = \"GET\" }", Valid),
    ("{ .http.method == \"GET\" }", Syntax),
    ("{ .http.method = 'GET' }", Syntax),
    ("{ .path = `C:\\tmp` }", Valid),
    ("{ span.\"user id\" = 7 }", Valid),
    ("{ span.\"a\\nb\" = 1 }", Syntax),
    ("{ .a-b > 1 }", Valid),
    ("{ .a - .b > 1 }", Valid),
    ("{ -.a < 0 }", Valid),
    ("{ !.flag }", Valid),
    ("{ !\"x\" = \"y\" }", Types),
    ("{ 1 + 1 }", Types),
    ("{ .a }", Valid),
    ("{ name }", Types),
    ("{ name =~ \"GET|POST\" }", Valid),
    ("{ name =~ .pattern }", Types),
    ("{ name =~ \"(\" }", Types),
    ("{ .foo != nil }", Valid),
    ("{ span:name = nil }", Types),
    ("{ resource.service.name = nil }", Types),
    ("{ .foo > nil }", Syntax),
    ("{ span:childCount > 3 }", Valid),
    ("{ childCount > 3 }", Syntax),
    ("{ trace:rootService = \"web\" && traceDuration > 2s }", Valid),
    ("{ trace:rootServiceName = \"web\" }", Syntax),
    ("{ event:name = \"exception\" && event.exception.type =~ \".*Timeout.*\" }", Valid),
    ("{ link:traceID != \"\" }", Valid),
    ("{ parent.http.method = \"GET\" }", Unsupported),
    ("{ nestedSetParent < 0 && status = error }", Valid),
    ("{ .a } && { .b } || { .c }", Valid),
    ("{ .a } >> { .b } | count() > 2", Valid),
    ("{ kind = server } &>> { status = error }", Valid),
    ("{ .a } !~ { .b }", Valid),
    ("{ .a } = { .b }", Syntax),
    ("{ .a } | by(resource.service.name) | count() > 1", Valid),
    ("{ .a } | by(1)", Types),
    ("{ .a } | by(duration > 1s)", Valid),
    ("coalesce() | { .a }", Syntax),
    ("{ .a } | select(name, resource.region)", Valid),
    ("{ .a } | select(.a + 1)", Syntax),
    ("{ .a } | count()", Syntax),
    ("{ .a } | avg(.x) > 2 * 3", Unsupported),
    ("{ .a } | max(name) > 1", Types),
    ("({ .a } | count() > 2) && ({ .b } | count() > 2)", Valid),
    ("({ .a } | count()) > ({ .b } | count())", Unsupported),
    ("{ status = error } | rate() by (resource.service.name)", Valid),
    ("{} | rate() by (.a, .b, .c, .d, .e, .f)", Unsupported),
    ("{} | quantile_over_time(duration, .5, .99) by (name)", Valid),
    ("{} | quantile_over_time(duration, 1.5)", Types),
    ("{} | histogram_over_time(duration)", Valid),
    ("{} | rate() | topk(5) > 0.5", Valid),
    ("{} | rate() > 100ms | bottomk(2) with (most_recent=true)", Valid),
    ("{} | topk(5)", Syntax),
    ("{} | rate() | topk(0)", Types),
    ("{} | rate() / 2", Syntax),
    ("({} | rate()) / ({} | count_over_time())", Syntax),
    ("{} | compare({ status = error }, 5)", Valid),
    ("{} | compare({ status = error }) | topk(3)", Types),
    ("{} | sum_over_time(.a + 1)", Syntax),
    ("{ .a } with (nosuchhint=1)", Valid),
    ("{ 6 / 0 = 1 }", Valid),
    ("{ .x = maxInt }", Valid),
    ("{ .x = 0x10 }", Syntax),
];

const MORE: [(&str, Outcome); 41] = [
    ("", Syntax),
    ("{", Syntax),
    ("{ .a } }", Syntax),
    ("{ .a = \"x }", Syntax),
    ("{ nil }", Syntax),
    ("{ (nil) = 1 }", Valid),
    ("{ !nil }", Syntax),
    ("{ nil = nil }", Valid),
    ("{ nil = name }", Types),
    ("{ name != nil }", Valid),
    ("{ parent = nil }", Unsupported),
    ("{ parent.span.a = 1 }", Unsupported),
    ("{ 1 < 2 < 3 }", Types),
    ("{ !.a * 2 > 1 }", Types),
    ("{ name + 1 > 2 }", Types),
    ("{ .a && \"x\" }", Types),
    ("{ .a =~ 1 }", Types),
    ("{ duration =~ \"1\" }", Types),
    ("{ .a > ok }", Types),
    ("{ trace:status = ok }", Syntax),
    ("{ rootService = \"a\" }", Syntax),
    ("{ span = 1 }", Syntax),
    ("min(.a) < max(.b)", Unsupported),
    ("count() + count() = 1", Unsupported),
    ("3 = 2", Unsupported),
    ("{ .a } | count() > \"x\"", Types),
    ("{ .a } | count() > -1", Valid),
    ("{ .a } | avg(duration) > 1s", Valid),
    ("{ .a } | sum(1) > 1", Types),
    ("{} | rate() | topk(-1)", Syntax),
    ("{} | rate() > \"x\"", Syntax),
    ("{} | rate() = -2", Valid),
    ("{} | compare({}, 0)", Types),
    ("{} | compare({}, 5, 10, 5)", Types),
    ("{} | compare({}, 5, 5)", Syntax),
    ("{} | avg_over_time(duration) by (.a, .b, .c, .d, .e)", Unsupported),
    ("{} | rate() by (.a + 1)", Syntax),
    ("{} | rate() | { .a }", Syntax),
    ("{} with (a=1, b=\"x\") with (c=true)", Valid),
    ("{} with (a)", Syntax),
    ("(coalesce() | { .a })", Syntax),
];

fn outcome(text: &str) -> Outcome {
    match Query::parse(text) {
        Ok(_) => Valid,
        Err(ParseError::Syntax { .. }) => Syntax,
        Err(ParseError::Invalid(_)) => Types,
        Err(ParseError::Unsupported(_)) => Unsupported,
    }
}

#[test]
fn every_example_has_its_outcome() {
    for (text, expected) in EXAMPLES.into_iter().chain(MORE) {
        assert_eq!(outcome(text), expected, "{text}: {:?}", Query::parse(text).map(|one| one.to_string()));
    }
}

#[test]
fn valid_examples_print_as_themselves() {
    for (text, _) in EXAMPLES.into_iter().chain(MORE).filter(|(_, outcome)| *outcome == Valid) {
        let printed = Query::parse(text).unwrap().to_string();
        let again = Query::parse(&printed).unwrap_or_else(|error| panic!("{text} -> {printed}: {error}"));
        assert_eq!(again.to_string(), printed, "{text}");
    }
}

#[test]
fn errors_say_what_and_where() {
    for (text, message) in [
        ("{ foo = 1 }", "parse error at line 1, col 3: unknown identifier: foo"),
        (
            "{ .a =\n = 1 }",
            "parse error at line 2, col 2: unexpected `=`, expected an attribute, an intrinsic or a literal",
        ),
        ("{ .a } = { .b }", "parse error at line 1, col 8: `=` cannot stand between a spanset and a spanset"),
        ("{ .foo > nil }", "parse error at line 1, col 8: nil can only be compared with = and !="),
        ("{ .a", "parse error at line 1, col 5: unexpected end of the query, expected `}`"),
        ("{ status = \"error\" }", "`status = \"error\"` compares values of different types"),
        ("{ name =~ \"(\" }", "invalid regular expression \"(\": unclosed group"),
        ("{ parent.a = 1 }", "`parent.a`: looking at the parent span is not supported yet by this version"),
    ] {
        assert_eq!(Query::parse(text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn precedence() {
    for (text, printed) in [
        ("{ .a || .b && .c }", "{ (.a || .b) && .c }"),
        ("{ .a && .b && .c }", "{ .a && .b && .c }"),
        ("{ .a && (.b && .c) }", "{ .a && .b && .c }"),
        ("{ -.a * 2 < 0 }", "{ (-(.a * 2)) < 0 }"),
        ("{ !.a = .b }", "{ (!.a) = .b }"),
        ("{ .a + .b * .c ^ .d ^ 2 > 1 }", "{ (.a + (.b * (.c ^ (.d ^ 2)))) > 1 }"),
        ("{ .a - .b - .c > 1 }", "{ ((.a - .b) - .c) > 1 }"),
        // -(1 ^ 2), and integer powers swap their operands.
        ("{ -1 ^ 2 < .a }", "{ (-2) < .a }"),
        ("{ .a > 2 * 3 + 1 }", "{ .a > 7 }"),
        ("{ 1 = 1 }", "{ true }"),
        ("{ 6 / 0 = 1 }", "{ (6 / 0) = 1 }"),
        ("{ .a = 1.0 / 0 }", "{ .a = (1.0 / 0) }"),
        ("{ span:name = \"a\" }", "{ name = \"a\" }"),
        ("{ duration > 90m }", "{ duration > 1h30m0s }"),
        ("{ \"ab\" =~ \"a.\" }", "{ true }"),
        ("{ .a = minInt }", "{ .a = minInt }"),
        ("{ .\"5xx\" = -1 }", "{ .\"5xx\" = -1 }"),
        ("{ .\"a b\".c = `x\"y` }", "{ .\"a b.c\" = \"x\\\"y\" }"),
        ("{ .a } || { .b } && { .c }", "({ .a } || { .b }) && { .c }"),
        ("{ .a } && { .b } > { .c }", "{ .a } && ({ .b } > { .c })"),
        ("{ .a } > { .b } > { .c }", "({ .a } > { .b }) > { .c }"),
        ("(({ .a }))", "{ .a }"),
        ("({ .a } | count() > 2) && { .b }", "({ .a } | count() > 2) && { .b }"),
        (
            "{} | rate() by (span:name, resource.x) > 5 | topk(3)",
            "{ true } | rate() by (name, resource.x) > 5 | topk(3)",
        ),
        ("{} with (a=1) with (b=2)", "{ true } with (b=2)"),
    ] {
        assert_eq!(Query::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn bounds_hold() {
    for text in [
        "(".repeat(60_000),
        format!("{{ {}", "(".repeat(60_000)),
        format!("{{ {}", "!".repeat(60_000)),
        format!("{{ {}", "-".repeat(60_000)),
        format!("{{ {}.a }}", ".a ^ ".repeat(20_000)),
        format!("{{ {}1 = 1 }}", "1 + ".repeat(30_000)),
        format!("{{ {}.a }}", ".a && .b || ".repeat(9_000)),
        "{} > ".repeat(20_000) + "{}",
        "({} | ".repeat(15_000),
        "{".repeat(100_000),
        format!("{{ {}.a =~ \"x\" }}", ".a =~ \"x\" && ".repeat(100)),
        format!("{{ .a =~ \"{}\" }}", "(a{1000}){1000}".repeat(5)),
    ] {
        assert!(Query::parse(&text).is_err(), "{}…", &text[..30]);
    }
    for text in [
        format!("{{ {}.a }}", ".a = \"x\" || ".repeat(9_000)),
        "{ .a } || ".repeat(9_000) + "{}",
        format!("{{ {}.a{} }}", "(".repeat(100), ")".repeat(100)),
        format!("{{ {}1 = 1 }}", "1 + ".repeat(300)),
        "{} | ".repeat(10_000) + "{}",
    ] {
        let query = Query::parse(&text).unwrap_or_else(|error| panic!("{error}: {}…", &text[..30]));
        assert_eq!(Query::parse(&query.to_string()).unwrap().to_string(), query.to_string());
    }
}
