//! The page about scale says what its own inputs give.

#[path = "../examples/capacity/model.rs"]
mod model;

use model::{Inputs, control, fleet, parts, tables};

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scale.md");
    std::fs::read_to_string(path).expect("the page is in the repository")
}

fn inputs() -> Inputs {
    Inputs::from_page(&page()).expect("the page has a table of inputs")
}

#[test]
fn the_tables_of_the_page_are_computed_from_its_inputs() {
    let page = page();
    let (_, written, _) = parts(&page).expect("the page has the markers");
    let computed = tables(&inputs()).expect("every input is there and used");
    assert_eq!(
        written, computed,
        "docs/scale.md is stale: cargo run --release -p sofia-operator --example capacity -- --update"
    );
}

#[test]
fn a_data_plane_that_costs_half_needs_half_the_cores_and_no_other_switches() {
    let (now, cpu) = (inputs(), 0.2);
    let dear = fleet(&now.with("dataplane_cpu", cpu), 100_000.0).expect("all inputs are there");
    let cheap = fleet(&now.with("dataplane_cpu", cpu / 2.0), 100_000.0).expect("all inputs are there");
    assert!((dear.data_plane_cores / cheap.data_plane_cores - 2.0).abs() < 1e-9);
    assert!((dear.free_switch_nodes - cheap.free_switch_nodes).abs() < 1e-9);
    assert!(cheap.data_plane_nodes < dear.data_plane_nodes);
}

#[test]
fn as_many_calls_in_more_trunks_are_more_work_for_the_operator() {
    let inputs = inputs();
    let [few, many] = [10.0, 1_000.0].map(|trunks| control(&inputs, 100_000.0, trunks).expect("all inputs are there"));
    assert!(many.pods >= few.pods && many.objects > few.objects && many.cpu > few.cpu && many.memory > few.memory);
    assert!((few.answers - many.answers).abs() < 1e-9, "the calls are as many");
}

#[test]
fn an_input_that_is_missing_or_not_used_or_no_number_is_said() {
    let page = page();
    let without: String = page
        .lines()
        .filter(|line| !line.starts_with("| `dataplane_cpu`"))
        .fold(String::new(), |all, line| all + line + "\n");
    let missing = Inputs::from_page(&without).and_then(|inputs| tables(&inputs));
    assert_eq!(missing, Err("the input dataplane_cpu is missing".to_owned()));
    let unused = tables(&inputs().with("moon_phase", 1.0));
    assert_eq!(unused, Err("nothing is computed from moon_phase".to_owned()));
    let broken = page.replacen("| `dataplane_cpu` | ", "| `dataplane_cpu` | some ", 1);
    assert!(Inputs::from_page(&broken).is_err_and(|wrong| wrong.starts_with("expected a number for dataplane_cpu")));
}
