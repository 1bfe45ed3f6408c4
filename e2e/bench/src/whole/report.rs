//! What the whole came to, as goals and tables. Measures nothing.

use super::Measured;
use super::callers;
use super::figures::bound;
use super::load::Load;
use super::neighbour::Neighbour;
use super::overload::Overload;
use super::saturation::Saturation;
use super::setup::Setups;
use crate::table::{Report, Table, Verdict};
use crate::timing::quantile;

/// Adds everything to the report.
pub(super) fn add(report: &mut Report, measured: &Measured) {
    goals(report, measured);
    tables(report, measured);
}

/// Nothing reached with less than the goal asks for is the goal, and what is missed with less is missed.
fn at_least(had: usize, wanted: usize, met: bool) -> Verdict {
    if met && had < wanted { Verdict::Open } else { Verdict::of(met) }
}

fn goals(report: &mut Report, measured: &Measured) {
    let Measured { setups, loads, takeover, overload, neighbour, .. } = measured;
    if let Some(most) = loads.last() {
        let remark = if most.is_limited_by_its_generator() { "; the load itself was at its limit" } else { "" };
        let lost = most.unsent + most.missed;
        let whole = |calls: usize| loads.iter().find(|load| load.calls == calls).unwrap_or(most);
        report.goal(
            "CPU a call, % of a core",
            "≤ 0.10",
            format!("{:.3} at {} calls", most.cpu, most.calls),
            // A process that has all of its core and leaves packets out does not do a call's work for what it uses.
            Verdict::of(most.cpu <= 0.10 && lost == 0.0),
            format!(
                "process time by the kernel over {:.0} s: PCMU both ways, turns, barge-in, mock; SiphonAI publishes 0.54, FreeSWITCH's \
                 echo 0.33{remark}",
                most.window_s()
            ),
        );
        report.goal(
            "packets lost or late by the engine",
            "0 at 1,000 calls on one core",
            format!(
                "{} lost, {:.0} left out of {}; {:.0} of the callers' too late; {} calls",
                most.sum.lost, most.unsent, most.sum.packets, most.missed, most.calls
            ),
            at_least(most.calls, 1_000, most.sum.lost == 0 && lost == 0.0 && most.sum.answered == most.calls),
            format!(
                "sequence numbers missing at the callers, packet times without a packet, packets that the pod took too late{remark}; \
                 SiphonAI publishes 0 of 11.4 M"
            ),
        );
        report.goal(
            "pacing error p99, ms",
            "≤ 2 at 1,000 calls",
            format!("{} at {} calls", bound(most.pacing.bound_ms(0.99)), most.calls),
            at_least(most.calls, 1_000, most.pacing.bound_ms(0.99) <= 2.0),
            "each packet against its due time, the pod's histogram",
        );
        let mut first = most.first_packet_ms.clone();
        report.goal(
            "backend's first audio → first packet p95, ms",
            "≤ 3",
            format!("< {:.0} at {} calls", quantile(&mut first, 0.95) + 1.0, most.calls),
            Verdict::of(quantile(&mut first, 0.95) + 1.0 <= 3.0),
            format!("{} turns in the pod's log, whole milliseconds; SiphonAI publishes 19", first.len()),
        );
        let turns = whole(500);
        report.goal(
            "turn overhead p95, ms",
            "≤ 40 at 500 calls",
            format!("{:.0} at {} calls", turns.overhead(0.95), turns.calls),
            at_least(turns.calls, 500, turns.overhead(0.95) <= 40.0),
            format!(
                "{} turns in the pod's log: total less 800 ms of endpointing and the mock's delays",
                turns.overhead_ms.len()
            ),
        );
        let mut over = turns.talked_over_ms();
        report.goal(
            "barge-in p95, ms",
            "≤ 150",
            format!("{:.0} (p50 {:.0}) at {} calls", quantile(&mut over, 0.95), quantile(&mut over, 0.5), turns.calls),
            Verdict::of(quantile(&mut over, 0.95) <= 150.0),
            format!("{} interruptions heard: caller's first packet to the agent's last at full volume", over.len()),
        );
        report.goal(
            "memory a call, MB",
            "≤ 0.15",
            format!("{:.3} at {} calls", most.rss_mb, most.calls),
            Verdict::of(most.rss_mb <= 0.15),
            "resident set with the calls less that without, a call; SiphonAI publishes 0.43",
        );
    }
    if let Some(fastest) = setups.last() {
        report.goal(
            "set-up p99, ms",
            "≤ 2 at 200 a second",
            format!("{} at {} a second", bound(fastest.own.bound_ms(0.99)), fastest.rate),
            at_least(fastest.rate, 200, fastest.own.bound_ms(0.99) <= 2.0),
            format!(
                "{:.0} calls, ESL accepted to answer sent, the pod's histogram; SiphonAI publishes p95 0.5 at 75",
                fastest.own.count()
            ),
        );
    }
    if let Some(takeover) = takeover {
        report.goal(
            "takeover after a pod is killed: silence p95, ms",
            "≤ 200, the conversation goes on",
            format!("{:.0}; {} of {} went on", takeover.silence_p95_ms, takeover.continued, takeover.calls),
            Verdict::of(takeover.silence_p95_ms <= 200.0 && takeover.continued == takeover.calls),
            "SIGKILL under all calls at once; longest time without a packet at the caller; both pods on one core",
        );
    }
    report.goal(
        "overload: 150 % of the permits' calls offered",
        "the admitted keep their quality, the rest are refused at once, the next is let in at once",
        format!(
            "{} lost, {:.0} missed by {} callers, {:.0} of theirs missed; {} refused, p99 {:.0} ms; the next in after {}",
            overload.sum.lost,
            overload.pace.missed,
            overload.sum.answered,
            overload.missed,
            overload.refused,
            overload.turned_away_ms(0.99),
            overload.recovered_ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0} ms"))
        ),
        Verdict::of(overload.kept() && overload.let_in == 0 && overload.recovered_ms.is_some()),
        format!(
            "{} permits, half as many callers too many at any time; from dialling to the final response, the dialplan's three attempts \
             included",
            overload.permits
        ),
    );
    if let Some(neighbour) = neighbour {
        report.goal(
            "a neighbour takes the core",
            "set-ups are refused before callers miss 1 % of the packets, no call is cut",
            neighbour.words(),
            Verdict::of(neighbour.refuses_first()),
            format!(
                "busy processes pinned beside the pod with {} calls, up to {} of them; new calls at 10 a second; taken again {} after the last \
                 ended",
                neighbour.calls,
                neighbour.steps.last().map_or(0, |step| step.neighbours),
                neighbour.recovered_ms.map_or_else(|| "not".to_owned(), |ms| format!("{:.1} s", ms / 1e3))
            ),
        );
    }
}

