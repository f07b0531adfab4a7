use std::process::ExitCode;

use serde_json::json;
use tempoform_api::Target;
use tempoform_engine::apply::{Applied, ApplyOptions, apply};
use tempoform_engine::health::{self, Report};
use tempoform_engine::object::{Desired, Instance};
use tempoform_engine::plan::{DangerKind, Detail, Plan, plan_on};
use tokio_util::sync::CancellationToken;

use super::local;
use super::running::{self, Running};
use super::{check, health as health_command};
use crate::args::{Apply, Format};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::progress::Lines;

pub(crate) async fn run(args: &Apply, invocation: &Invocation) -> Result<ExitCode, Failure> {
    let declared = running::load(&args.files, &args.destination)?;
    // Held from before the plan, so that what is shown is what is done.
    let lock = match args.destination.target() {
        Target::Local => Some(local::open(&declared)?.lock()?),
        Target::Kubernetes => None,
    };
    let (mut running, desired) = running::declare(&declared, &args.destination).await?;
    running.lock().await?;
    let applied = change(args, &mut running, &desired).await;
    running.unlock().await;
    drop(lock);
    let Some((applied, cancel)) = applied? else { return Ok(ExitCode::from(1)) };

    let instances = running.target().endpoints().await?;
    let options = running::health_options(&declared.document.validated);
    let report = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Failure::new("interrupted: everything is applied, its health is not known")),
        report = health::check(&instances, &options) => report,
    };
    match args.output {
        Format::Json => output::json(&result(&applied, &report))?,
        Format::Text => {
            output::data(&health_command::to_text(&report))?;
            if report.healthy {
                let steps = match &running {
                    Running::Local(_) => next_steps(&instances, options.tenant.as_deref(), invocation),
                    Running::Cluster(target) => next_steps_in_cluster(
                        &desired,
                        target.namespace(),
                        options.tenant.as_deref(),
                        invocation,
                    ),
                };
                output::data(&steps)?;
            }
        }
    }
    if report.healthy {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new("everything is applied, and it is not healthy")
        .help("look at `tempoform logs`, then apply again"))
}

/// Shows the plan and makes its changes; `None` when they are not wanted.
async fn change(
    args: &Apply,
    running: &mut Running,
    desired: &Desired,
) -> Result<Option<(Applied, CancellationToken)>, Failure> {
    let plan = plan_on(running.target(), desired).await?;
    show(&plan, args)?;
    refuse_dangers(&plan, &args.allow)?;
    if plan.is_empty() {
        // What a former apply left may not serve yet.
        let cancel = interrupt();
        let options = ApplyOptions { timeout: args.timeout, ..ApplyOptions::default() };
        let applied = apply(running.target(), &plan, desired, options, &Lines, &cancel).await?;
        return Ok(Some((applied, cancel)));
    }
    // What is in a cluster may be reached from there only.
    if !args.skip_storage_check && matches!(running, Running::Local(_)) {
        check::before_change(&args.files, "--skip-storage-check").await?;
    }
    if !args.auto_approve && !output::confirm("Make these changes?", "--auto-approve")? {
        output::note("Nothing was changed.");
        return Ok(None);
    }
    // Not before: at the question, Ctrl-C simply ends the command.
    let cancel = interrupt();
    if let (Running::Cluster(target), true) = (&mut *running, takes_from_others(&args.allow)) {
        target.take_from_others();
    }
    let options = ApplyOptions { timeout: args.timeout, ..ApplyOptions::default() };
    let applied = apply(running.target(), &plan, desired, options, &Lines, &cancel).await?;
    let Applied { created, changed, destroyed } = applied;
    output::note(&format!("\nApplied: {created} created, {changed} changed, {destroyed} destroyed."));
    Ok(Some((applied, cancel)))
}

fn show(plan: &Plan, args: &Apply) -> Result<(), Failure> {
    let detail = if args.full { Detail::Full } else { Detail::Summary };
    match args.output {
        Format::Json => {
            output::note(&plan.to_human(detail, false));
            Ok(())
        }
        Format::Text => output::data(&(plan.to_human(detail, output::colour()) + "\n")),
    }
}

