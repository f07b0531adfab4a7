//! Replication under faults, thousands of requests on a clock that does not wait: ingesters that are slow, refuse,
//! hang, crash before, while or after a write becomes durable, and come back; and a placement that follows with delay.
//!
//! A run follows from its seed alone. `TEMPOFORM_SIMULATION_SEED=42` runs one seed, `TEMPOFORM_SIMULATION_SEEDS=5000`
//! that many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message as _;
use tempoform_core::SpanSink;
use tempoform_wire::otlp::{ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span};

use super::*;
use crate::placement::Member;

mod ingester;

use ingester::{Dice, Faults, SimulatedIngester};

/// Seeds of a usual run of the tests.
const SEEDS: u64 = 300;
/// Names the seed of a run of that seed alone.
const ONE_SEED: &str = "TEMPOFORM_SIMULATION_SEED";
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
const TENANT_LIMIT: u64 = 1 << 40;

/// A distributor and its ingesters.
struct World {
    dice: Arc<Dice>,
    replication_factor: usize,
    ingesters: Vec<Arc<SimulatedIngester>>,
    placement: Arc<Mutex<Arc<Placement>>>,
    distributor: Arc<Distributor>,
    span_ids: AtomicU64,
    acknowledged: Mutex<BTreeSet<Vec<u8>>>,
    refused: AtomicU64,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Arc<Self> {
        let dice = Arc::new(Dice::new(seed));
        let replication_factor = [1, 2, 3, 3, 3, 5][dice.below(6) as usize];
        let count = replication_factor as u64 + dice.below(4);
        let zones = 1 + dice.below(3);
        let ingesters: Vec<_> = (0..count)
            .map(|at| {
                let zone = format!("zone-{}", at % zones);
                Arc::new(SimulatedIngester::new(format!("ingester-{at}"), zone, Arc::clone(&dice), faults))
            })
            .collect();
        let placement = Arc::new(Mutex::new(placement(&ingesters, replication_factor)));
        let of_the_moment = Arc::clone(&placement);
        let distributor = Distributor::new(
            options(),
            Arc::new(move || Arc::clone(&of_the_moment.lock().expect("not poisoned"))),
            MemoryBudget::new(TENANT_LIMIT),
        );
        Arc::new(Self {
            dice,
            replication_factor,
            ingesters,
            placement,
            distributor,
            span_ids: AtomicU64::new(1),
            acknowledged: Mutex::default(),
            refused: AtomicU64::new(0),
        })
    }

    fn quorum(&self) -> usize {
        self.replication_factor / 2 + 1
    }

