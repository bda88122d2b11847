//! The cluster as data: what should be (rows in a [`Model`]), what nodes said ([`observed`]), and the pure functions
//! between them: placement, numbers, sizes, properties, phases, and the projection on one node.
//!
//! Nothing here does I/O or knows a clock: time and randomness are passed in. Reading order: [`name`], [`row`],
//! [`model`], [`draft`], [`observed`], [`project`], [`phase`].

pub mod draft;
pub mod model;
pub mod name;
pub mod numbers;
pub mod observed;
pub mod phase;
pub mod place;
pub mod project;
pub mod props;
pub mod quorum;
pub mod replica;
pub mod row;
pub mod sizing;
pub mod space;
pub mod stack;

pub use draft::Draft;
pub use model::Model;
pub use observed::Observed;
