use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::object::{Guarded, Instance, Observed};
use crate::plan;
use crate::target::{DataPolicy, Listener, LogLine, LogQuery, Readiness};

/// A target that remembers what was asked of it.
#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<String>>,
    running: Mutex<(usize, usize)>,
    failing: Option<&'static str>,
    /// Cancelled when this object is changed.
    cancels: Option<(&'static str, CancellationToken)>,
}

impl Recorder {
    fn call(&self, text: String) {
        self.calls.lock().unwrap().push(text);
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Target for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }
    async fn observe(&self) -> Result<Observed, TargetError> {
        Ok(Observed::default())
    }
    async fn apply_change(&self, change: &Change, _: Option<&Object>) -> Result<(), TargetError> {
        {
            let mut running = self.running.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.running.lock().unwrap().0 -= 1;
        self.call(format!("{} {}", change.action.word(), change.object.name));
        if let Some((name, cancel)) = &self.cancels
            && *name == change.object.name
        {
            cancel.cancel();
        }
        match self.failing {
            Some(name) if name == change.object.name => Err(TargetError::new("no such executable")),
            _ => Ok(()),
        }
    }
    async fn readiness(&self, object: &ObjectId) -> Result<Readiness, TargetError> {
        self.call(format!("ready {}", object.name));
        Ok(Readiness::Ready)
    }
    async fn settle(&self, object: &ObjectId) -> Result<(), TargetError> {
        self.call(format!("settle {}", object.name));
        Ok(())
    }
    async fn destroy(&self, _: DataPolicy, _: &Listener<'_>) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
    async fn logs(&self, _: LogQuery) -> Result<mpsc::Receiver<LogLine>, TargetError> {
        Ok(mpsc::channel(1).1)
    }
    async fn endpoints(&self) -> Result<Vec<Instance>, TargetError> {
        Ok(Vec::new())
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<Progress>>);

impl Observer for Heard {
    fn progress(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }
}

fn object(name: &str, component: &str, wave: u8, setting: u32) -> Object {
    let value = json!({"setting": setting});
    Object {
        id: ObjectId::new("Process", name),
        component: component.to_owned(),
        wave,
        stateful: wave == 0,
        value,
    }
}

fn desired(setting: u32) -> Desired {
    let guarded =
        Guarded { replication_factor: 1, ingesters: 3, storage: "local:/b".to_owned(), multitenancy: false };
    let mut objects: Vec<Object> =
        (0..3).map(|index| object(&format!("ingester-{index}"), "ingester", 0, setting)).collect();
    objects.push(object("distributor-0", "distributor", 1, setting));
    Desired { name: "traces".to_owned(), guarded, objects }
}

fn observed(desired: &Desired) -> Observed {
    let live = |object: &Object| crate::object::ObservedObject {
        object: object.clone(),
        condition: crate::object::Condition::Live,
    };
    Observed {
        guarded: Some(desired.guarded.clone()),
        objects: desired.objects.iter().map(live).collect(),
        notes: Vec::new(),
    }
}

async fn run(target: &Recorder, desired: &Desired, observed: &Observed) -> Result<Applied, ApplyError> {
    let plan = plan::plan("recorder", desired, observed);
    let cancel = target.cancels.as_ref().map(|(_, cancel)| cancel.clone()).unwrap_or_default();
    apply(target, &plan, desired, ApplyOptions::default(), &Heard::default(), &cancel).await
}

#[tokio::test]
async fn creations_run_together_and_later_waves_wait() {
    let target = Recorder::default();
    let applied = run(&target, &desired(1), &Observed::default()).await.unwrap();
    assert_eq!(applied, Applied { created: 4, ..Applied::default() });
    assert_eq!(target.running.lock().unwrap().1, 3);
    let calls = target.calls();
    let at = |call: &str| calls.iter().position(|c| c == call).unwrap();
    for index in 0..3 {
        assert!(at(&format!("settle ingester-{index}")) < at("create distributor-0"));
    }
}

#[tokio::test]
async fn running_objects_change_one_by_one_each_awaited() {
    let target = Recorder::default();
    let applied = run(&target, &desired(2), &observed(&desired(1))).await.unwrap();
    assert_eq!(applied.changed, 4);
    assert_eq!(target.running.lock().unwrap().1, 1);
    assert_eq!(
        target.calls()[..6],
        [
            "update ingester-0",
            "ready ingester-0",
            "settle ingester-0",
            "update ingester-1",
            "ready ingester-1",
            "settle ingester-1"
        ]
    );
}

#[tokio::test]
async fn a_failure_keeps_later_waves_from_beginning() {
    let target = Recorder { failing: Some("ingester-1"), ..Recorder::default() };
    let error = run(&target, &desired(1), &Observed::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 of 4 changes failed, 1 were not begun: Process/ingester-1: no such executable"
    );
    let calls = target.calls();
    assert!(calls.contains(&"settle ingester-2".to_owned()));
    assert!(!calls.contains(&"settle ingester-1".to_owned()));
    assert!(!calls.contains(&"create distributor-0".to_owned()));
}

#[tokio::test]
async fn cancel_begins_nothing_more() {
    let cancels = Some(("ingester-0", CancellationToken::new()));
    let target = Recorder { cancels, ..Recorder::default() };
    let error = run(&target, &desired(2), &observed(&desired(1))).await.unwrap_err();
    assert!(matches!(error, ApplyError::Interrupted { done: 1, total: 4 }), "{error}");
    assert_eq!(target.calls(), ["update ingester-0", "ready ingester-0", "settle ingester-0"]);
}

#[tokio::test]
async fn removals_come_last_and_those_with_data_one_by_one() {
    let mut smaller = desired(1);
    smaller.objects.drain(0..2);
    smaller.objects.push(object("ingester-9", "ingester", 0, 1));
    let target = Recorder::default();
    let applied = run(&target, &smaller, &observed(&desired(1))).await.unwrap();
    assert_eq!((applied.created, applied.destroyed), (1, 2));
    assert_eq!(target.running.lock().unwrap().1, 1);
    assert_eq!(
        target.calls(),
        [
            "create ingester-9",
            "ready ingester-9",
            "settle ingester-9",
            "delete ingester-1",
            "delete ingester-0",
            "ready ingester-2",
            "ready distributor-0"
        ]
    );
}

#[tokio::test]
async fn a_foreign_plan_is_refused() {
    let plan = plan::plan("recorder", &desired(1), &Observed::default());
    let mut other = desired(1);
    other.objects.pop();
    let target = Recorder::default();
    let options = ApplyOptions::default();
    let error = apply(&target, &plan, &other, options, &Heard::default(), &CancellationToken::new()).await;
    assert!(matches!(error, Err(ApplyError::Foreign(id)) if id.name == "distributor-0"));
}
