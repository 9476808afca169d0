//! What a run folder says of averaged weights: those of `training.ema`, epoch by epoch, and of
//! `training.swa`, validated after the last epoch.

use ml_core::config::Config;
use ml_core::run::{Run, Summary};
use serde::Deserialize;

use super::data;
use super::setup::Settings;
use crate::html::{Average, AveragePoint};

/// Columns of `metrics.csv` that are there with EMA weights.
#[derive(Deserialize)]
struct Row {
    epoch: u64,
    #[serde(default)]
    ema_val_loss: Option<f64>,
    #[serde(default)]
    ema_val_accuracy: Option<f64>,
}

/// Those that were validated.
pub fn averages(run: &Run, summary: &Summary, settings: &Settings) -> Vec<Average> {
    let Ok(config) = settings else { return Vec::new() };
    ema(run, config).into_iter().chain(swa(summary, config)).collect()
}

fn ema(run: &Run, config: &Config) -> Option<Average> {
    let ema = config.training.ema.as_ref()?;
    let rows: Vec<Row> = data::rows(&run.metrics_path()).ok()?;
    let point = |row: Row| AveragePoint {
        epoch: row.epoch,
        val_loss: row.ema_val_loss.unwrap_or(f64::NAN),
        val_accuracy: row.ema_val_accuracy.unwrap_or(f64::NAN),
    };
    let points: Vec<AveragePoint> = rows.into_iter().map(point).collect();
    let is_monitored = config.training.monitor().metric.name().starts_with("ema_");
    let note = if is_monitored { "They choose the best epoch." } else { "" };
    (!points.is_empty()).then(|| Average {
        name: "EMA".to_owned(),
        of: format!("after every step, decay {}", ema.decay),
        points,
        note: note.to_owned(),
    })
}

fn swa(summary: &Summary, config: &Config) -> Option<Average> {
    let (swa, found) = (config.training.swa.as_ref()?, summary.swa?);
    let first = swa.first_epoch(config.training.num_epochs);
    let point = |epoch| AveragePoint { epoch, val_loss: found.val_loss, val_accuracy: found.val_accuracy };
    let epochs = if found.n_averaged == 1 { "epoch" } else { "epochs" };
    let note = match summary.best_epoch {
        _ if found.is_best => "best.pt is this average.".to_owned(),
        Some(best) => format!("best.pt is epoch {best}, which is better."),
        None => String::new(),
    };
    Some(Average {
        name: "SWA".to_owned(),
        of: format!("at the end of {} {epochs}, from epoch {first} on", found.n_averaged),
        // A line over the epochs that it is of.
        points: [first.min(summary.epochs), summary.epochs].map(point).to_vec(),
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::summary;
    use super::*;

    fn config(training: &str) -> Config {
        let text = format!("{{training: {training}}}");
        let base = Some((text.as_str(), ml_core::config::Source::Run));
        ml_core::config::resolve(base, &[], &|_| Ok(None)).unwrap().config
    }

    #[test]
    fn an_average_says_what_it_is_of_and_whether_it_was_taken() {
        let place = tempfile::tempdir().unwrap();
        let run = Run::claim(place.path(), "run").unwrap();
        let rows = "epoch,val_loss,ema_val_loss,ema_val_accuracy\n1,1.0,0.5,0.75\n2,0.9,,0.8\n";
        std::fs::write(run.metrics_path(), rows).unwrap();
        let swa = serde_json::json!({
            "n_averaged": 2, "val_loss": 0.25, "val_accuracy": 0.9, "val_top5_accuracy": 1.0, "is_best": true,
        });
        let of = summary(serde_json::json!({"epochs": 4, "swa": swa}));
        let settings = Ok(config("{num_epochs: 4, ema: {decay: 0.99}, swa: {start: 0.5}}"));
        let found = averages(&run, &of, &settings);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].of.as_str()), ("EMA", "after every step, decay 0.99"));
        assert_eq!((found[0].points[0].val_loss, found[0].points[1].val_accuracy), (0.5, 0.8));
        assert!(found[0].points[1].val_loss.is_nan());
        assert_eq!(found[1].of, "at the end of 2 epochs, from epoch 3 on");
        assert_eq!(found[1].note, "best.pt is this average.");
        let epochs: Vec<u64> = found[1].points.iter().map(|point| point.epoch).collect();
        assert_eq!(epochs, [3, 4]);
        // Without either, and of a run that has not come to its end.
        assert!(averages(&run, &of, &Ok(config("{num_epochs: 4}"))).is_empty());
        let early = summary(serde_json::json!({"epochs": 1}));
        assert!(averages(&run, &early, &Ok(config("{num_epochs: 4, swa: {start: 0.5}}"))).is_empty());
    }
}
