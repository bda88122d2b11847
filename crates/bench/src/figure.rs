//! A figure: a number with its unit, its goal, and what it is relative to.

use serde::Serialize;

/// One measured number.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it should be; none for a reference.
    pub goal: Option<f64>,
    /// Whether it is.
    pub met: Option<bool>,
    /// What it means compared with something measured in the same run.
    pub relative_to: String,
}

/// Which side of the goal is good.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// The number should be at most this.
    AtMost(f64),
    /// The number should be at least this.
    AtLeast(f64),
    /// There is no goal: the number is a reference for others.
    None,
}

impl Figure {
    /// A figure, judged by its goal.
    pub fn new(
        name: &str,
        value: f64,
        unit: &'static str,
        goal: Goal,
        relative_to: String,
    ) -> Self {
        let (goal, met) = match goal {
            Goal::AtMost(limit) => (Some(limit), Some(value <= limit)),
            Goal::AtLeast(limit) => (Some(limit), Some(value >= limit)),
            Goal::None => (None, None),
        };
        Figure {
            name: name.to_owned(),
            value,
            unit,
            goal,
            met,
            relative_to,
        }
    }
}

/// Sorted samples of one measurement.
#[derive(Debug, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Sorts the samples; there is at least one.
    pub fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a measurement has samples");
        values.sort_by(f64::total_cmp);
        Samples(values)
    }

    /// The value that `percent` of the samples do not exceed.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    /// `p50 1.2, p99 3.4` in the unit of the samples.
    pub fn summary(&self) -> String {
        format!(
            "p50 {:.2}, p99 {:.2}",
            self.percentile(50.0),
            self.percentile(99.0)
        )
    }
}

/// Prints the figures as a table.
pub fn print_table(figures: &[Figure]) {
    let width = figures
        .iter()
        .map(|figure| figure.name.len())
        .max()
        .unwrap_or(0);
    println!(
        "{:width$}  {:>12} {:8} {:>10}  {:4}  relative to",
        "figure", "value", "unit", "goal", ""
    );
    for figure in figures {
        let goal = figure.goal.map_or(String::new(), |goal| format!("{goal}"));
        let met = match figure.met {
            Some(true) => "met",
            Some(false) => "MISS",
            None => "",
        };
        println!(
            "{:width$}  {:>12.2} {:8} {:>10}  {:4}  {}",
            figure.name, figure.value, figure.unit, goal, met, figure.relative_to
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Percentiles are samples, never something between them.
    #[test]
    fn percentiles_are_samples() {
        let samples = Samples::new((1..=100).rev().map(f64::from).collect());
        assert_eq!(samples.percentile(50.0), 50.0);
        assert_eq!(samples.percentile(99.0), 99.0);
        assert_eq!(Samples::new(vec![7.0]).percentile(99.0), 7.0);
    }
}