fn refuse_dangers(plan: &Plan, allowed: &[DangerKind]) -> Result<(), Failure> {
    let refused = plan.refused(allowed);
    if refused.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        refused.iter().map(|danger| format!("  {}: {}", danger.kind, danger.message)).collect();
    let words: Vec<String> = refused.iter().map(|danger| format!("--allow {}", danger.kind)).collect();
    Err(Failure::new(format!("the plan has dangerous changes, so nothing was changed\n{}", list.join("\n")))
        .help(format!("if they are meant, run the command again with {}", words.join(" "))))
}

fn takes_from_others(allowed: &[DangerKind]) -> bool {
    allowed.iter().any(|kind| matches!(kind, DangerKind::Conflict | DangerKind::Adopt))
}

/// Cancelled by Ctrl-C: the apply then begins nothing more, and the next one goes on.
fn interrupt() -> CancellationToken {
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            output::note("\nInterrupted. Components that run go on running.");
            token.cancel();
        }
    });
    cancel
}

fn result(applied: &Applied, report: &Report) -> serde_json::Value {
    let Applied { created, changed, destroyed } = applied;
    json!({"applied": {"created": created, "changed": changed, "destroyed": destroyed}, "health": report})
}

/// Where to send spans and how to ask for them, to be copied into a shell.
fn next_steps(instances: &[Instance], tenant: Option<&str>, invocation: &Invocation) -> String {
    let endpoint = |components: [&str; 2], key: &str| {
        components
            .iter()
            .find_map(|component| instances.iter().filter(|i| i.name == *component).find_map(|i| i.url(key)))
    };
    let header = tenant.map(|tenant| format!(" -H 'X-Scope-OrgID: {tenant}'")).unwrap_or_default();
    let mut text = String::from("\nSend spans to\n");
    for (key, label) in [("otlpGrpc", "OTLP over gRPC"), ("otlpHttp", "OTLP over HTTP")] {
        if let Some(url) = endpoint(["distributor", "tempo"], key) {
            text.push_str(&format!("  {label}  {url}\n"));
        }
    }
    if let Some(url) = endpoint(["queryFrontend", "tempo"], "http") {
        text.push_str(&format!(
            "Ask for traces (the data source URL for Grafana, type Tempo, is {url})\n  \
             curl{header} -G {url}/api/search --data-urlencode 'q={{ resource.service.name != \"tempoform-canary\" }}'\n  \
             curl{header} {url}/api/v2/traces/TRACE_ID\n"
        ));
    }
    text.push_str(&format!("Look at it\n  {}\n", invocation.command("status")));
    text
}

/// The same in a cluster, by the names of its services.
fn next_steps_in_cluster(
    desired: &Desired,
    namespace: &str,
    tenant: Option<&str>,
    invocation: &Invocation,
) -> String {
    let service = |components: [&str; 2], port: &str| {
        components.iter().find_map(|component| {
            let services =
                desired.objects.iter().filter(|o| o.id.kind == "Service" && o.component == *component);
            services.filter(|o| o.value["spec"]["clusterIP"] != "None").find_map(|o| {
                let ports = o.value["spec"]["ports"].as_array()?;
                let number = &ports.iter().find(|known| known["name"] == port)?["port"];
                Some((o.id.name.clone(), number.as_u64()?))
            })
        })
    };
    let mut text = String::from("\nFrom inside the cluster, send spans to\n");
    for (port, label) in [("otlp-grpc", "OTLP over gRPC"), ("otlp-http", "OTLP over HTTP")] {
        if let Some((name, number)) = service(["distributor", "tempo"], port) {
            text.push_str(&format!("  {label}  {name}.{namespace}.svc:{number}\n"));
        }
    }
    if let Some((name, number)) = service(["queryFrontend", "tempo"], "http") {
        let header = tenant.map(|tenant| format!(" -H 'X-Scope-OrgID: {tenant}'")).unwrap_or_default();
        text.push_str(&format!(
            "Ask for traces (the data source URL for Grafana, type Tempo, is http://{name}.{namespace}.svc:{number})\n  \
             kubectl -n {namespace} port-forward service/{name} 3200:{number}\n  \
             curl{header} -G http://127.0.0.1:3200/api/search --data-urlencode 'q={{ resource.service.name != \"tempoform-canary\" }}'\n"
        ));
    }
    text.push_str(&format!("Look at it\n  {}\n", invocation.command("status")));
    text
}
