//! The output of commands: tables, trees and replies for people, JSON for scripts.

pub mod color;
pub mod machine;
pub mod progress;
pub mod replies;
pub mod table;
pub mod time;
pub mod tree;
pub mod v0;

/// How tables, trees and replies are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Draw borders with box-drawing characters, not ASCII.
    pub utf8: bool,
    pub color: bool,
}

impl Style {
    /// ASCII without colours if `pastable`, otherwise unchanged.
    pub fn pastable(self, pastable: bool) -> Style {
        if pastable { Style::default() } else { self }
    }
}
