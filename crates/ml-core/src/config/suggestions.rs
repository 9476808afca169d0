//! What an unknown key or name was meant to be.

/// ``unknown name `resnet81`; did you mean `resnet18`?``
pub(crate) fn unknown_name(given: &str, known: &[&str]) -> String {
    format!("unknown name `{given}`{}", meant(given, known))
}

/// ``; did you mean `lr`?``, or all that is known where nothing is near.
pub(super) fn meant(given: &str, known: &[&str]) -> String {
    let near: Vec<String> = suggestions(given, known).iter().map(|name| format!("`{name}`")).collect();
    match near.split_last() {
        None if known.len() > MANY => String::new(),
        None => format!("; known are {}", known.join(", ")),
        Some((only, [])) => format!("; did you mean {only}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

/// More names than these are not listed in an error.
const MANY: usize = 30;

/// The known names nearest to what was given, at most three, if any is near: another word for it, a
/// beginning, a misspelling.
fn suggestions<'a>(given: &str, known: &[&'a str]) -> Vec<&'a str> {
    const OTHER_WORDS: [(&str, &str); 10] = [
        ("learning_rate", "lr"),
        ("epochs", "num_epochs"),
        ("batch", "batch_size"),
        ("workers", "num_workers"),
        ("arch", "architecture"),
        ("wd", "weight_decay"),
        ("hflip", "random_horizontal_flip"),
        ("root", "data_dir"),
        ("pretrained", "weights"),
        ("smoothing", "label_smoothing"),
    ];
    let other = OTHER_WORDS.iter().find(|(word, _)| *word == given).map(|(_, name)| *name);
    if let Some(name) = known.iter().find(|name| Some(**name) == other) {
        return vec![name];
    }
    let score = |name: &str| {
        let is_beginning = given.len() > 2 && name.starts_with(given);
        strsim::jaro_winkler(given, name) + if is_beginning { 1.0 } else { 0.0 }
    };
    let is_near =
        |name: &str| score(name) > 0.8 || strsim::damerau_levenshtein(given, name) <= 2.min(given.len() / 2);
    let mut near: Vec<&str> = known.iter().copied().filter(|name| is_near(name)).collect();
    near.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let best = near.first().map_or(0.0, |name| score(name));
    near.retain(|name| best - score(name) < 0.03);
    near.truncate(3);
    near
}