    /// Sends a request of some traces, and looks at what its acknowledgement is worth.
    async fn request(&self) -> Result<(), String> {
        let spans = self.spans();
        let request = encode(&spans);
        let place = self.distributor.admit(request.len() as u64).map_err(|error| error.to_string())?;
        match self.distributor.receive(Source::OTLP_GRPC, &TenantId::single(), request, place).await {
            Ok(_) => {
                let spans: Vec<Vec<u8>> = spans.iter().map(Span::encode_to_vec).collect();
                self.check(&spans)?;
                self.acknowledged.lock().expect("not poisoned").extend(spans);
            }
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for _ in 0..=self.dice.below(12) {
            let trace_id = [self.dice.roll().to_be_bytes(), self.dice.roll().to_be_bytes()].concat();
            for _ in 0..=self.dice.below(4) {
                let span_id = self.span_ids.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec();
                spans.push(Span { trace_id: trace_id.clone(), span_id, ..Span::default() });
            }
        }
        // Spans of a trace need not follow each other.
        (1..spans.len()).for_each(|at| spans.swap(at, self.dice.below(at as u64 + 1) as usize));
        spans
    }

    /// Acknowledged at this moment: on disk of a quorum, of a leader among them.
    fn check(&self, spans: &[Vec<u8>]) -> Result<(), String> {
        for span in spans {
            let holders: Vec<_> = self.ingesters.iter().filter(|ingester| ingester.has(span)).collect();
            let names = || holders.iter().map(|ingester| ingester.name()).collect::<Vec<_>>();
            if holders.len() < self.quorum() {
                return Err(format!("acknowledged with copies on {:?} only", names()));
            }
            if !holders.iter().any(|ingester| ingester.leads(span)) {
                return Err(format!("acknowledged without a leader, with copies on {:?}", names()));
            }
        }
        Ok(())
    }

    /// What followers keep of a batch is in the batch of its leaders, which all have the same; so have those who are told that
    /// they follow all of it, and lead it one day under its name.
    fn check_batches(&self) -> Result<(), String> {
        let mut led = BTreeMap::new();
        for ingester in &self.ingesters {
            for (id, spans) in ingester.led().into_iter().chain(ingester.followed_whole()) {
                let known = led.entry(id).or_insert_with(|| spans.clone());
                if *known != spans {
                    return Err(format!("those who have all of batch {id:?} have different spans"));
                }
            }
        }
        for ingester in &self.ingesters {
            for (id, spans) in ingester.followed() {
                if led.get(&id).is_some_and(|led| !spans.is_subset(led)) {
                    return Err(format!("{} follows more of batch {id:?} than is led", ingester.name()));
                }
            }
        }
        Ok(())
    }

    /// Whoever may be lost for ever without a quorum lost with it.
    fn check_losses(&self) -> Result<(), String> {
        let acknowledged = self.acknowledged.lock().expect("not poisoned");
        let count = self.ingesters.len();
        for lost in (0..1u32 << count).filter(|lost| lost.count_ones() as usize == self.quorum() - 1) {
            let living = || (0..count).filter(|at| lost & 1 << at == 0).map(|at| &self.ingesters[at]);
            if let Some(span) = acknowledged.iter().find(|span| !living().any(|ingester| ingester.has(span)))
            {
                return Err(format!("span {span:?} is lost with ingesters {lost:b}"));
            }
        }
        Ok(())
    }

    /// Ingesters crash and come back, until the run ends.
    async fn trouble(self: Arc<Self>) {
        loop {
            self.dice.pause(1..1500).await;
            let ingester = &self.ingesters[self.dice.below(self.ingesters.len() as u64) as usize];
            if self.dice.below(3) > 0 {
                ingester.crash();
                let (ingester, dice) = (Arc::clone(ingester), Arc::clone(&self.dice));
                tokio::spawn(async move {
                    dice.pause(1..8000).await;
                    ingester.restart();
                });
            }
            // What gossip knows is sometimes late.
            if self.dice.below(2) == 0 {
                let seen: Vec<_> = self
                    .ingesters
                    .iter()
                    .filter(|ingester| ingester.is_up() || self.dice.below(4) == 0)
                    .cloned()
                    .collect();
                *self.placement.lock().expect("not poisoned") = placement(&seen, self.replication_factor);
            }
        }
    }
}

fn placement(ingesters: &[Arc<SimulatedIngester>], replication_factor: usize) -> Arc<Placement> {
    let member = |ingester: &Arc<SimulatedIngester>| {
        Member::new(ingester.name(), ingester.zone(), Arc::clone(ingester) as Arc<dyn SpanSink>)
    };
    Arc::new(Placement::new(ingesters.iter().map(member).collect(), replication_factor))
}

fn options() -> Options {
    Options {
        multi_tenant: false,
        tenants: None,
        limits: Arc::new(|_| TenantLimits {
            rate_limit_bytes: TENANT_LIMIT,
            burst_size_bytes: TENANT_LIMIT,
            max_attribute_bytes: 2048,
            retry_info: true,
            max_trace_bytes: 5000,
            max_live_traces: 10,
        }),
        push_timeout: PUSH_TIMEOUT,
        retry_after: Duration::from_secs(5),
        max_request_bytes: 1 << 20,
        max_inflight_bytes: TENANT_LIMIT,
    }
}

fn encode(spans: &[Span]) -> Bytes {
    let scope_spans = vec![ScopeSpans { spans: spans.to_vec(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// Runs `check` for seeds, each on a clock of its own that jumps to the next event.
fn for_seeds<F: Future<Output = Result<(), String>>>(check: impl Fn(u64) -> F) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number(ONE_SEED), number("TEMPOFORM_SIMULATION_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        if let Err(why) = runtime.block_on(check(seed)) {
            panic!("{why}; again with TEMPOFORM_SIMULATION_SEED={seed}");
        }
    }
}

/// One run with everything that can go wrong; gives how many requests were acknowledged and refused.
async fn run(seed: u64) -> Result<(Arc<World>, u64), String> {
    let world = World::new(seed, Faults::ALL);
    let trouble = tokio::spawn(Arc::clone(&world).trouble());
    let clients = (0..3).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for _ in 0..12 {
                world.request().await?;
                world.dice.pause(0..400).await;
            }
            Ok::<(), String>(())
        })
    });
    // All at once, not one after the other.
    let clients: Vec<_> = clients.collect();
    for client in clients {
        client.await.map_err(|error| error.to_string())??;
    }
    trouble.abort();
    // What was under way ends.
    tokio::time::sleep(PUSH_TIMEOUT * 3).await;
    world.check_batches()?;
    world.check_losses()?;
    let refused = world.refused.load(Ordering::Relaxed);
    Ok((world, refused))
}

