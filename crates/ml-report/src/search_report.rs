//! A search for hyperparameters → `report.html`, `trials.csv` and `best.yaml` in its folder.
//!
//! In: the [`State`] of the search and the run folders of its trials. Out: the files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ml_data::yaml::inline;
use ml_search::importance::importance;
use ml_search::{Domain, State, Status, Trial};
use serde_json::Value;

use crate::html::{Search, SearchKey, SearchTrial, render_search};
use crate::write::{ReportError, replace};

/// Where the run folders of the trials of a search are.
pub fn trials_dir(folder: &Path) -> PathBuf {
    folder.join("trials")
}

/// Writes the files of the search in `folder`; where the report is.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, state: &State) -> Result<PathBuf, ReportError> {
    let csv = folder.join("trials.csv");
    let table = table(state)
        .map_err(|error| ReportError::Write { path: csv.clone(), source: io::Error::other(error) })?;
    replace(&csv, &table)?;
    // A trial that was killed before it began has none.
    let best = state.best().and_then(|trial| Some((trial, best_config(folder, trial)?)));
    if let Some((trial, config)) = best {
        let metric = &state.settings.metric;
        let value = trial.best(metric).map_or_else(String::new, |value| value.to_string());
        let text = format!("# Trial {}: {} {value}\n{config}", trial.name(), metric.name());
        replace(&folder.join("best.yaml"), text.as_bytes())?;
    }
    let path = folder.join("report.html");
    replace(&path, render_search(&shown(folder, state)).as_bytes())?;
    Ok(path)
}

/// The complete configuration of a trial's run.
fn best_config(folder: &Path, trial: &Trial) -> Option<String> {
    fs::read_to_string(trials_dir(folder).join(trial.name()).join("config.yaml")).ok()
}

fn table(state: &State) -> csv::Result<Vec<u8>> {
    let metric = &state.settings.metric;
    let mut csv = csv::Writer::from_writer(Vec::new());
    let keys = state.settings.space.iter().map(|(key, _)| key.as_str());
    let columns = ["trial", "status", metric.name(), "epochs", "seconds"];
    csv.write_record(columns.into_iter().chain(keys).chain(["error"]))?;
    for trial in &state.trials {
        let value = trial.best(metric).map_or_else(String::new, |value| value.to_string());
        let seconds = format!("{:.1}", trial.seconds);
        let first =
            [trial.name(), trial.status.name().to_owned(), value, trial.epochs().to_string(), seconds];
        let parameters = trial.parameters.iter().map(|(_, value)| text_of(value));
        let error = trial.error.clone().unwrap_or_default();
        csv.write_record(first.into_iter().chain(parameters).chain([error]))?;
    }
    Ok(csv.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

/// Text as it is, other values as YAML on one line.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => serde_yaml::to_value(value).map_or_else(|_| value.to_string(), |value| inline(&value)),
    }
}

/// The same with few digits, to be looked at.
fn short_text_of(value: &Value) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) if number == 0.0 || (1e-3..1e5).contains(&number.abs()) => {
            let digits = (3 - number.abs().max(1e-3).log10().floor() as i32).max(0) as usize;
            let text = format!("{number:.digits$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        Some(number) => format!("{number:.3e}"),
        None => text_of(value),
    }
}

