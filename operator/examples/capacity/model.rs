//! From what one call, one pod and one trunk take to what a fleet takes. Pure; all inputs come from a table in Markdown, and each is
//! used.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet, fmt::Write as _};

const BEGIN: &str =
    "<!-- capacity: begin, written by `cargo run --release -p sofia-operator --example capacity -- --update` -->\n";
const END: &str = "<!-- capacity: end -->";
const HOURS_A_MONTH: f64 = 730.0;
/// Milliseconds of audio in a packet.
const PACKET_MS: f64 = 20.0;
/// Ports that FreeSWITCH takes for a call: RTP and RTCP of two legs.
const PORTS_PER_CALL: f64 = 4.0;

/// The inputs, by name.
#[derive(Debug)]
pub struct Inputs {
    values: BTreeMap<String, f64>,
    used: RefCell<BTreeSet<String>>,
}

impl Inputs {
    /// Those of a page: every row of a table whose first cell is a name in backticks and whose second is a number.
    pub fn from_page(page: &str) -> Result<Self, String> {
        let (before, _, _) = parts(page)?;
        let mut values = BTreeMap::new();
        for row in before.lines().filter_map(|line| line.strip_prefix("| `")) {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap_or_default().trim_end_matches('`');
            let value = cells.next().unwrap_or_default().replace(',', "");
            let value = value.parse().map_err(|_| format!("expected a number for {name}, came {value:?}"))?;
            if values.insert(name.to_owned(), value).is_some() {
                return Err(format!("{name} stands there twice"));
            }
        }
        Ok(Self { values, used: RefCell::default() })
    }

    fn get(&self, name: &str) -> Result<f64, String> {
        self.used.borrow_mut().insert(name.to_owned());
        let value = self.values.get(name).copied().ok_or_else(|| format!("the input {name} is missing"))?;
        if value > 0.0 { Ok(value) } else { Err(format!("expected more than nothing for {name}, came {value}")) }
    }

    /// Another value for one input.
    pub fn with(&self, name: &str, value: f64) -> Self {
        let mut values = self.values.clone();
        values.insert(name.to_owned(), value);
        Self { values, used: RefCell::default() }
    }

    /// Inputs that nothing is computed from.
    fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        self.values.keys().filter(|name| !used.contains(*name)).cloned().collect()
    }
}

/// What is before, between and behind the markers of a page.
pub fn parts(page: &str) -> Result<(&str, &str, &str), String> {
    let begin = page.find(BEGIN).ok_or_else(|| format!("the marker is missing: {BEGIN}"))? + BEGIN.len();
    let end = page[begin..].find(END).ok_or_else(|| format!("the marker is missing: {END}"))? + begin;
    Ok((&page[..begin], &page[begin..end], &page[end..]))
}

/// What one machine carries.
#[derive(Debug)]
pub struct Machine {
    /// Calls a core.
    pub calls_a_core: f64,
    /// Calls a node, by its scarcest part.
    pub calls: f64,
    /// Which part that is.
    pub scarce: &'static str,
    /// Packets a second, in and out.
    pub packets: f64,
    /// Megabits a second each way.
    pub megabits: f64,
}

