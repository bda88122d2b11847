//! LINSTOR's trees: a name, a description in brackets, branches below.

use serde_json::{Value, json};

use super::Look;
use super::color::Color;

/// A tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The name's colour.
    pub color: Color,
    /// Its branches.
    pub children: Vec<Tree>,
}

impl Tree {
    /// A tree without branches.
    pub fn new(name: &str, description: &str, color: Color) -> Self {
        Tree {
            name: name.to_owned(),
            description: description.to_owned(),
            color,
            children: Vec::new(),
        }
    }

    /// The branch of this name, made if there is none.
    pub fn child(&mut self, name: &str, description: &str, color: Color) -> &mut Tree {
        let known = self.children.iter().position(|child| child.name == name);
        let at = known.unwrap_or_else(|| {
            self.children.push(Tree::new(name, description, color));
            self.children.len() - 1
        });
        &mut self.children[at]
    }

    /// The tree as text, with a newline after every line.
    pub fn render(&self, look: Look) -> String {
        let mut out = String::new();
        self.draw(&mut out, "", "", look);
        out
    }

    fn draw(&self, out: &mut String, marker: &str, below: &str, look: Look) {
        let name = self.color.paint(&self.name, look.color);
        out.push_str(&format!("{marker}{name} ({})\n", self.description));
        let (side, fork, end) = if look.utf8 {
            ("   │", "   ├───", "   └───")
        } else {
            ("   |", "   |---", "   +---")
        };
        for (index, child) in self.children.iter().enumerate() {
            let is_last = index + 1 == self.children.len();
            out.push_str(&format!("{below}{side}\n"));
            let marker = format!("{below}{}", if is_last { end } else { fork });
            let below = format!("{below}{}", if is_last { "    " } else { side });
            child.draw(out, &marker, &below, look);
        }
    }

    /// The tree for scripts.
    pub fn to_json(&self) -> Value {
        let children: Vec<Value> = self.children.iter().map(Tree::to_json).collect();
        json!({"name": self.name, "description": self.description, "children": children})
    }
}
