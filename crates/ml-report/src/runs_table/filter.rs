//! `val_accuracy>0.9` → a test of runs.

use std::cmp::Ordering;

use ml_data::table::printable;

use super::column::{Column, Known};
use super::value::Value;
use super::{RunRow, TableError};

/// The value of `--filter`: a column, an operator and what it is compared with.
///
/// Numbers are compared by size, texts in natural order. A run of which the value is not known, or
/// is NaN, is found by `!=` only, and by `=` with nothing behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    column: Column,
    operator: Operator,
    /// As it was written.
    operand: String,
    /// If it is one.
    number: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Without regard to case.
    Contains,
}

/// The longer ones first: `<` begins `<=`.
const OPERATORS: [(&str, Operator); 8] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

impl Filter {
    /// Reads `expression`, whose column must be one of `known`.
    ///
    /// # Errors
    /// There is no operator, the column does not exist, or it has numbers and is compared with
    /// text.
    pub fn parse(expression: &str, known: &Known) -> Result<Filter, TableError> {
        let no_filter = || TableError::NoFilter { expression: printable(expression) };
        let start = expression.find(['=', '!', '<', '>', '~']).ok_or_else(no_filter)?;
        let (name, rest) = expression.split_at(start);
        let mut found = OPERATORS.iter();
        let found = found.find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, operand) = found.ok_or_else(no_filter)?;
        let (name, operand) = (name.trim(), operand.trim());
        if name.is_empty() {
            return Err(no_filter());
        }
        let column = known.column(name, || format!("--filter `{}`", printable(expression)))?;
        let number = Value::of_operand(operand);
        let needs_none = match operator {
            Operator::Contains => true,
            Operator::Equal | Operator::NotEqual => operand.is_empty(),
            _ => false,
        };
        if column.is_numeric() && number.is_none() && !needs_none {
            return Err(TableError::NotANumber {
                expression: printable(expression),
                column: column.name().to_owned(),
                operand: printable(operand),
            });
        }
        Ok(Filter { column, operator, operand: operand.to_owned(), number })
    }

    /// Whether the run is one of those wanted.
    pub fn matches(&self, row: &RunRow) -> bool {
        let value = self.column.value(row);
        match self.operator {
            Operator::Equal => self.is_equal(&value),
            Operator::NotEqual => !self.is_equal(&value),
            Operator::Less => self.order(&value).is_some_and(Ordering::is_lt),
            Operator::LessOrEqual => self.order(&value).is_some_and(Ordering::is_le),
            Operator::Greater => self.order(&value).is_some_and(Ordering::is_gt),
            Operator::GreaterOrEqual => self.order(&value).is_some_and(Ordering::is_ge),
            Operator::Contains => {
                value.is_present() && value.exact().to_lowercase().contains(&self.operand.to_lowercase())
            }
        }
    }

    fn is_equal(&self, value: &Value) -> bool {
        match (value, &self.number) {
            _ if self.operand.is_empty() => !value.is_present() || value.exact().is_empty(),
            (Value::Text(text), _) => *text == self.operand,
            (value, Some(number)) => value.compare(number).is_some_and(Ordering::is_eq),
            _ => false,
        }
    }

    fn order(&self, value: &Value) -> Option<Ordering> {
        // A setting is a number in one run and `auto` in another; then `auto` is not compared with it.
        let as_text = self.number.is_none() || !matches!(self.column, Column::Setting(_));
        match value {
            Value::Text(_) if as_text => value.compare(&Value::Text(self.operand.clone())),
            _ => value.compare(self.number.as_ref()?),
        }
    }
}
