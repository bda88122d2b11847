//! LINSTOR's tables: borders, a heading, rows sorted by the columns they are grouped by.

use std::cmp::Ordering;

use unicode_width::UnicodeWidthStr;

use super::Style;
use super::color::Color;
use crate::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    color: Option<Color>,
    align: Align,
}

/// A cell: text, possibly of several lines, and its colour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    color: Option<Color>,
}

impl Cell {
    /// A cell whose colour, if any, replaces that of its column.
    pub fn colored(text: impl Into<String>, color: impl Into<Option<Color>>) -> Self {
        Cell {
            text: text.into(),
            color: color.into(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::colored(text, None)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::colored(text, None)
    }
}

#[derive(Debug, Clone)]
pub struct Table {
    style: Style,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    group_by: Vec<usize>,
    /// Columns to sort by that do not exist.
    unknown: Vec<String>,
}

/// The characters that borders and rules are drawn with: left, repeated, right.
struct Borders {
    top: [&'static str; 3],
    below_heading: [&'static str; 3],
    between: [&'static str; 3],
    bottom: [&'static str; 3],
    side: &'static str,
}

const UTF8: Borders = Borders {
    top: ["╭", "─", "╮"],
    below_heading: ["╞", "═", "╡"],
    between: ["╞", "┄", "╡"],
    bottom: ["╰", "─", "╯"],
    side: "┊",
};

const ASCII: Borders = Borders {
    top: ["+", "-", "+"],
    below_heading: ["|", "=", "|"],
    between: ["|", "-", "|"],
    bottom: ["+", "-", "+"],
    side: "|",
};

impl Table {
    pub fn new(style: Style) -> Self {
        Table {
            style,
            columns: Vec::new(),
            rows: Vec::new(),
            group_by: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Adds a left-aligned column.
    pub fn column(self, name: &str) -> Self {
        self.add(name, None, Align::Left)
    }

    /// Adds a right-aligned column.
    pub fn right(self, name: &str) -> Self {
        self.add(name, None, Align::Right)
    }

    /// Adds a left-aligned column with a colour.
    pub fn colored(self, name: &str, color: Color) -> Self {
        self.add(name, Some(color), Align::Left)
    }

    /// Adds a right-aligned column with a colour.
    pub fn colored_right(self, name: &str, color: Color) -> Self {
        self.add(name, Some(color), Align::Right)
    }

    fn add(mut self, name: &str, color: Option<Color>, align: Align) -> Self {
        self.columns.push(Column {
            name: name.to_owned(),
            color,
            align,
        });
        self
    }

    /// Adds one column per property, named after its key or, if given as `key=name`, by that name.
    pub fn properties(self, show: &[String]) -> Self {
        show.iter().fold(self, |table, property| {
            let name = property.split_once('=').map_or(&**property, |(_, n)| n);
            table.column(name)
        })
    }

    /// Sorts the rows by these columns; by the first one if none is named.
    pub fn group_by(mut self, names: &[String]) -> Self {
        for name in names {
            match self.position(name) {
                Some(at) => self.group_by.push(at),
                None => self.unknown.push(name.clone()),
            }
        }
        if self.group_by.is_empty() {
            self.group_by.push(0);
        }
        self
    }

    /// The column of this name; case, blanks and underscores do not count.
    fn position(&self, name: &str) -> Option<usize> {
        let plain = |name: &str| name.replace(['_', ' '], "").to_lowercase();
        let same = |column: &Column| plain(&column.name) == plain(name);
        self.columns.iter().position(same)
    }

    /// Only these columns, in this order; all if none is named.
    pub fn select(mut self, names: &[String]) -> Result<Table, Failure> {
        let unknown = |name: &String| {
            let all: Vec<&str> = self
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            let all = all.join(", ");
            Failure::usage(format!("'{name}' is not a column; there are {all}"))
        };
        if let Some(name) = self.unknown.first() {
            return Err(unknown(name));
        }
        if names.is_empty() {
            return Ok(self);
        }
        let index = |name: &String| self.position(name).ok_or_else(|| unknown(name));
        let chosen: Vec<usize> = names.iter().map(index).collect::<Result<_, _>>()?;
        // The order of rows may depend on columns that are not drawn.
        self.sort();
        self.group_by.clear();
        self.columns = chosen.iter().map(|at| self.columns[*at].clone()).collect();
        for row in &mut self.rows {
            *row = chosen.iter().map(|at| row[*at].clone()).collect();
        }
        Ok(self)
    }

    fn sort(&mut self) {
        let group_by = std::mem::take(&mut self.group_by);
        self.rows.sort_by(|a, b| {
            let orders = group_by
                .iter()
                .map(|at| natural_order(&a[*at].text, &b[*at].text));
            orders.fold(Ordering::Equal, Ordering::then)
        });
    }

    /// Adds a row; it must have as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a cell per column");
        self.rows.push(cells);
    }

    /// The table as text, with a newline after every line.
    pub fn render(mut self) -> String {
        self.sort();
        let widths: Vec<usize> = (0..self.columns.len()).map(|c| self.width(c)).collect();
        let borders = if self.style.utf8 { UTF8 } else { ASCII };
        let inner = widths.iter().sum::<usize>() + 3 * widths.len().max(1) - 1;
        let rule =
            |[left, middle, right]: [&str; 3]| format!("{left}{}{right}\n", middle.repeat(inner));

        let heading: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::from(column.name.replace('_', " ")))
            .collect();
        let multi_line = self
            .rows
            .iter()
            .any(|row| row.iter().any(|cell| cell.text.contains('\n')));
        let mut out = rule(borders.top);
        self.draw_row(&mut out, &heading, &widths, borders.side, true);
        out.push_str(&rule(borders.below_heading));
        for (index, row) in self.rows.iter().enumerate() {
            self.draw_row(&mut out, row, &widths, borders.side, false);
            if multi_line && index + 1 < self.rows.len() {
                out.push_str(&rule(borders.between));
            }
        }
        out.push_str(&rule(borders.bottom));
        out
    }

    fn width(&self, column: usize) -> usize {
        let heading = self.columns[column].name.width();
        let cells = self.rows.iter().flat_map(|row| row[column].text.lines());
        cells.map(UnicodeWidthStr::width).fold(heading, usize::max)
    }

    fn draw_row(&self, out: &mut String, row: &[Cell], widths: &[usize], side: &str, head: bool) {
        let height = row.iter().map(|cell| cell.text.lines().count()).max();
        for line in 0..height.unwrap_or(0).max(1) {
            out.push_str(side);
            for ((cell, column), width) in row.iter().zip(&self.columns).zip(widths) {
                let text = cell.text.lines().nth(line).unwrap_or("");
                let blanks = " ".repeat(width - text.width());
                let padded = match column.align {
                    Align::Left => format!("{text}{blanks}"),
                    Align::Right => format!("{blanks}{text}"),
                };
                let color = if head {
                    None
                } else {
                    cell.color.or(column.color)
                };
                out.push(' ');
                match color {
                    Some(color) => out.push_str(&color.paint(&padded, self.style.color)),
                    None => out.push_str(&padded),
                }
                out.push(' ');
                out.push_str(side);
            }
            out.push('\n');
        }
    }
}

/// Natural order: `node2` before `node10`.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (da, db) = (digits(a), digits(b));
        let order = if da > 0 && db > 0 {
            let (na, nb) = (
                a[..da].trim_start_matches('0'),
                b[..db].trim_start_matches('0'),
            );
            (a, b) = (&a[da..], &b[db..]);
            na.len().cmp(&nb.len()).then_with(|| na.cmp(nb))
        } else {
            let (ca, cb) = (a.chars().next(), b.chars().next());
            a = &a[ca.map_or(0, char::len_utf8)..];
            b = &b[cb.map_or(0, char::len_utf8)..];
            ca.cmp(&cb)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn sample(style: Style) -> Table {
        let mut table = Table::new(style)
            .column("Node")
            .right("Size")
            .colored("Some_State", Color::DarkGreen)
            .group_by(&[]);
        table.row(vec!["node10".into(), "1 GiB".into(), "ok".into()]);
        table.row(vec![
            "node2".into(),
            "".into(),
            Cell::colored("bad", Color::Red),
        ]);
        table
    }

    /// Borders are drawn with box-drawing characters or with ASCII.
    #[test]
    fn borders_are_utf8_or_ascii() {
        let utf8 = Style {
            utf8: true,
            color: false,
        };
        expect![[r#"
            ╭─────────────────────────────╮
            ┊ Node   ┊  Size ┊ Some State ┊
            ╞═════════════════════════════╡
            ┊ node2  ┊       ┊ bad        ┊
            ┊ node10 ┊ 1 GiB ┊ ok         ┊
            ╰─────────────────────────────╯
        "#]]
        .assert_eq(&sample(utf8).render());
        expect![[r#"
            +-----------------------------+
            | Node   |  Size | Some State |
            |=============================|
            | node2  |       | bad        |
            | node10 | 1 GiB | ok         |
            +-----------------------------+
        "#]]
        .assert_eq(&sample(Style::default()).render());
    }

    /// A cell's colour takes precedence over its column's; headings have no colour.
    #[test]
    fn colors_fill_the_cell() {
        let color = Style {
            utf8: false,
            color: true,
        };
        let text = sample(color).render();
        assert!(text.contains("| Some State |"));
        assert!(text.contains("\x1b[1;31mbad       \x1b[0m |"));
        assert!(text.contains("\x1b[0;32mok        \x1b[0m |"));
    }

    /// If a row has several lines, all rows are separated by rules; wide characters count as two columns.
    #[test]
    fn lines_and_wide_characters() {
        let mut table = Table::new(Style::default()).column("A").column("B");
        table.row(vec!["1\n22".into(), "x".into()]);
        table.row(vec!["日本".into(), "y\n\nz".into()]);
        expect![[r#"
            +----------+
            | A    | B |
            |==========|
            | 1    | x |
            | 22   |   |
            |----------|
            | 日本 | y |
            |      |   |
            |      | z |
            +----------+
        "#]]
        .assert_eq(&table.render());
        expect![[r#"
            +---+
            | A |
            |===|
            +---+
        "#]]
        .assert_eq(&Table::new(Style::default()).column("A").render());
    }

    /// Numbers inside names are compared as numbers.
    #[test]
    fn order_is_natural() {
        let mut names = ["b", "a10", "a2", "a02b", "a", "", "10", "9"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["", "9", "10", "a", "a2", "a02b", "a10", "b"]);
    }
}