fn shown(folder: &Path, state: &State) -> Search {
    let settings = &state.settings;
    let shares = importance(state).unwrap_or_default();
    let number_of = |trial: &Trial, name: &str| trial.parameter(name).and_then(Value::as_f64);
    let key = |(name, domain): &(String, Domain)| SearchKey {
        name: name.clone(),
        importance: shares.iter().find(|(of, _)| of == name).map(|(_, share)| *share),
        numbers: (!matches!(domain, Domain::Choice(_)))
            .then(|| state.trials.iter().map(|trial| number_of(trial, name).unwrap_or(f64::NAN)).collect()),
        is_log: domain.is_log(),
    };
    let trial = |trial: &Trial| {
        let report = format!("trials/{}/report/report.html", trial.name());
        SearchTrial {
            name: trial.name(),
            link: folder.join(&report).exists().then_some(report),
            status: trial.status.name().to_owned(),
            value: trial.best(&settings.metric).filter(|_| trial.status != Status::Failed),
            epochs: trial.epochs(),
            seconds: trial.seconds,
            parameters: trial.parameters.iter().map(|(_, value)| short_text_of(value)).collect(),
            error: trial.error.clone(),
        }
    };
    let statuses = [Status::Completed, Status::Pruned, Status::Paused, Status::Running, Status::Failed];
    let counts = statuses.into_iter().map(|status| (status.name().to_owned(), state.count(status) as u64));
    let names = [serde_json::to_value(settings.sampler), serde_json::to_value(&settings.pruner)];
    let [sampler, pruner] = names.map(Result::unwrap_or_default);
    let method = format!(
        "sampler {}, pruner {}",
        sampler.as_str().unwrap_or_default(),
        pruner["name"].as_str().unwrap_or_default()
    );
    Search {
        name: folder.file_name().map_or_else(|| "search".into(), |name| name.to_string_lossy().into_owned()),
        metric: settings.metric.name().to_owned(),
        method,
        counts: counts.filter(|(_, count)| *count > 0).collect(),
        seconds: state.seconds,
        best: state.best().map(|trial| trial.number),
        trials: state.trials.iter().map(trial).collect(),
        keys: settings.space.iter().map(key).collect(),
        program: format!("ml-search {}", env!("CARGO_PKG_VERSION")),
    }
}

#[cfg(test)]
mod tests {
    use ml_search::Settings;

    use super::*;

    fn state(trials: usize) -> State {
        let text =
            "{space: {optimizer.lr: {log_uniform: [0.001, 0.1]}, model.architecture: {choice: [a<b, c]}}}";
        let mut state = State::new(Settings::parse(text).unwrap(), 3, ".".into(), None);
        for number in 0..trials {
            let parameters = vec![
                ("optimizer.lr".to_owned(), (0.001 * (number + 1) as f64 / 3.0).into()),
                ("model.architecture".to_owned(), ["a<b", "c"][number % 2].into()),
            ];
            let mut trial = Trial::new(number, parameters);
            trial.status = Status::Completed;
            trial.values = vec![Some(0.5), Some(0.5 + (number % 2) as f64 / 10.0)];
            state.trials.push(trial);
        }
        state
    }

    #[test]
    fn a_search_has_a_report_a_table_and_its_best_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("trials/0001");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("config.yaml"), "seed: 3\n").unwrap();
        let page = fs::read_to_string(write(folder.path(), &state(12)).unwrap()).unwrap();
        for part in
            ["trial 0001", "60.0", "optimizer.lr", "best so far", "a&lt;b", "12 completed", "sampler tpe"]
        {
            let plain = page.replace("<bdi>", "").replace("</bdi>", "");
            assert!(plain.contains(part), "{part} is not in the report");
        }
        assert!(!page.contains("NaN") && !page.contains("a<b"));
        let best = fs::read_to_string(folder.path().join("best.yaml")).unwrap();
        assert_eq!(best, "# Trial 0001: val_accuracy 0.6\nseed: 3\n");
        let table = fs::read_to_string(folder.path().join("trials.csv")).unwrap();
        let mut lines = table.lines();
        let header = "trial,status,val_accuracy,epochs,seconds,optimizer.lr,model.architecture,error";
        assert_eq!(lines.next(), Some(header));
        assert_eq!(lines.nth(2), Some("0002,completed,0.5,2,0.0,0.001,a<b,"));
    }

    #[test]
    fn a_search_that_has_only_begun_has_a_report() {
        let folder = tempfile::tempdir().unwrap();
        for trials in [0, 1] {
            let page = fs::read_to_string(write(folder.path(), &state(trials)).unwrap()).unwrap();
            assert!(page.contains("too few trials"));
        }
        assert!(!folder.path().join("best.yaml").exists());
    }

    #[test]
    fn numbers_are_shown_with_four_digits() {
        let shown = [0.012_345_678, 1.0e-5, 123.456_78, 0.5, 0.0].map(|number| short_text_of(&number.into()));
        assert_eq!(shown, ["0.01235", "1.000e-5", "123.5", "0.5", "0"]);
        assert_eq!(
            [Value::Null, 3.into(), "x".into()].map(|value| short_text_of(&value)),
            ["null", "3", "x"]
        );
    }
}
