use std::process::ExitCode;

use tempoform_api::ValidatedTempo;
use tempoform_api::spec::DeletionPolicy;
use tempoform_engine::plan::{Detail, plan_removal};
use tempoform_engine::target::{DataPolicy, Target};
use tempoform_kubernetes::ClusterTarget;
use tempoform_local::LocalTarget;

use super::local;
use super::running::{self, Running};
use crate::args::Destroy;
use crate::documents::{self, Declared, Purpose};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: &Destroy) -> Result<ExitCode, Failure> {
    let declared = documents::load_one(&args.files, Purpose::Name)?;
    let tempo = &declared.document.validated;
    let delete = args.delete_data || tempo.deletion_policy == DeletionPolicy::Delete;
    match running::open(&declared, &args.destination).await? {
        Running::Local(target) => from_machine(args, tempo, &declared, *target, delete).await,
        Running::Cluster(target) => from_cluster(args, tempo, &target, delete).await,
    }
}

async fn from_machine(
    args: &Destroy,
    tempo: &ValidatedTempo,
    declared: &Declared,
    first: LocalTarget,
    delete: bool,
) -> Result<ExitCode, Failure> {
    if !first.directory().path().exists() {
        output::note(&format!("{} is not applied here: there is nothing to destroy.", tempo.name));
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = first.lock()?;
    let target = local::open(declared)?;
    let plan = plan_removal(&tempo.name, target.name(), &target.observe().await?);
    output::data(&plan.to_human(Detail::Summary, output::colour()))?;
    let place = target.directory().path().display();
    output::note(&match delete {
        true => format!("Write-ahead logs and blocks in {place} are DELETED. A bucket is not touched."),
        false => format!("Data in {place} stay; --delete-data deletes them."),
    });
    for folder in target.data_outside()? {
        output::note(&format!("Data in {} stay: the folder is not in {place}.", folder.display()));
    }
    remove(args, tempo, &target, delete).await
}

async fn from_cluster(
    args: &Destroy,
    tempo: &ValidatedTempo,
    target: &ClusterTarget,
    delete: bool,
) -> Result<ExitCode, Failure> {
    target.lock().await?;
    let ended = with_lock(args, tempo, target, delete).await;
    target.unlock().await;
    ended
}

async fn with_lock(
    args: &Destroy,
    tempo: &ValidatedTempo,
    target: &ClusterTarget,
    delete: bool,
) -> Result<ExitCode, Failure> {
    let observed = target.observe().await?;
    let claims = if delete { target.claims().await? } else { Vec::new() };
    if observed.objects.is_empty() && observed.guarded.is_none() && claims.is_empty() {
        let place = format!("namespace {:?} of context {:?}", target.namespace(), target.context());
        output::note(&format!("{} is not applied in {place}: there is nothing to destroy.", tempo.name));
        return Ok(ExitCode::SUCCESS);
    }
    let plan = plan_removal(&tempo.name, target.name(), &observed);
    output::data(&plan.to_human(Detail::Summary, output::colour()))?;
    output::note(match delete {
        true => {
            "The volume claims of its pods are DELETED, with the spans in them that are in no block yet. A bucket is not touched."
        }
        false => "The volume claims of its pods stay; --delete-data deletes them. A bucket is not touched.",
    });
    remove(args, tempo, target, delete).await
}

async fn remove(
    args: &Destroy,
    tempo: &ValidatedTempo,
    target: &dyn Target,
    delete: bool,
) -> Result<ExitCode, Failure> {
    if !args.auto_approve && !output::confirm("Destroy it?", "--auto-approve")? {
        output::note("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    let data = if delete { DataPolicy::Delete } else { DataPolicy::Keep };
    let left = target.destroy(data, &output::note).await?;
    output::note(&format!("{} is destroyed.", tempo.name));
    for line in left {
        output::note(&format!("left: {line}"));
    }
    Ok(ExitCode::SUCCESS)
}
