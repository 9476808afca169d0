//! The average of the last epochs: the same however often a run is interrupted, and judged once.

use super::*;

const SWA: [&str; 5] = [
    "training.swa={start: 0.25, lr: 0.005, anneal_epochs: 2}",
    "training.num_epochs=4",
    "training.checkpoint.monitor=val_loss",
    "training.ema=null",
    "data.drop_last=true",
];

/// Named tensors as they are now.
fn copied(state: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    state.into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

#[test]
fn an_interrupted_average_is_that_of_a_run_that_was_not() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let stop = super::super::Stop::new(0);
    let whole = Run::claim(&place.path().join("runs"), "whole").unwrap();
    let mut once = trainer(&data, &SWA);
    assert_eq!(once.fit(&whole, &mut NoReporter, &stop).unwrap().0, Outcome::Completed);
    let outcome = once.state.swa.unwrap();
    assert_eq!(outcome.n_averaged, 3);
    assert!(outcome.val_loss.is_finite());

    let cut = Run::claim(&place.path().join("runs"), "cut").unwrap();
    let mut resumed = trainer(&data, &SWA);
    let mut times = 0;
    // After each epoch, the last included: then the average is still to be finished.
    while resumed.fit(&cut, &mut Prune, &stop).unwrap().0 == Outcome::Interrupted {
        times += 1;
        resumed = trainer(&data, &SWA);
        resumed.restore(&Checkpoint::load(&cut.last_path()).unwrap(), ResumeMode::Exact).unwrap();
    }
    assert_eq!(times, 4);
    assert_eq!(resumed.state.swa, once.state.swa);
    let average = |trainer: &Trainer| copied(trainer.swa.as_ref().unwrap().network().state_dict());
    assert_eq!(average(&resumed), average(&once));
    for (one, other) in [(whole.swa_path(), cut.swa_path()), (whole.best_path(), cut.best_path())] {
        let [one, other] = [one, other].map(|path| Checkpoint::load(&path).unwrap());
        assert_eq!(one.model_state_dict, other.model_state_dict);
        assert_eq!(one.average, other.average);
    }
    // The average itself is no state of a training.
    let error = trainer(&data, &SWA)
        .restore(&Checkpoint::load(&whole.swa_path()).unwrap(), ResumeMode::Exact)
        .unwrap_err();
    assert!(error.to_string().contains("an average of weights (swa)"), "{error}");
}

#[test]
fn the_average_is_the_mean_of_the_epochs_and_its_learning_rate_is_reached() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let run = Run::claim(&place.path().join("runs"), "base").unwrap();
    let stop = super::super::Stop::new(0);
    let mut trainer = trainer(&data, &SWA);
    let mut weights = Vec::new();
    let name = "classifier.weight";
    let find = |state: Vec<(String, Tensor)>| {
        copied(state).into_iter().filter(|(known, _)| known == name).map(|(_, tensor)| tensor).next().unwrap()
    };
    for epoch in 1..=4 {
        assert_eq!(trainer.fit(&run, &mut Prune, &stop).unwrap().0, Outcome::Interrupted);
        assert_eq!(trainer.state.epoch, epoch);
        weights.push(find(trainer.network.state_dict()));
    }
    assert_eq!(trainer.fit(&run, &mut NoReporter, &stop).unwrap().0, Outcome::Completed);
    let lrs: Vec<f64> = trainer.state.history.iter().map(|epoch| epoch.lr).collect();
    for (lr, expected) in lrs.iter().zip([0.01, 0.01, 0.0075, 0.005]) {
        assert!((lr - expected).abs() < 1e-12, "{lrs:?}");
    }
    let mean = (&weights[1] + &weights[2] + &weights[3]) / 3.0;
    let average = find(trainer.swa.as_ref().unwrap().network().state_dict());
    // The running mean rounds at each epoch.
    assert!((mean - average).abs().max().double_value(&[]) < 1e-6);
    let saved = Checkpoint::load(&run.swa_path()).unwrap();
    let batches = saved.model_state_dict.iter().find(|(name, _)| name.ends_with("num_batches_tracked"));
    assert_eq!(batches.unwrap().1.int64_value(&[]), 3, "one pass over nine images in batches of three");
}

#[test]
fn the_better_of_the_average_and_the_best_epoch_is_best_and_a_longer_run_takes_the_epoch_again() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let run = Run::claim(&place.path().join("runs"), "base").unwrap();
    let stop = super::super::Stop::new(0);
    let mut trainer = trainer(&data, &SWA);
    trainer.fit(&run, &mut NoReporter, &stop).unwrap();
    let swa = trainer.state.swa.unwrap();
    let best = trainer.state.best().unwrap();
    assert_eq!(swa.is_best, swa.val_loss < best.value);
    let file = Checkpoint::load(&run.best_path()).unwrap();
    assert_eq!(file.average.as_deref(), swa.is_best.then_some("swa"));
    assert_eq!(run.best_epoch_path().exists(), swa.is_best);
    // Whichever it was, the average can be taken and given back.
    run.take_average().unwrap();
    run.take_average().unwrap();
    assert_eq!(Checkpoint::load(&run.best_path()).unwrap().average.as_deref(), Some("swa"));
    run.take_best_epoch().unwrap();
    run.take_best_epoch().unwrap();
    let back = Checkpoint::load(&run.best_path()).unwrap();
    assert_eq!((back.average, back.epoch), (None, best.epoch));
    assert!(!run.best_epoch_path().exists());

    let longer: Vec<&str> = SWA
        .iter()
        .map(|set| if set.contains("num_epochs") { "training.num_epochs=6" } else { *set })
        .collect();
    let mut longer = super::trainer(&data, &longer);
    longer.restore(&Checkpoint::load(&run.last_path()).unwrap(), ResumeMode::Exact).unwrap();
    assert_eq!((longer.state.swa, longer.outcome()), (None, None));
    assert_eq!(longer.fit(&run, &mut NoReporter, &stop).unwrap().0, Outcome::Completed);
    assert_eq!(longer.state.swa.unwrap().n_averaged, 5, "it goes on from the epochs before");
}

#[test]
fn a_run_without_averaging_has_no_state_of_it() {
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let config = config(&data, &[]);
    assert!(config.training.swa.is_none());
    let trainer = trainer(&data, &[]);
    let state = trainer.snapshot().unwrap();
    assert!(state.swa.is_none() && state.swa_state_dict.is_none() && state.average.is_none());
}
