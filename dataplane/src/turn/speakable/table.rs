//! Tables, read as a person would: each row by itself, each cell with its column's head.

use super::{is_spoken, one_line, spoken_lines};

/// Most columns whose heads are kept.
const MAX_COLUMNS: usize = 24;
/// Characters of a head that are said with each cell.
const MAX_HEAD_CHARS: usize = 60;

/// The table that is being read, if there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    heads: Vec<String>,
    /// A row that may turn out to hold the heads.
    first: Option<Vec<String>>,
    /// There was a row before.
    begun: bool,
}

impl Table {
    /// Takes the next row, without its line break, and gives what is to be said.
    pub(super) fn row(&mut self, line: &str) -> String {
        let cells = cells(line);
        let dashes = |cell: &String| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':' | '='));
        if !cells.is_empty() && cells.iter().all(dashes) {
            if let Some(heads) = self.first.take() {
                self.heads = heads
                    .into_iter()
                    .take(MAX_COLUMNS)
                    .map(|head| head.chars().take(MAX_HEAD_CHARS).collect())
                    .collect();
            }
            return String::new();
        }
        let cells: Vec<String> = cells.iter().map(|cell| one_line(&spoken_lines(cell))).collect();
        if !self.begun {
            self.begun = true;
            self.first = Some(cells);
            return String::new();
        }
        let before = self.first.take().map(|first| said(&[], &first)).unwrap_or_default();
        let row = said(&self.heads, &cells);
        if before.is_empty() { row } else { format!("{before}\n{row}") }
    }

    /// The table is over: gives what is still to be said of it.
    pub(super) fn leave(&mut self) -> String {
        let Some(first) = std::mem::take(self).first else { return String::new() };
        let row = said(&[], &first);
        if row.is_empty() { row } else { row + "\n" }
    }
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in line.chars() {
        match c {
            '|' if !escaped => cells.push(String::new()),
            c => cells.iter_mut().last().into_iter().for_each(|cell| cell.push(c)),
        }
        escaped = c == '\\' && !escaped;
    }
    if cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    cells.iter().map(|cell| cell.replace("\\|", " ").trim().to_owned()).collect()
}

fn said(heads: &[String], cells: &[String]) -> String {
    let mut row = String::new();
    for (column, cell) in cells.iter().enumerate().filter(|(_, cell)| is_spoken(cell)) {
        if !row.is_empty() {
            row.push_str(", ");
        }
        if let Some(head) = heads.get(column).filter(|head| is_spoken(head)) {
            row.push_str(head.trim_end_matches([':', '.']));
            row.push_str(": ");
        }
        row.push_str(cell.trim_end_matches('.'));
    }
    if !row.is_empty() && !row.ends_with(['!', '?', '。', '！', '？']) {
        row.push('.');
    }
    row
}
