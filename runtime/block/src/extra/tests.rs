use proptest::prelude::*;
use tempoform_wire::otlp::{ResourceSpans, ScopeSpans, Span, span};

use super::*;

fn build(traces: &[TracesData]) -> Option<Bytes> {
    let mut builder = ExtraBuilder::default();
    for trace in traces {
        for resource in &trace.resource_spans {
            let url = builder.url_number(resource.schema_url.as_bytes());
            builder.push_resource(url);
            for scope in &resource.scope_spans {
                let url = builder.url_number(scope.schema_url.as_bytes());
                builder.push_scope(url);
                for span in &scope.spans {
                    builder.push_span(span.flags);
                    span.links.iter().for_each(|link| builder.push_link(link.flags));
                }
            }
        }
        builder.end_row();
    }
    let object = builder.finish().unwrap();
    let bytes = object.as_ref().map_or(0, |object| Extra::decode(object).unwrap().body.len() as u64);
    assert!(bytes <= builder.bytes(), "the bound holds for what is written: {bytes}");
    object
}

fn cleared(trace: &TracesData) -> TracesData {
    let mut trace = trace.clone();
    for resource in &mut trace.resource_spans {
        resource.schema_url.clear();
        for scope in &mut resource.scope_spans {
            scope.schema_url.clear();
            for span in &mut scope.spans {
                span.flags = 0;
                span.links.iter_mut().for_each(|link| link.flags = 0);
            }
        }
    }
    trace
}

fn trace() -> impl Strategy<Value = TracesData> {
    let url = || prop_oneof![Just(String::new()), Just("https://a".to_owned()), "[a-c]{0,2}"];
    let flags = || prop_oneof![Just(0u32), Just(0x101), Just(0x301), any::<u32>()];
    let link = flags().prop_map(|flags| span::Link { flags, ..span::Link::default() });
    let span = (flags(), prop::collection::vec(link, 0..3)).prop_map(|(flags, links)| Span {
        flags,
        links,
        ..Span::default()
    });
    let scope = (url(), prop::collection::vec(span, 1..4)).prop_map(|(schema_url, spans)| ScopeSpans {
        schema_url,
        spans,
        ..ScopeSpans::default()
    });
    let resource = (url(), prop::collection::vec(scope, 1..3)).prop_map(|(schema_url, scope_spans)| {
        ResourceSpans { schema_url, scope_spans, ..ResourceSpans::default() }
    });
    prop::collection::vec(resource, 1..3).prop_map(|resource_spans| TracesData { resource_spans })
}

proptest! {
    #[test]
    fn what_was_left_out_is_filled_in(traces in prop::collection::vec(trace(), 1..10)) {
        let object = build(&traces);
        for (row, trace) in traces.iter().enumerate() {
            let mut read = cleared(trace);
            if let Some(object) = &object {
                Extra::decode(object).unwrap().apply(row as u64, &mut read);
            }
            prop_assert_eq!(&read, trace);
        }
    }

    #[test]
    fn damage_is_an_error_or_other_values_but_no_panic(
        traces in prop::collection::vec(trace(), 1..4),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut invented = MAGIC.to_vec();
        zstd::stream::copy_encode(body.as_slice(), &mut invented, 1).unwrap();
        let mut objects = vec![invented];
        objects.extend(build(&traces).map(|object| {
            let mut damaged = object.to_vec();
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            damaged
        }));
        for object in objects {
            if let Ok(extra) = Extra::decode(&object) {
                for row in [0, 1, u64::MAX] {
                    extra.apply(row, &mut traces[0].clone());
                }
            }
        }
    }
}

fn with_flags(flags: &[u32]) -> TracesData {
    let spans = flags.iter().map(|flags| Span { flags: *flags, ..Span::default() }).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

#[test]
fn nothing_to_keep_is_no_object() {
    assert_eq!(build(&[with_flags(&[0, 0]), with_flags(&[0])]), None);
}

#[test]
fn the_same_flags_on_every_span_cost_next_to_nothing() {
    let traces: Vec<TracesData> = (1..2_000).map(|i| with_flags(&vec![0x101; i % 50 + 1])).collect();
    let object = build(&traces).unwrap();
    assert!(object.len() < 40, "{}", object.len());
}

#[test]
fn another_object_is_not_taken_for_ours() {
    assert!(matches!(Extra::decode(b"PAR1"), Err(CorruptExtra::Magic)));
    assert!(matches!(Extra::decode(b"TFX1 not zstd"), Err(CorruptExtra::Compression(_))));
}

#[test]
fn a_frame_of_a_few_bytes_that_expands_without_end_is_refused() {
    let decode = |body: Vec<u8>| {
        let frame = zstd::encode_all(&body[..], 1).unwrap();
        assert!(frame.len() < 100_000);
        Extra::decode(&[&MAGIC[..], &frame].concat()).unwrap_err()
    };
    assert!(matches!(decode(vec![0; MAX_BYTES as usize + 1]), CorruptExtra::TooLarge));
    let mut urls = Vec::new();
    put_varint(&mut urls, MAX_ENTRIES + 1);
    urls.resize(MAX_ENTRIES as usize + 100, 0);
    assert!(matches!(decode(urls), CorruptExtra::Body("schema URLs")));
}
