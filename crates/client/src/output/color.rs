//! Colours of the terminal, as LINSTOR uses them.

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// All is well, in headings.
    DarkGreen,
    /// Something is being resized.
    DarkPink,
    /// Something is wrong.
    Red,
    /// All is well.
    Green,
    /// Something is not as it should be.
    Yellow,
    /// For your information.
    Blue,
    /// A storage pool in a tree.
    Pink,
}

impl Color {
    const fn code(self) -> &'static str {
        match self {
            Color::DarkGreen => "\x1b[0;32m",
            Color::DarkPink => "\x1b[0;35m",
            Color::Red => "\x1b[1;31m",
            Color::Green => "\x1b[1;32m",
            Color::Yellow => "\x1b[1;33m",
            Color::Blue => "\x1b[1;34m",
            Color::Pink => "\x1b[1;35m",
        }
    }

    /// The text in this colour, if there are colours.
    pub fn paint(self, text: &str, enabled: bool) -> String {
        if enabled {
            format!("{}{text}\x1b[0m", self.code())
        } else {
            text.to_owned()
        }
    }
}
