//! The report for people.

use super::contenders::{CONTENDERS, Contender};
use super::figures::{Measured, Row, range};
use super::host::Host;
use super::measure::{Plan, State};

/// Characters of a failure's message in a cell; the JSON report has all of it.
const MESSAGE_LENGTH: usize = 160;

/// The whole report.
pub fn report(host: &Host, command: &str, plan: &Plan<'_>, rows: &[Row], state: State) -> String {
    let mut facts = vec![
        ("processor", host.processor.clone()),
        ("cores", host.cores.to_string()),
        ("instruction sets", host.instruction_sets.join(", ")),
        ("system", host.system.clone()),
        ("load average at start", host.load.clone()),
    ];
    facts.extend(host.versions.iter().cloned());
    facts.push((
        "measured",
        format!("{} rounds of {} s each", plan.rounds, plan.seconds),
    ));
    facts.push(("command", format!("`{command}`")));
    let mut text = format!("# Speed on {}, {}\n\n", host.processor, host.date);
    if let State::InRound(round) = state {
        text += &format!(
            "**Partial: stopped in round {round} of {}. A case's figures are of the rounds that it got.**\n\n",
            plan.rounds
        );
    }
    if let Some(warning) = host.warning() {
        text += &format!("**{warning}**\n\n");
    }
    text += "| what | value |\n| --- | --- |\n";
    for (name, value) in facts {
        text += &line([name.to_owned(), value]);
    }
    text += "\nFloat32 throughout. A figure is the median over the rounds; within a round all of a case's columns were \
             measured one after the other. Images/s: more is better, also in `ours / best`. MB, the most that the \
             process held: less is better, also in `ours / best`.\n\n";
    text + &table(rows)
}

/// The table of all figures.
pub fn table(rows: &[Row]) -> String {
    let columns: Vec<Contender> = CONTENDERS
        .iter()
        .copied()
        .filter(|contender| rows.iter().any(|row| row.of(*contender).is_some()))
        .collect();
    let mut heading: Vec<String> = ["case", "threads", "unit"].map(str::to_owned).to_vec();
    heading.extend(columns.iter().map(|contender| contender.label().to_owned()));
    heading
        .extend(["best peer", "ours / best", "ours min..max", "best min..max"].map(str::to_owned));
    let rule = heading.iter().map(|_| "---".to_owned()).collect::<Vec<_>>();
    let mut text = line(heading) + &line(rule);
    for row in rows {
        let best = row.best_peer();
        let mut cells = vec![
            row.case.name.to_owned(),
            row.case.threads.to_string(),
            row.case.metric.unit().to_owned(),
        ];
        cells.extend(columns.iter().map(|contender| cell(row.of(*contender))));
        cells.push(best.map_or_else(String::new, |best| best.contender.label().to_owned()));
        cells.push(
            row.ratio()
                .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        );
        cells.push(spread(row.of(Contender::Ours)));
        cells.push(spread(best));
        text += &line(cells);
    }
    text
}

/// A contender's median, the reason why there is none, or nothing.
fn cell(measured: Option<&Measured>) -> String {
    let Some(measured) = measured else {
        return String::new();
    };
    match (&measured.failure, measured.median()) {
        (Some(message), _) => {
            let short: String = message.chars().take(MESSAGE_LENGTH).collect();
            format!("failed: {short}")
        }
        (None, Some(median)) => number(median),
        (None, None) => String::new(),
    }
}

/// The least and the greatest figure of a contender that did not fail.
fn spread(measured: Option<&Measured>) -> String {
    measured
        .filter(|measured| measured.failure.is_none())
        .and_then(|measured| range(&measured.figures))
        .map_or_else(String::new, |(least, greatest)| {
            format!("{}..{}", number(least), number(greatest))
        })
}

/// Four digits tell more than a measurement knows.
fn number(figure: f64) -> String {
    if figure < 100.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.0}")
    }
}

/// One line of a table. A bar inside a cell would begin another.
fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells
        .into_iter()
        .map(|cell| cell.replace('|', "\\|").replace(['\n', '\r'], " "))
        .collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::super::contenders::Contender::*;
    use super::super::figures::tests::row;
    use super::*;

    #[test]
    fn the_table_has_figures_best_peer_ratio_and_ranges() {
        let mut failed = row(
            "train-resnet20-128",
            &[
                (Ours, &[310.0, 300.0, 290.0]),
                (TorchNchw, &[401.2, 399.0, 400.0]),
                (BurnFlex, &[]),
            ],
        );
        failed.measured[2].failure = Some("error: a | b".to_owned());
        let memory = row(
            "memory-resnet20-128",
            &[(Ours, &[300.0]), (TorchNchw, &[600.0])],
        );
        let rows = [
            row(
                "train-simple_cnn-4",
                &[(Ours, &[90.04]), (TorchNchw, &[45.0, 45.04])],
            ),
            failed,
            memory,
        ];
        assert_eq!(
            table(&rows),
            "\
| case | threads | unit | ours | PyTorch | Burn Flex | best peer | ours / best | ours min..max | best min..max |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| train-simple_cnn-4 | 1 | images/s | 90.0 | 45.0 |  | PyTorch | 2.00 | 90.0..90.0 | 45.0..45.0 |
| train-resnet20-128 | 2 | images/s | 300 | 400 | failed: error: a \\| b | PyTorch | 0.75 | 290..310 | 399..401 |
| memory-resnet20-128 | 2 | MB | 300 | 600 |  | PyTorch | 0.50 | 300..300 | 600..600 |
"
        );
    }

    #[test]
    fn what_is_not_measured_yet_is_an_empty_cell() {
        let rows = [row("train-resnet20-8", &[(Ours, &[]), (TorchNchw, &[])])];
        assert_eq!(
            table(&rows).lines().last().unwrap(),
            "| train-resnet20-8 | 2 | images/s |  |  |  |  |  |  |"
        );
    }

    #[test]
    fn a_partial_report_says_so_above_its_table() {
        let host = super::super::report::tests::host();
        let whole = |plan: &Plan<'_>, rows: &[Row], state| {
            report(&host, "cargo xtask bench --quick", plan, rows, state)
        };
        let rows = [row("train-resnet20-128", &[(Ours, &[100.0])])];
        let plan = Plan {
            cases: &[rows[0].case],
            rounds: 5,
            seconds: 0.5,
        };
        let expected = "\
# Speed on AMD EPYC, 2026-01-02

**Partial: stopped in round 2 of 5. A case's figures are of the rounds that it got.**

| what | value |
| --- | --- |
| processor | AMD EPYC |
| cores | 2 |
| instruction sets | avx2, fma |
| system | linux x86_64 |
| load average at start | 0.10 0.20 0.30 |
| Burn | 0.22.1 |
| PyTorch | 2.15.0 |
| measured | 5 rounds of 0.5 s each |
| command | `cargo xtask bench --quick` |

Float32 throughout.";
        let partial = whole(&plan, &rows, State::InRound(2));
        assert!(partial.starts_with(expected), "{partial}");
        assert!(partial.ends_with(&table(&rows)));
        assert!(!whole(&plan, &rows, State::Complete).contains("Partial"));
    }
}