fn tables(report: &mut Report, measured: &Measured) {
    let Measured { setups, loads, takeover, overload, neighbour, saturation } = measured;
    let mut table = Table::new(
        "Calls that talk",
        "The real process on one core, the load on another; both send over loopback, where the sender pays for the delivery. Callers speak \
         recorded speech by the clock: greeting, turns, barge-in on every long reply. Process times are the kernel's. Turn overhead and \
         first packet are of the pod's own log; pacing is its histogram (bucket bounds), and on the wire what callers saw.",
        &Load::HEAD,
    );
    loads.iter().for_each(|load| table.row(load.cells()));
    add_filled(report, table);
    let mut table = Table::new(
        "Barge-in, by what is said",
        "All crowds together: how soon speech is recognised depends on its first sound.",
        &["said", "heard", "p50 ms", "p95 ms"],
    );
    for (clip, name) in callers::SAID.iter().enumerate().filter(|_| !loads.is_empty()) {
        let all = loads.iter().flat_map(|load| &load.sum.talked_over);
        let mut over: Vec<f64> = all.filter(|(said, _)| *said == clip).map(|(_, ms)| *ms).collect();
        let figure = |over: &mut [f64], at| match quantile(over, at) {
            none if none.is_nan() => "–".to_owned(),
            ms => format!("{ms:.0}"),
        };
        table.row([(*name).to_owned(), over.len().to_string(), figure(&mut over, 0.5), figure(&mut over, 0.95)]);
    }
    add_filled(report, table);
    let mut table = Table::new(
        "Set-up",
        "Calls of 1.5 s. Own: ESL accepted to answer sent, bucket bounds. Seen by the switch: the same from outside, with the load's own \
         delays.",
        &Setups::HEAD,
    );
    setups.iter().for_each(|setups| table.row(setups.cells()));
    add_filled(report, table);
    let mut table = Table::new(
        "Takeover",
        "One of two pods is killed under all calls at once.",
        &["calls", "went on", "silence p50 / p95 ms"],
    );
    if let Some(takeover) = takeover {
        table.row([
            takeover.calls.to_string(),
            takeover.continued.to_string(),
            format!("{:.0} / {:.0}", takeover.silence_p50_ms, takeover.silence_p95_ms),
        ]);
    }
    add_filled(report, table);
    let mut table = Table::new(
        "Overload",
        "150 % of the permits' calls. Pacing, losses and misses are those of the calls that are up, while the others are turned away. Missed is \
         what left later than the 40 ms that jitter buffers behind the pod hold, or not at all. A pod without a permit closes its port: the \
         switch is turned away before the pod could count it.",
        &Overload::HEAD,
    );
    table.row(overload.cells());
    report.tables.push(table);
    if let Some(saturation) = saturation {
        let mut table = Table::new(
            "As many as it takes",
            "Permits for all: what keeps calls away is load (one call more would take more than 90 % of the core, or of the media thread's \
             time) and what callers miss (1 % of five seconds' packets). Those who are turned away don't call again; the switch asks three \
             times a call.",
            &Saturation::HEAD,
        );
        table.row(saturation.cells());
        report.tables.push(table);
    }
    if let Some(neighbour) = neighbour {
        let mut table = Table::new(
            "A neighbour on the data plane's core",
            &format!(
                "{} calls talk while more and more processes want the same core, as nice as the pod; five seconds a step. New calls are \
                 turned away for load, and for what callers miss: packets that left later than 40 ms, or not at all. A pod that waits for \
                 its core shows no load: a neighbour is seen by what is missed. Lateness alone keeps nobody away.",
                neighbour.calls
            ),
            &Neighbour::HEAD,
        );
        neighbour.rows().for_each(|row| table.row(row));
        report.tables.push(table);
    }
}

/// Adds a table, if there is anything in it.
fn add_filled(report: &mut Report, table: Table) {
    if !table.rows.is_empty() {
        report.tables.push(table);
    }
}
