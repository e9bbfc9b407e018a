//! The table of verdicts as a picture and as a page, to be looked at and to be filed.
//!
//! What a cell says is a letter as well as a colour. The page needs nothing from any network.

use std::fmt::Write as _;

use crate::decide::Decider;
use crate::matrix::{Cell, Matrix};
use crate::request::Party;
use crate::rule::{Kind, Verdict};

const SIDE: usize = 46;
const LEFT: usize = 150;
const TOP: usize = 120;
const GAP: usize = 40;

fn escape(text: &str) -> String {
    text.chars()
        .map(crate::diagnostic::visible)
        .fold(String::new(), |mut out, character| {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                other => out.push(other),
            }
            out
        })
}

/// Colour, letter and words of a cell.
fn look(cell: &Cell) -> (&'static str, String, String) {
    let (colour, letter) = match cell.best {
        Verdict::Deny => ("#eceff1", "–"),
        Verdict::Ask => ("#ffe082", "?"),
        Verdict::Allow => ("#a5d6a7", "✓"),
    };
    let star = if cell.best == cell.worst { "" } else { "*" };
    let mut words = format!("{} {} → {}: {}", cell.kind, cell.from, cell.to, cell.best);
    if cell.best != cell.worst {
        words.push_str(", where conditions hold");
    }
    if cell.redirects {
        words.push_str(", some to another zone instead");
    }
    (
        colour,
        format!("{letter}{star}{}", if cell.redirects { "›" } else { "" }),
        words,
    )
}

impl Matrix {
    /// The kinds in which something can cross.
    fn open_kinds(&self) -> Vec<Kind> {
        let open = |kind: &Kind| {
            self.cells
                .iter()
                .any(|cell| cell.kind == *kind && cell.best != Verdict::Deny)
        };
        self.kinds.iter().copied().filter(open).collect()
    }

    /// One grid for each kind in which something can cross, as an SVG picture.
    pub fn svg(&self) -> String {
        let mut body = String::new();
        let (mut height, mut width) = (20, 400);
        for kind in self.open_kinds() {
            let (grid, grid_width, grid_height) = self.grid(kind, height);
            body.push_str(&grid);
            height += grid_height + GAP;
            width = width.max(grid_width);
        }
        let mut svg = String::new();
        let title = escape(&self.file);
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n<title>Flows of {title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}"
        );
        if body.is_empty() {
            let _ = writeln!(
                svg,
                "<text x=\"20\" y=\"16\">Nothing crosses: every flow is denied.</text>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, kind: Kind, top: usize) -> (String, usize, usize) {
        let (senders, receivers) = self.ends(kind);
        let colour = |party: &Party| {
            self.zones
                .iter()
                .find(|(zone, _, _)| zone == party)
                .map_or_else(|| "#455a64".to_owned(), |(_, _, colour)| colour.to_string())
        };
        let mut grid = String::new();
        let _ = writeln!(
            grid,
            "<text x=\"10\" y=\"{}\" font-size=\"18\" font-weight=\"bold\">{kind}</text>",
            top + 20
        );
        for (column, to) in receivers.iter().enumerate() {
            let x = LEFT + column * SIDE + SIDE / 2;
            let y = top + TOP - 14;
            let _ = writeln!(
                grid,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"6\" fill=\"{}\"/>",
                x - SIDE / 2 + 2,
                y + 5,
                SIDE - 4,
                colour(to)
            );
            let _ = writeln!(
                grid,
                "<text x=\"{x}\" y=\"{y}\" transform=\"rotate(-45 {x} {y})\">{}</text>",
                escape(to.as_str())
            );
        }
        for (row, from) in senders.iter().enumerate() {
            let y = top + TOP + row * SIDE;
            let _ = writeln!(
                grid,
                "<rect x=\"{}\" y=\"{}\" width=\"6\" height=\"{}\" fill=\"{}\"/>",
                LEFT - 9,
                y + 2,
                SIDE - 4,
                colour(from)
            );
            let _ = writeln!(
                grid,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                LEFT - 14,
                y + SIDE / 2 + 4,
                escape(from.as_str())
            );
            for (column, to) in receivers.iter().enumerate() {
                let x = LEFT + column * SIDE;
                let Some(cell) = self.cell(kind, from, to) else {
                    continue;
                };
                let (fill, letter, words) = look(cell);
                let _ = writeln!(
                    grid,
                    "<g><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{letter}</text></g>",
                    escape(&words),
                    x + 1,
                    y + 1,
                    SIDE - 2,
                    SIDE - 2,
                    x + SIDE / 2,
                    y + SIDE / 2 + 5,
                );
            }
        }
        (
            grid,
            LEFT + receivers.len() * SIDE + 60,
            TOP + senders.len() * SIDE,
        )
    }

    /// The picture with a list of what can cross and by which rules, as an HTML page.
    pub fn html(&self, decider: &Decider) -> String {
        let mut page = String::new();
        let file = escape(&self.file);
        let _ = write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Flows of {file}</title>\n<style>body{{font-family:sans-serif;margin:2em}}table{{border-collapse:collapse}}td,th{{border:1px solid #b0bec5;padding:.3em .6em;text-align:left;vertical-align:top}}</style>\n</head>\n<body>\n<h1>Flows of {file}</h1>\n<p>sha256:{}</p>\n<p>Rows send, columns receive. ✓ allow, ? ask, – deny; * where conditions decide, › where it goes to another zone instead.</p>\n{}<h2>What can cross</h2>\n<table>\n<tr><th>kind</th><th>from</th><th>to</th><th>verdict</th><th>rules</th></tr>\n",
            self.hash,
            self.svg(),
        );
        for cell in self.cells.iter().filter(|cell| cell.best != Verdict::Deny) {
            let rules: Vec<String> = cell
                .rules
                .iter()
                .filter_map(|id| decider.rule(*id))
                .map(|rule| {
                    escape(&format!(
                        "{} “{}” (line {})",
                        rule.verdict, rule.name, rule.line
                    ))
                })
                .collect();
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                cell.kind,
                cell.from,
                cell.to,
                escape(&cell.mark()),
                rules.join("<br>")
            );
        }
        page.push_str("</table>\n</body>\n</html>\n");
        page
    }
}
