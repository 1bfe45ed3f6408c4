//! What was measured, as one table of goals and further tables beneath it, for the terminal and as Markdown. Knows nothing of
//! what the figures mean.

use std::fmt::Write;

/// How a figure stands to its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Reached.
    Met,
    /// Not reached.
    Missed,
    /// Not measured well enough to say, or there is no goal.
    Open,
}

impl Verdict {
    /// By a condition.
    pub(crate) const fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::Missed => "NO",
            Self::Open => "–",
        }
    }
}

/// A goal and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) goal: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
    pub(crate) how: String,
}

/// A plain table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// What a reader must know of it.
    pub(crate) note: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, note: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title: title.to_owned(), note: note.to_owned(), head, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

/// Everything that a run found out.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Machine, date and the like, one a line.
    pub(crate) circumstances: Vec<String>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) tables: Vec<Table>,
}

impl Report {
    pub(crate) fn goal(
        &mut self,
        what: impl Into<String>,
        goal: impl Into<String>,
        measured: impl Into<String>,
        verdict: Verdict,
        how: impl Into<String>,
    ) {
        let (what, goal, measured, how) = (what.into(), goal.into(), measured.into(), how.into());
        self.goals.push(Goal { what, goal, measured, verdict, how });
    }

    fn summary(&self) -> Table {
        let mut table = Table::new("Goals", "", &["what", "goal", "measured", "met", "how"]);
        for Goal { what, goal, measured, verdict, how } in &self.goals {
            table.row([what, goal, measured, verdict.word(), how]);
        }
        table
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("# Measured\n\n");
        for line in &self.circumstances {
            let _ = writeln!(out, "- {line}");
        }
        for table in [self.summary()].iter().chain(&self.tables) {
            let _ = writeln!(out, "\n## {}\n", table.title);
            if !table.note.is_empty() {
                let _ = writeln!(out, "{}\n", table.note);
            }
            let line = |cells: &[String]| {
                let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                format!("| {} |\n", cells.join(" | "))
            };
            out.push_str(&line(&table.head));
            out.push_str(&format!("|{}\n", "---|".repeat(table.head.len())));
            table.rows.iter().for_each(|row| out.push_str(&line(row)));
        }
        out
    }

    /// For a terminal: columns in line, the last one as long as it is.
    pub(crate) fn text(&self) -> String {
        let mut out = self.circumstances.join("\n");
        out.push('\n');
        for table in self.tables.iter().chain([&self.summary()]) {
            let _ = write!(out, "\n{}\n", table.title);
            if !table.note.is_empty() {
                let _ = writeln!(out, "{}", table.note);
            }
            let rows = || [&table.head].into_iter().chain(&table.rows);
            let width = |column: usize| {
                rows().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            };
            let widths: Vec<usize> = (0..table.head.len()).map(width).collect();
            for row in rows() {
                let mut line = String::from(" ");
                for (cell, width) in row.iter().zip(&widths) {
                    let _ = write!(line, " {cell:<width$} ");
                }
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_as_loud_as_a_met_one() {
        let mut report = Report::default();
        report.goal("cost | call", "≤ 1", "2", Verdict::of(2 <= 1), "counted");
        let markdown = report.markdown();
        assert!(markdown.contains("| cost \\| call | ≤ 1 | 2 | NO | counted |"), "{markdown}");
        assert!(report.text().contains("NO"));
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_head() {
        let mut report = Report::default();
        let mut table = Table::new("t", "n", &["a", "b"]);
        table.row(["1", "2"]);
        report.tables.push(table);
        assert!(report.markdown().contains("| a | b |\n|---|---|\n| 1 | 2 |\n"));
    }
}