fn least(parts: &[(f64, &'static str)]) -> (f64, &'static str) {
    parts.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
}

fn machine(inputs: &Inputs, part: &str, streams: f64, others: &[(f64, &'static str)]) -> Result<Machine, String> {
    let of_part = |name: &str| inputs.get(&format!("{part}_{name}"));
    let calls_a_core = of_part("load")? / of_part("cpu")?;
    let cores = inputs.get("node_cores")? - inputs.get("node_reserved_cores")?;
    let memory = inputs.get("node_memory")? * 1024.0 * 0.9;
    let packets_a_call = streams * 1000.0 / PACKET_MS;
    let one_way = streams / 2.0 * inputs.get("packet_bytes")? * 8.0 / PACKET_MS / 1000.0;
    let network = inputs.get("node_network")? * 1000.0;
    let mut parts = vec![
        (calls_a_core * cores, "cores"),
        (memory / of_part("memory")?, "memory"),
        (network * 0.7 / one_way, "network"),
        (inputs.get("node_packets")? / packets_a_call, "packets"),
    ];
    parts.extend(others);
    let (calls, scarce) = least(&parts);
    let calls = calls.floor();
    Ok(Machine { calls_a_core, calls, scarce, packets: calls * packets_a_call, megabits: calls * one_way })
}

fn data_plane(inputs: &Inputs) -> Result<Machine, String> {
    // One stream in, one out.
    machine(inputs, "dataplane", 2.0, &[])
}

fn free_switch(inputs: &Inputs) -> Result<Machine, String> {
    let ports = inputs.get("freeswitch_ports")? / PORTS_PER_CALL;
    let set_ups = inputs.get("freeswitch_setups")? * inputs.get("call_seconds")?;
    // The caller's leg and the pod's, each in and out.
    machine(inputs, "freeswitch", 4.0, &[(ports, "ports"), (set_ups, "set-ups")])
}

/// What a fleet for so many calls takes.
#[derive(Debug)]
pub struct Fleet {
    /// Calls that begin each second.
    pub set_ups: f64,
    /// Cores of the data plane at its load.
    pub data_plane_cores: f64,
    /// Nodes of the data plane, spare ones included.
    pub data_plane_nodes: f64,
    /// Cores of FreeSWITCH at its load.
    pub free_switch_cores: f64,
    /// Nodes of FreeSWITCH, spare ones included.
    pub free_switch_nodes: f64,
    /// Gigabytes of memory that the calls hold, of both.
    pub memory: f64,
    /// Packets a second that nodes send and receive, all together.
    pub packets: f64,
    /// Gigabits a second from and to callers, each way.
    pub outside: f64,
    /// Price of the nodes in a month.
    pub month: f64,
}

/// What so many calls take.
pub fn fleet(inputs: &Inputs, calls: f64) -> Result<Fleet, String> {
    let (pods, switches) = (data_plane(inputs)?, free_switch(inputs)?);
    let spare = 1.0 + inputs.get("spare")? / 100.0;
    let nodes = |machine: &Machine| (calls / machine.calls * spare).ceil().max(2.0);
    let (data_plane_nodes, free_switch_nodes) = (nodes(&pods), nodes(&switches));
    let one_way = inputs.get("packet_bytes")? * 8.0 / PACKET_MS / 1000.0;
    Ok(Fleet {
        set_ups: calls / inputs.get("call_seconds")?,
        data_plane_cores: calls / pods.calls_a_core,
        data_plane_nodes,
        free_switch_cores: calls / switches.calls_a_core,
        free_switch_nodes,
        memory: calls * (inputs.get("dataplane_memory")? + inputs.get("freeswitch_memory")?) / 1024.0,
        packets: calls * 6.0 * 1000.0 / PACKET_MS,
        outside: calls * one_way / 1000.0,
        month: (data_plane_nodes + free_switch_nodes) * inputs.get("node_price")? * HOURS_A_MONTH,
    })
}

/// What Kubernetes and the operator have to carry.
#[derive(Debug)]
pub struct Control {
    /// Data-plane pods.
    pub pods: f64,
    /// Pods of FreeSWITCH.
    pub switches: f64,
    /// Objects that the operator keeps, and pods.
    pub objects: f64,
    /// Megabytes in etcd.
    pub etcd: f64,
    /// Passes a second.
    pub passes: f64,
    /// Pods asked a second.
    pub asked: f64,
    /// Megabits a second of their answers.
    pub answers: f64,
    /// The operator's share of a core, percent.
    pub cpu: f64,
    /// The operator's memory at rest, megabytes.
    pub memory: f64,
    /// The most that it takes, megabytes: when all its watches begin anew.
    pub memory_peak: f64,
    /// Reads of the API server a second.
    pub reads: f64,
    /// Writes to it a second while the calls of every trunk change all the time.
    pub writes: f64,
    /// Seconds from nothing until everything exists.
    pub first: f64,
}

/// So many calls in so many trunks.
pub fn control(inputs: &Inputs, calls: f64, trunks: f64) -> Result<Control, String> {
    let a_pod = inputs.get("pod_cores")? * data_plane(inputs)?.calls_a_core;
    let a_trunk = calls / trunks;
    let pods = trunks * (a_trunk / a_pod).ceil().max(2.0);
    let switches = trunks * (a_trunk / free_switch(inputs)?.calls).ceil().max(1.0);
    let interval = inputs.get("interval_seconds")?;
    let (passes, asked) = (trunks / interval, pods / interval);
    let writes = trunks / inputs.get("status_seconds")?;
    let memory = inputs.get("operator_memory")?
        + (trunks * inputs.get("trunk_memory")? + (pods + switches) * inputs.get("pod_memory")?) / 1024.0;
    let micro = |name: &str| Ok::<_, String>(inputs.get(name)? / 1e6);
    Ok(Control {
        pods,
        switches,
        objects: trunks * inputs.get("trunk_objects")? + pods + switches,
        etcd: (trunks * inputs.get("trunk_etcd")? + (pods + switches) * inputs.get("pod_etcd")?) / 1000.0,
        passes,
        asked,
        answers: calls * inputs.get("answer_bytes")? * 8.0 / interval / 1e6,
        cpu: 100.0 * (passes * micro("pass_cpu")? + asked * micro("ask_cpu")? + writes * micro("write_cpu")?),
        memory,
        memory_peak: memory * inputs.get("memory_peak")?,
        reads: trunks * inputs.get("trunk_reads")?,
        writes,
        first: trunks * inputs.get("trunk_first_requests")? / inputs.get("api_requests")?,
    })
}

/// A number as a person would write it: three digits that count, thousands apart.
fn number(value: f64) -> String {
    if value < 10.0 && (value - value.round()).abs() > 0.05 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.round());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn row(out: &mut String, name: &str, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
}

fn head(out: &mut String, title: &str, cells: &[String]) {
    let _ = writeln!(out, "\n### {title}\n\n| | {} |\n|---|{}", cells.join(" | "), "--:|".repeat(cells.len()));
}

/// All tables, as they stand in the page.
pub fn tables(inputs: &Inputs) -> Result<String, String> {
    let mut out = String::new();
    machines(&mut out, inputs)?;
    fleets(&mut out, inputs)?;
    controls(&mut out, inputs)?;
    limits(&mut out, inputs)?;
    out.push('\n');
    let unused = inputs.unused();
    if unused.is_empty() { Ok(out) } else { Err(format!("nothing is computed from {}", unused.join(", "))) }
}

fn machines(out: &mut String, inputs: &Inputs) -> Result<(), String> {
    let all = [data_plane(inputs)?, free_switch(inputs)?];
    head(out, "What a node carries", &["data plane".to_owned(), "FreeSWITCH".to_owned()]);
    let cells = |of: fn(&Machine) -> String| all.iter().map(of);
    row(out, "calls a core", cells(|machine| number(machine.calls_a_core)));
    row(out, "calls a node", cells(|machine| number(machine.calls)));
    row(out, "what is used up first", cells(|machine| machine.scarce.to_owned()));
    row(out, "packets a second, both ways together", cells(|machine| number(machine.packets)));
    row(out, "Mbit/s each way", cells(|machine| number(machine.megabits)));
    Ok(())
}

fn fleets(out: &mut String, inputs: &Inputs) -> Result<(), String> {
    let sizes = [1_000.0, 10_000.0, inputs.get("calls")?];
    let fleets = sizes.map(|calls| fleet(inputs, calls).map(|fleet| (calls, fleet)));
    let fleets = fleets.into_iter().collect::<Result<Vec<_>, _>>()?;
    head(out, "What a fleet takes", &sizes.map(|calls| format!("{} calls", number(calls))));
    let cells = |of: fn(&(f64, Fleet)) -> String| fleets.iter().map(of);
    row(out, "calls that begin a second", cells(|(_, fleet)| number(fleet.set_ups)));
    row(out, "cores at work: data plane", cells(|(_, fleet)| number(fleet.data_plane_cores)));
    row(out, "cores at work: FreeSWITCH", cells(|(_, fleet)| number(fleet.free_switch_cores)));
    row(out, "nodes: data plane", cells(|(_, fleet)| number(fleet.data_plane_nodes)));
    row(out, "nodes: FreeSWITCH", cells(|(_, fleet)| number(fleet.free_switch_nodes)));
    row(out, "memory of the calls, GB", cells(|(_, fleet)| number(fleet.memory)));
    row(out, "packets a second, all nodes, sent and received", cells(|(_, fleet)| number(fleet.packets)));
    row(out, "Gbit/s to and from callers, each way", cells(|(_, fleet)| number(fleet.outside)));
    row(out, "nodes, a month, at the example's price", cells(|(_, fleet)| number(fleet.month)));
    row(
        out,
        "… for a thousand minutes, if always full",
        cells(|(calls, fleet)| format!("{:.3}", fleet.month / (calls * HOURS_A_MONTH * 60.0) * 1000.0)),
    );
    Ok(())
}

fn controls(out: &mut String, inputs: &Inputs) -> Result<(), String> {
    let calls = inputs.get("calls")?;
    let numbers = [1.0, 10.0, 100.0, 1_000.0, 5_000.0];
    let all = numbers.map(|trunks| control(inputs, calls, trunks)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let title = format!("What {} calls are for Kubernetes and the operator", number(calls));
    let trunks = |trunks: f64| format!("{} {}", number(trunks), if trunks > 1.0 { "trunks" } else { "trunk" });
    head(out, &title, &numbers.map(trunks));
    let cells = |of: fn(&Control) -> String| all.iter().map(of);
    row(out, "calls a trunk", numbers.map(|trunks| number(calls / trunks)));
    row(out, "data-plane pods", cells(|control| number(control.pods)));
    row(out, "FreeSWITCH pods", cells(|control| number(control.switches)));
    row(out, "objects", cells(|control| number(control.objects)));
    row(out, "etcd, MB", cells(|control| number(control.etcd)));
    row(out, "passes a second", cells(|control| number(control.passes)));
    row(out, "pods asked a second", cells(|control| number(control.asked)));
    row(out, "their answers, Mbit/s", cells(|control| number(control.answers)));
    row(out, "operator: share of a core", cells(|control| format!("{} %", number(control.cpu))));
    row(out, "operator: memory at rest, MB", cells(|control| number(control.memory)));
    row(out, "operator: memory at most, MB", cells(|control| number(control.memory_peak)));
    row(out, "reads of the API server a second", cells(|control| number(control.reads)));
    row(out, "writes a second while calls come and go", cells(|control| number(control.writes)));
    row(out, "from nothing to all objects, seconds", cells(|control| number(control.first)));
    Ok(())
}

fn limits(out: &mut String, inputs: &Inputs) -> Result<(), String> {
    // Small trunks of two pods are what costs the operator and the API server most for each call.
    let pods = 2.0;
    let small = |trunks: f64| control(inputs, trunks, trunks);
    let (one, two) = (small(1_000.0)?, small(2_000.0)?);
    let until = |limit: f64, at: fn(&Control) -> f64| {
        let a_trunk = (at(&two) - at(&one)) / 1_000.0;
        (limit - (at(&one) - 1_000.0 * a_trunk)) / a_trunk
    };
    head(out, "Where it ends, with small trunks of two pods", &["limit".to_owned(), "reached at trunks".to_owned()]);
    let mut limit = |name: &str, value: String, trunks: f64| row(out, name, [value, number(trunks.floor())]);
    let memory = inputs.get("operator_memory_limit")?;
    limit(
        "the operator's memory limit in the chart",
        format!("{} MB", number(memory)),
        until(memory, |c| c.memory_peak),
    );
    limit("one core of the operator", "100 %".to_owned(), until(100.0, |c| c.cpu));
    let writes = inputs.get("api_writes")?;
    limit("writes of statuses while calls come and go", format!("{}/s", number(writes)), until(writes, |c| c.writes));
    let etcd = inputs.get("etcd_limit")?;
    limit("etcd", format!("{} GB", number(etcd)), until(etcd * 1000.0, |c| c.etcd));
    let all = inputs.get("cluster_pods")?;
    limit("pods in a cluster", number(all), all / (pods + 1.0));
    Ok(())
}
