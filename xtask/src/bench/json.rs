//! The report for programs.

use serde_json::{Map, Value, json};

use super::contenders::Contender;
use super::figures::{Measured, Row};
use super::host::Host;
use super::measure::{Plan, State};

/// The whole report, with every figure of every round.
pub fn report(host: &Host, command: &str, plan: &Plan<'_>, rows: &[Row], state: State) -> Value {
    let versions: Map<String, Value> = host
        .versions
        .iter()
        .map(|(name, version)| ((*name).to_owned(), Value::from(version.as_str())))
        .collect();
    json!({
        "complete": state == State::Complete,
        "round": match state {
            State::Complete => plan.rounds,
            State::InRound(round) => round,
        },
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "date": host.date,
        "command": command,
        "processor": host.processor,
        "cores": host.cores,
        "instruction_sets": host.instruction_sets,
        "system": host.system,
        "load_average_at_start": host.load,
        "versions": versions,
        "cases": rows.iter().map(case).collect::<Vec<_>>(),
    })
}

fn case(row: &Row) -> Value {
    let case = row.case;
    json!({
        "name": case.name,
        "network": case.network,
        "batch": case.batch,
        "mode": case.mode.name(),
        "unit": case.metric.unit(),
        "threads": case.threads,
        "held_to_avx2": case.avx2,
        "best_peer": row.best_peer().map(|best| best.contender.label()),
        "ours_over_best_peer": row.ratio(),
        "contenders": row.measured.iter().map(contender).collect::<Vec<_>>(),
    })
}

fn contender(measured: &Measured) -> Value {
    json!({
        "name": measured.contender.label(),
        "ours": measured.contender == Contender::Ours,
        "median": measured.median(),
        "figures": measured.figures,
        "failure": measured.failure,
        "reported": measured.reported,
    })
}
