//! Properties of the language as a whole.

use proptest::prelude::*;

use super::{every_way, generate, model, naive};
use crate::ast::{Expr, SpansetExpr};
use crate::{Column, Condition, Query, Reads, lenient_filter, parse, value_of};

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn parses_what_it_prints(root in generate::root()) {
        let printed = root.to_string();
        let again = parse::parse(&printed).map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
        prop_assert_eq!(again, root, "{}", printed);
    }

    #[test]
    fn columns_say_what_each_span_says(filter in generate::condition(), traces in generate::traces()) {
        let printed = SpansetExpr::Filter(filter.clone()).to_string();
        let Ok(query) = Query::parse(&printed) else {
            // The generator does not know that intrinsics are never nil, nor all types.
            return Ok(());
        };
        let spans = model::spans(&traces);
        let verdicts: Vec<_> = spans.iter().map(|span| naive::judge(&filter, *span)).collect();
        match query.evaluate(&model::batch(&traces, &query.fields())) {
            Err(error) => prop_assert!(verdicts.iter().any(|one| one.may_fail), "{printed}: {error}"),
            Ok(matches) => {
                let kept: Vec<u32> = matches.iter().flat_map(|one| &one.spansets[0].spans).copied().collect();
                for (row, verdict) in verdicts.iter().enumerate() {
                    let found = kept.contains(&(row as u32));
                    prop_assert_eq!(verdict.kept, Some(found), "{} span {}", printed, row);
                }
            }
        }
    }

    #[test]
    fn pruning_never_loses_a_match(filter in generate::condition(), traces in generate::traces()) {
        let Ok(query) = Query::parse(&SpansetExpr::Filter(filter).to_string()) else { return Ok(()) };
        let batch = model::batch(&traces, &query.fields());
        let ruled_out = query.prune().into_iter().any(|condition| {
            let columns = condition.fields.iter().filter_map(|field| batch.columns.get(field));
            !columns.into_iter().any(|column| may_match(&condition, column))
        });
        if ruled_out && let Ok(matches) = query.evaluate(&batch) {
            prop_assert!(matches.is_empty(), "{query}");
        }
        if query.never_matches() && let Ok(matches) = query.evaluate(&batch) {
            prop_assert!(matches.is_empty(), "{query}");
        }
    }

    #[test]
    fn what_is_not_read_does_not_matter(filter in generate::condition(), traces in generate::traces()) {
        let Ok(query) = Query::parse(&SpansetExpr::Filter(filter).to_string()) else { return Ok(()) };
        let all = model::batch(&traces, &query.fields());
        let mut read = all.clone();
        let reads: std::collections::HashMap<_, _> = query.reads().into_iter().collect();
        read.columns.retain(|field, _| reads.contains_key(field));
        for (field, column) in &mut read.columns {
            let types = reads[field];
            let mut rest = Column::new(column.level);
            if types.strings { rest.strings = column.strings.clone(); }
            if types.ints { rest.ints = column.ints.clone(); }
            if types.floats { rest.floats = column.floats.clone(); }
            if types.bools { rest.bools = column.bools.clone(); }
            *column = rest;
        }
        prop_assert_eq!(query.evaluate(&read), query.evaluate(&all), "{}", query);
    }

    #[test]
    fn a_trace_that_matches_has_a_span_for_each_condition(
        filter in generate::condition(),
        traces in generate::traces(),
    ) {
        let Ok(query) = Query::parse(&SpansetExpr::Filter(filter).to_string()) else { return Ok(()) };
        let batch = model::batch(&traces, &query.fields());
        let Ok(matches) = query.evaluate(&batch) else { return Ok(()) };
        for condition in query.prune() {
            let candidates = condition.traces(&batch);
            prop_assert!(matches.iter().all(|one| candidates.contains(&one.trace)), "{query}");
        }
    }

    #[test]
    fn what_exists_has_a_value(traces in generate::traces(), name in generate::attribute()) {
        let query = Query::parse(&format!("{{ {name} != nil }}")).unwrap();
        let batch = model::batch(&traces, &query.fields());
        let found: Vec<u32> =
            query.evaluate(&batch).unwrap().into_iter().flat_map(|one| one.spansets[0].spans.clone()).collect();
        for span in 0..batch.layout.spans() {
            let has_value = query.fields().iter().any(|field| value_of(&batch, field, span).is_some());
            prop_assert_eq!(has_value, found.contains(&span));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[ -~\n\u{e4}]{0,60}") {
        every_way::parse(&text);
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(
        tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..16),
    ) {
        every_way::parse(&tokens.join(" "));
    }

    #[test]
    fn a_cut_filter_is_understood_or_ignored(root in generate::root(), cut in any::<prop::sample::Index>()) {
        let printed = root.to_string();
        let end = (0..=cut.index(printed.len() + 1)).rev().find(|end| printed.is_char_boundary(*end));
        if let Some(query) = lenient_filter(&printed[..end.unwrap_or(0)]) {
            let is_parsed = Query::parse(&query.to_string()).is_ok();
            prop_assert!(is_parsed, "{}", query);
        }
    }
}

const TOKENS: [&str; 44] = [
    "{",
    "}",
    "(",
    ")",
    "{",
    "}",
    "|",
    "&&",
    "||",
    "!",
    "=",
    "!=",
    "=~",
    "!~",
    ">",
    ">>",
    "&>",
    "~",
    "-",
    "+",
    "*",
    "^",
    "/",
    ",",
    ".a",
    "span.b",
    "parent.x",
    "name",
    "duration",
    "1",
    "1.5",
    "1s",
    "\"x\"",
    "nil",
    "true",
    "ok",
    "server",
    "count()",
    "avg(",
    "by(",
    "select(",
    "rate()",
    "topk(1)",
    "with(a=1)",
];

fn may_match(condition: &Condition, column: &Column) -> bool {
    let any_string = || column.strings.dictionary.iter().any(|value| condition.matches_string(value));
    let ints = || {
        let values = &column.ints.values;
        values
            .iter()
            .min()
            .zip(values.iter().max())
            .is_some_and(|(min, max)| condition.may_match_ints(*min, *max))
    };
    let floats = || {
        let values = &column.floats.values;
        let min = values.iter().copied().reduce(f64::min);
        min.zip(values.iter().copied().reduce(f64::max))
            .is_some_and(|(min, max)| condition.may_match_floats(min, max))
    };
    let bools = || !column.bools.values.is_empty();
    match condition.reads() {
        Reads::Strings => any_string(),
        Reads::Ints => ints(),
        Reads::Floats => floats(),
        Reads::Bools => bools(),
        Reads::Any => any_string() || ints() || floats() || bools(),
        Reads::Absence => true,
    }
}

#[test]
fn generated_filters_are_mostly_valid() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut next = || -> Expr { generate::condition().new_tree(&mut runner).unwrap().current() };
    let valid = (0..300).filter(|_| Query::parse(&SpansetExpr::Filter(next()).to_string()).is_ok()).count();
    assert!(valid > 200, "only {valid} of 300: the model check would check little");
}
