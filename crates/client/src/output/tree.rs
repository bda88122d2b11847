//! LINSTOR's trees: each node has a name, a description in brackets, and children below.

use serde_json::{Value, json};

use super::Style;
use super::color::Color;

/// A node of a tree and all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub name: String,
    pub description: String,
    /// The colour of the name.
    pub color: Color,
    pub children: Vec<Tree>,
}

impl Tree {
    /// A tree without children.
    pub fn new(name: &str, description: &str, color: Color) -> Self {
        Tree {
            name: name.to_owned(),
            description: description.to_owned(),
            color,
            children: Vec::new(),
        }
    }

    /// The child of this name; added if there is none.
    pub fn child(&mut self, name: &str, description: &str, color: Color) -> &mut Tree {
        let known = self.children.iter().position(|child| child.name == name);
        let at = known.unwrap_or_else(|| {
            self.children.push(Tree::new(name, description, color));
            self.children.len() - 1
        });
        &mut self.children[at]
    }

    /// The tree as text, with a newline after every line.
    pub fn render(&self, style: Style) -> String {
        let mut out = String::new();
        self.draw(&mut out, "", "", style);
        out
    }

    fn draw(&self, out: &mut String, marker: &str, below: &str, style: Style) {
        let name = self.color.paint(&self.name, style.color);
        out.push_str(&format!("{marker}{name} ({})\n", self.description));
        let (side, fork, end) = if style.utf8 {
            ("   │", "   ├───", "   └───")
        } else {
            ("   |", "   |---", "   +---")
        };
        for (index, child) in self.children.iter().enumerate() {
            let is_last = index + 1 == self.children.len();
            out.push_str(&format!("{below}{side}\n"));
            let marker = format!("{below}{}", if is_last { end } else { fork });
            let below = format!("{below}{}", if is_last { "    " } else { side });
            child.draw(out, &marker, &below, style);
        }
    }

    /// The tree for scripts.
    pub fn to_json(&self) -> Value {
        let children: Vec<Value> = self.children.iter().map(Tree::to_json).collect();
        json!({"name": self.name, "description": self.description, "children": children})
    }
}
