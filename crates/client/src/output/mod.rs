//! What the person or the script sees: tables, replies, JSON.

pub mod color;
pub mod machine;
pub mod replies;
pub mod table;
pub mod time;
pub mod tree;
pub mod v0;

/// How output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Box-drawing characters in tables.
    pub utf8: bool,
    /// Colours.
    pub color: bool,
}

impl Look {
    /// How tables look that shall be pasted somewhere else.
    pub fn pastable(self, pastable: bool) -> Look {
        if pastable { Look::default() } else { self }
    }
}
