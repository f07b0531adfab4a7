use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use futures::future::join_all;
use object_store::{ObjectStoreExt as _, PutPayload};
use proptest::prelude::*;
use tempoform_core::{ErrorKind, ReadLimits, TenantId};

use super::*;
use crate::paths::{BlockObject, BlockPath};
use crate::store::faults::{Fault, FaultyStore};
use crate::store::{BlockStore, Content};

const CONTENT: Content = Content { size: 1, footer_size: 2, traces: 3 };

fn block() -> BlockPath {
    BlockPath::new(TenantId::single(), uuid::Uuid::from_u128(7))
}

/// A store with shards of 1000 bytes, whose GETs meet these faults.
async fn faulty(
    faults: impl IntoIterator<Item = Fault>,
    options: StoreOptions,
) -> (BlockStore, Arc<FaultyStore>) {
    let objects = FaultyStore::new(faults);
    for shard in 0..100_u8 {
        let bytes = PutPayload::from(vec![shard; 1000]);
        objects.put(&block().object(&BlockObject::Bloom(shard.into())), bytes).await.unwrap();
    }
    (BlockStore::new(Arc::clone(&objects) as _, "", options, None).unwrap(), objects)
}

async fn read(store: &BlockStore, shard: u8, account: &Account) -> Result<Bytes> {
    store.read_cached(&block(), &BlockObject::Bloom(shard.into()), CONTENT, account).await
}

fn options() -> StoreOptions {
    StoreOptions { hedge_share: 0.0, ..StoreOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn failures_that_may_pass_are_tried_again() {
    let faults = [
        Fault::Reset,
        Fault::Truncated { tells: true },
        Fault::Truncated { tells: false },
        Fault::Slow(Duration::from_secs(3600)),
    ];
    let (store, objects) = faulty(faults, options()).await;
    let account = Account::default();
    assert_eq!(read(&store, 5, &account).await.unwrap(), vec![5; 1000]);
    let spent = account.snapshot();
    assert_eq!((objects.gets(), spent.requests, spent.retried), (5, 5, 4));
    assert_eq!((spent.bytes, spent.dependent_reads), (1000, 1), "retries are one read");
}

#[tokio::test(start_paused = true)]
async fn failures_that_stay_are_not_tried_for_ever() {
    let (store, objects) = faulty([Fault::Reset; 100], options()).await;
    let error = read(&store, 5, &Account::default()).await.unwrap_err();
    assert_eq!(objects.gets(), 6, "{error}");
    let missing = store.read(&block(), &BlockObject::Data, &Account::default()).await.unwrap_err();
    assert!(missing.is_not_found() || objects.gets() > 7, "{missing}");
}

#[tokio::test(start_paused = true)]
async fn one_deadline_bounds_all_tries_and_reads_of_a_query() {
    let (store, _) = faulty([Fault::Slow(Duration::from_secs(3600)); 100], options()).await;
    let deadline = Instant::now() + Duration::from_secs(9);
    let account = Account::limited(ReadLimits { deadline: Some(deadline), ..ReadLimits::default() });
    let outcomes = join_all((0..20).map(|shard| read(&store, shard, &account))).await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Err(BlockError::Timeout { .. }))),
        "{outcomes:?}"
    );
    assert!(Instant::now() <= deadline + Duration::from_millis(1));
    assert!(account.snapshot().retried >= 20, "each was tried again in its time");
}

#[tokio::test(start_paused = true)]
async fn a_query_makes_no_more_requests_than_it_may_and_the_error_says_so() {
    let (store, objects) = faulty([], options()).await;
    let account = Account::limited(ReadLimits { max_requests: 3, deadline: None });
    let mut outcomes = Vec::new();
    for shard in 0..5 {
        outcomes.push(read(&store, shard, &account).await.map(|bytes| bytes.len()));
    }
    assert_eq!((objects.gets(), account.snapshot().requests), (3, 3));
    let refused: Vec<_> =
        outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused[0].contains("retriever.max_requests_per_query"), "{}", refused[0]);
}

