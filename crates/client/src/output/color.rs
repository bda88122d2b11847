//! Terminal colours, used as LINSTOR's command line uses them.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Normal state, in columns.
    DarkGreen,
    /// Incomplete.
    DarkBlue,
    /// Resizing.
    DarkPink,
    /// Error.
    Red,
    /// Normal state, in cells.
    Green,
    /// Warning, or a state that is not final.
    Yellow,
    /// Information.
    Blue,
    /// Storage pool in a tree.
    Pink,
}

impl Color {
    const fn code(self) -> &'static str {
        match self {
            Color::DarkGreen => "\x1b[0;32m",
            Color::DarkBlue => "\x1b[0;34m",
            Color::DarkPink => "\x1b[0;35m",
            Color::Red => "\x1b[1;31m",
            Color::Green => "\x1b[1;32m",
            Color::Yellow => "\x1b[1;33m",
            Color::Blue => "\x1b[1;34m",
            Color::Pink => "\x1b[1;35m",
        }
    }

    /// The text in this colour; unchanged if colours are disabled.
    pub fn paint(self, text: &str, enabled: bool) -> String {
        if enabled {
            format!("{}{text}\x1b[0m", self.code())
        } else {
            text.to_owned()
        }
    }
}
