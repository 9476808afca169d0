//! What is wrong with a configuration, collected rather than stopping at the first.

/// Violations so far, each with the key that it is about, relative to the struct that is checked.
///
/// ```
/// # use ml_data::violations::Violations;
/// let (lr, mut violations) = (-1.0, Violations::default());
/// violations.check("lr", lr > 0.0, || format!("must be positive, got {lr}"));
/// let mut all = Violations::default();
/// all.section("optimizer", violations);
/// assert_eq!(Vec::from(all), [("optimizer.lr".to_owned(), "must be positive, got -1".to_owned())]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Notes `message` under `key` unless the condition holds.
    pub fn check(&mut self, key: &str, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.add(key, message());
        }
    }

    /// Notes `message` under `key`.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push((key.to_owned(), message.into()));
    }

    /// Takes in those of a part, under its name: `lr` of `optimizer` is `optimizer.lr`.
    pub fn section(&mut self, name: &str, part: impl IntoIterator<Item = (String, String)>) {
        self.0.extend(part.into_iter().map(|(key, message)| (format!("{name}.{key}"), message)));
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Violations {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Violations> for Vec<(String, String)> {
    fn from(violations: Violations) -> Self {
        violations.0
    }
}