#[tokio::test(start_paused = true)]
async fn equal_reads_at_once_are_one_request_and_survive_whoever_began() {
    let (store, objects) = faulty([Fault::Slow(Duration::from_secs(1))], options()).await;
    let (first, second) = (Account::default(), Account::default());
    let begun = tokio::time::timeout(Duration::from_millis(500), read(&store, 1, &first));
    let (begun, joined) = tokio::join!(begun, read(&store, 1, &second));
    assert!(begun.is_err(), "the one who began has gone");
    assert_eq!(joined.unwrap().len(), 1000);
    assert_eq!((objects.gets(), first.snapshot().requests), (1, 1));
    let spent = second.snapshot();
    assert_eq!((spent.requests, spent.joined, spent.dependent_reads), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_short_deadline_of_one_query_does_not_fail_another() {
    let (store, _) = faulty([Fault::Slow(Duration::from_secs(3600))], options()).await;
    let deadline = Some(Instant::now() + Duration::from_secs(2));
    let hasty = Account::limited(ReadLimits { deadline, ..ReadLimits::default() });
    // The first try of the hasty one ends after half of its time, the second is answered.
    let patient = Account::default();
    let (first, second) = tokio::join!(read(&store, 1, &hasty), read(&store, 1, &patient));
    assert!(second.is_ok(), "{second:?}");
    assert_eq!(first.unwrap().len(), 1000);

    let (store, _) = faulty([Fault::Slow(Duration::from_secs(3600)); 5], options()).await;
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let hasty = Account::limited(ReadLimits { deadline, ..ReadLimits::default() });
    let (first, second) = tokio::join!(read(&store, 1, &hasty), read(&store, 1, &patient));
    assert_eq!(first.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(second.is_ok(), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_reads_are_sent_twice_within_the_share() {
    let slow = |i: u32| {
        if i % 25 == 24 {
            Fault::Slow(Duration::from_secs(20))
        } else {
            Fault::Slow(Duration::from_millis(10))
        }
    };
    let (store, objects) =
        faulty((0..400).map(slow), StoreOptions { cache_bytes: 0, ..StoreOptions::default() }).await;
    let account = Account::default();
    let started = Instant::now();
    for i in 0..300_u32 {
        read(&store, (i % 100) as u8, &account).await.unwrap();
    }
    let spent = account.snapshot();
    assert!(spent.hedged > 0 && spent.hedged * 10 <= spent.requests - spent.hedged, "{spent:?}");
    assert_eq!(spent.requests, objects.gets());
    // Those before the latencies are known, and those for which nothing is saved, are as slow as they are.
    assert!(started.elapsed() < Duration::from_secs(5 * 20), "{:?}, {spent:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_share_nothing_is_sent_twice() {
    let slow = |i: u32| Fault::Slow(Duration::from_millis(if i % 10 == 9 { 1000 } else { 10 }));
    let (store, objects) = faulty((0..200).map(slow), StoreOptions { cache_bytes: 0, ..options() }).await;
    for i in 0..100 {
        read(&store, i, &Account::default()).await.unwrap();
    }
    assert_eq!(objects.gets(), 100);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Reset),
        any::<bool>().prop_map(|tells| Fault::Truncated { tells }),
        (0..3000_u64).prop_map(|millis| Fault::Slow(Duration::from_millis(millis))),
        Just(Fault::None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever goes wrong in which order: an answer is right, and the account is what the store has seen.
    #[test]
    fn answers_are_right_whatever_goes_wrong(
        faults in prop::collection::vec(any_fault(), 0..60),
        shards in prop::collection::vec(0..8_u8, 1..40),
        hedge_share in prop_oneof![Just(0.0), Just(0.5)],
        cache_bytes in prop_oneof![Just(0), Just(1_usize << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let options = StoreOptions { hedge_share, cache_bytes, max_requests: 4, ..StoreOptions::default() };
            let (store, objects) = faulty(faults, options).await;
            let account = Account::default();
            let branches: Vec<_> = shards.iter().map(|shard| (*shard, account.branch())).collect();
            let outcomes = join_all(branches.iter().map(|(shard, branch)| read(&store, *shard, branch))).await;
            for (shard, outcome) in shards.iter().zip(outcomes) {
                if let Ok(bytes) = outcome {
                    assert_eq!(bytes, vec![*shard; 1000]);
                }
            }
            let spent = account.snapshot();
            assert_eq!(spent.requests, objects.gets());
            assert!(spent.dependent_reads <= 1);
        });
    }
}

/// A server that answers requests by turns, as bytes say, and closes the connection after each.
fn server(answers: Vec<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            // The request is small and comes at once; what it says is known.
            let length = connection.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET "));
            connection.write_all(answer).unwrap();
        }
    });
    format!("http://{address}")
}

const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\r\nhello";
const CUT_SHORT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\r\nhe";
const BUSY: &[u8] = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const RESET: &[u8] = b"";

fn s3(endpoint: String) -> BlockStore {
    let mut config =
        tempoform_config::Trace { backend: Some(tempoform_config::Backend::S3), ..Default::default() };
    config.s3.bucket = "b".to_owned();
    config.s3.endpoint = endpoint;
    config.s3.forcepathstyle = true;
    config.s3.access_key = "k".to_owned();
    config.s3.secret_key = tempoform_document::Secret::new("s");
    BlockStore::open(&config, options(), None).unwrap()
}

#[tokio::test]
async fn over_http_every_failure_that_may_pass_is_one_request_and_tried_again() {
    let store = s3(server(vec![BUSY, CUT_SHORT, TOO_MANY, RESET, WHOLE]));
    let account = Account::default();
    let bytes = store.read(&block(), &BlockObject::Bloom(0), &account).await.unwrap();
    assert_eq!(bytes, "hello");
    let spent = account.snapshot();
    assert_eq!((spent.requests, spent.retried), (5, 4), "the server has seen five");
}

#[tokio::test]
async fn over_http_a_refusal_is_not_tried_again() {
    let store = s3(server(vec![REFUSED, WHOLE]));
    let account = Account::default();
    let error = store.read(&block(), &BlockObject::Bloom(0), &account).await.unwrap_err();
    assert_eq!(account.snapshot().requests, 1, "{error}");
}