#[test]
fn what_is_acknowledged_is_led_and_on_a_quorum_whatever_happens() {
    let (acknowledged, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    for_seeds(async |seed| {
        let (world, refusals) = run(seed).await?;
        acknowledged
            .fetch_add(world.acknowledged.lock().expect("not poisoned").len() as u64, Ordering::Relaxed);
        refused.fetch_add(refusals, Ordering::Relaxed);
        Ok(())
    });
    // Neither a paradise nor a desert.
    let (acknowledged, refused) = (acknowledged.into_inner(), refused.into_inner());
    assert!(acknowledged > 0, "nothing was acknowledged, {refused} requests were refused");
    // One seed alone may be either.
    assert!(
        refused > 0 || std::env::var_os(ONE_SEED).is_some(),
        "nothing was refused: no fault came to bear"
    );
}

#[test]
fn a_run_follows_from_its_seed() {
    for_seeds(async |seed| {
        if seed % 50 > 0 {
            return Ok(());
        }
        let ((one, refused_one), (two, refused_two)) = (run(seed).await?, run(seed).await?);
        let (one, two) = (
            &*one.acknowledged.lock().expect("not poisoned"),
            &*two.acknowledged.lock().expect("not poisoned"),
        );
        if one != two || refused_one != refused_two {
            return Err("the second run went another way".to_owned());
        }
        Ok(())
    });
}

#[test]
fn as_long_as_a_quorum_works_all_is_acknowledged() {
    for_seeds(async |seed| {
        let world = World::new(seed, Faults::NONE);
        let spare = world.ingesters.len() - world.quorum();
        for _ in 0..spare {
            world.ingesters[world.dice.below(world.ingesters.len() as u64) as usize].crash();
        }
        for _ in 0..5 {
            world.request().await?;
        }
        match world.refused.load(Ordering::Relaxed) {
            0 => Ok(()),
            refused => Err(format!(
                "{refused} of 5 requests refused, with at most {spare} of {} ingesters down",
                world.ingesters.len()
            )),
        }
    });
}

#[test]
fn with_fewer_than_a_quorum_nothing_is_acknowledged() {
    for_seeds(async |seed| {
        let world = World::new(seed, Faults::NONE);
        let left = world.dice.below(world.quorum() as u64) as usize;
        world.ingesters[left..].iter().for_each(|ingester| ingester.crash());
        world.request().await?;
        *world.placement.lock().expect("not poisoned") =
            placement(&world.ingesters[..left], world.replication_factor);
        world.request().await?;
        match world.refused.load(Ordering::Relaxed) {
            2 => Ok(()),
            refused => Err(format!("{} of 2 requests acknowledged by {left} ingesters", 2 - refused)),
        }
    });
}
