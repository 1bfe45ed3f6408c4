//! A day, drawn for a terminal.

use std::fmt;

use crate::cluster::STEP_SECONDS;
use crate::day::Picture;

/// Columns of the drawing: a quarter of an hour each.
const COLUMNS: usize = 96;
/// Rows of the drawing.
const ROWS: u32 = 16;

impl fmt::Display for Picture {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draw(out)?;
        let hours = |pods: &[u32]| pods.iter().copied().map(f64::from).sum::<f64>() * STEP_SECONDS as f64 / 3600.0;
        let (pods, ideal, asked) = (hours(&self.pods), hours(&self.ideal), hours(&self.asked));
        let unscaled = self.unscaled as f64 * 24.0;
        let most = |numbers: &[u32]| numbers.iter().copied().max().unwrap_or(0);
        let above = |more: f64, less: f64| format!("{:+.1} %", (more / less.max(1.0) - 1.0) * 100.0);
        let tally = &self.tally;
        writeln!(out, "calls answered             {:>12}   at most {} at a time", tally.answered, most(&self.calls))?;
        writeln!(out, "calls cut                  {:>12}", tally.cut)?;
        writeln!(out, "pods ended before their time {:>10}", tally.ended_early)?;
        let share = tally.refused as f64 / (tally.answered + tally.refused).max(1) as f64;
        writeln!(
            out,
            "calls refused              {:>12}   {:.4} %: no pod of the trunk had room",
            tally.refused,
            share * 100.0
        )?;
        writeln!(out, "calls handed over          {:>12}   at the end of a drain's ten minutes", tally.handed_over)?;
        writeln!(
            out,
            "scaled up / down           {:>12}   / {}, in {} decisions",
            self.raised, self.lowered, self.decisions
        )?;
        let minutes = tally.longest_node_drain as f64 * STEP_SECONDS as f64 / 60.0;
        writeln!(out, "longest drain of a node    {minutes:>12.1}   minutes")?;
        writeln!(out, "pod-hours                  {pods:>12.0}   at most {} pods", most(&self.pods))?;
        writeln!(
            out,
            "  ideal                    {ideal:>12.0}   calls / target, rounded up; the waste is {}",
            above(pods, ideal)
        )?;
        writeln!(
            out,
            "  asked for                {asked:>12.0}   with the least number and the buffer; above that {}",
            above(pods, asked)
        )?;
        writeln!(out, "  without any scaling      {unscaled:>12.0}   {}", above(unscaled, pods))
    }
}

impl Picture {
    /// The pods over the day: what would do, what was asked for, what there was.
    fn draw(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = |numbers: &[u32]| -> Vec<u32> {
            let width = numbers.len().div_ceil(COLUMNS).max(1);
            let mean =
                |part: &[u32]| part.iter().map(|&number| u64::from(number)).sum::<u64>() / part.len().max(1) as u64;
            numbers.chunks(width).map(|part| u32::try_from(mean(part)).unwrap_or(u32::MAX)).collect()
        };
        let (pods, asked, ideal) = (columns(&self.pods), columns(&self.asked), columns(&self.ideal));
        let top = pods.iter().copied().max().unwrap_or(0).max(1);
        writeln!(
            out,
            "pods over the day: █ ideal (calls / target)   ▒ asked for (least number, buffer)   · there (starting, window, draining)"
        )?;
        for row in (0..ROWS).rev() {
            let line: String = (0..pods.len())
                .map(|column| {
                    let reaches = |numbers: &[u32]| {
                        u64::from(numbers[column]) * u64::from(ROWS) > u64::from(row) * u64::from(top)
                    };
                    match (reaches(&ideal), reaches(&asked), reaches(&pods)) {
                        (true, ..) => '█',
                        (_, true, _) => '▒',
                        (_, _, true) => '·',
                        _ => ' ',
                    }
                })
                .collect();
            writeln!(out, "{:>6} │{line}", u64::from(top) * u64::from(row + 1) / u64::from(ROWS))?;
        }
        writeln!(out, "       └{}", "───┬".repeat(COLUMNS / 4))?;
        let hours: String = (1..=24).map(|hour| format!("{hour:>4}")).collect();
        writeln!(out, "        {hours} h")?;
        writeln!(out)
    }
}
