//! Classes of several runs → one numbering: that of the first run, by name. The order may differ
//! between runs, the classes may not.

use std::collections::HashMap;

use ml_data::table::printable;
use ml_data::text::listed;

use super::error::ComparisonError;
use super::inputs::Input;
use crate::run_report::EvaluationFile;

/// Classes that a message names.
const SHOWN: usize = 5;

/// Numbers the classes in all rows as the first run does; their names.
///
/// # Errors
/// A run lacks a class that the first has, or has another.
pub(super) fn unify(inputs: &mut [Input]) -> Result<Vec<String>, ComparisonError> {
    let Some((first, others)) = inputs.split_first_mut() else { return Ok(Vec::new()) };
    let names: Vec<String> = first.evaluation.classes.iter().map(|of| of.class.clone()).collect();
    let numbers: HashMap<&str, usize> =
        names.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
    for other in others {
        let of_first: Vec<usize> =
            of(&other.evaluation).filter_map(|name| numbers.get(name).copied()).collect();
        if of_first.len() != names.len() || other.evaluation.classes.len() != names.len() {
            return Err(different(first, other));
        }
        for row in &mut other.rows {
            row.label = of_first[row.label];
            row.prediction = of_first[row.prediction];
        }
    }
    Ok(names)
}

fn of(evaluation: &EvaluationFile) -> impl Iterator<Item = &str> {
    evaluation.classes.iter().map(|of| of.class.as_str())
}

fn different(first: &Input, second: &Input) -> ComparisonError {
    let only = |one: &Input, other: &Input| {
        let known: std::collections::HashSet<&str> = of(&other.evaluation).collect();
        let only = of(&one.evaluation).filter(|name| !known.contains(name));
        let only: Vec<String> = only.map(|name| format!("`{}`", printable(name))).collect();
        (!only.is_empty()).then(|| format!("only {} has {}", one.name, listed(&only, SHOWN)))
    };
    let differences: Vec<String> = [only(first, second), only(second, first)].into_iter().flatten().collect();
    ComparisonError::Classes {
        first: first.name.clone(),
        second: second.name.clone(),
        differences: differences.join(", "),
    }
}
