//! Features that are kept change nothing but the time that epochs take; views are what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::features::Batches;
use crate::metrics::MetricSums;
use crate::network::Freeze;

const FROZEN: [&str; 3] =
    ["model.freeze=backbone", "training.num_epochs=4", "transforms.train.random_horizontal_flip=false"];
const OFF: &str = "training.feature_cache=off";

/// Raises the flag after so many batches, and does something after the first epoch.
struct Interrupt<'a> {
    stop: Arc<super::super::Stop>,
    batches: usize,
    after_first_epoch: &'a dyn Fn(),
}

impl Reporter for Interrupt<'_> {
    fn batches_done(&mut self, count: usize, _: Option<&MetricSums>) -> Result<(), ReportError> {
        self.batches = self.batches.saturating_sub(count);
        if self.batches == 0 {
            self.stop.store(15, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        _: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        if history.len() == 1 {
            (self.after_first_epoch)();
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Trains to the end in a run folder of its own.
fn trained(data: &Path, more: &[&str]) -> Trainer {
    trained_with(data, more, &mut NoReporter)
}

fn trained_with(data: &Path, more: &[&str], reporter: &mut dyn Reporter) -> Trainer {
    let runs = tempfile::tempdir().unwrap();
    let run = Run::claim(runs.path(), "base").unwrap();
    let mut trainer = trainer(data, &[&FROZEN[..], more].concat());
    trainer.fit(&run, reporter, &super::super::Stop::new(0)).unwrap();
    trainer
}

/// Views of training images and of validation images that are kept.
fn kept(trainer: &Trainer) -> (usize, usize) {
    trainer.kept_features()
}

fn assert_same(one: &Trainer, other: &Trainer, what: &str) {
    for ((name, a), (_, b)) in tensors(one).iter().zip(&tensors(other)) {
        assert!(a.equal(b), "{what}: {name} differs");
    }
    let metrics = |trainer: &Trainer| -> Vec<EpochMetrics> {
        let history = trainer.state.history.iter().copied();
        history.map(|metrics| EpochMetrics { wall_time: 0.0, ..metrics }).collect()
    };
    assert_eq!(metrics(one), metrics(other), "{what}");
    assert_eq!(one.state.history.len(), 4, "{what}");
}

#[test]
fn kept_features_give_the_bits_of_training_without_them() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    for more in [
        &[][..],
        &["model.freeze=until:features.2"],
        &["model.architecture=simple_cnn"],
        &["training.batch_size=4"],
        &["training.batch_size=5", "training.gradient_accumulation_steps=2"],
        &["data.sampling={name: balanced}", "data.drop_last=true", "training.batch_size=6"],
        &["data.sampling={name: shuffle, repeats: 2}", "model.unfreeze_epoch=3"],
        &["training.feature_cache={in: disk}", "data.num_workers=2"],
    ] {
        let (auto, off) = (trained(&data, more), trained(&data, &[more, &[OFF]].concat()));
        let expected = match more {
            // All layers are trained in the end.
            [.., "model.unfreeze_epoch=3"] => (0, 0),
            // A batch of one small image is convolved by another kernel: the last of nine.
            ["training.batch_size=4"] => (0, 1),
            _ => (1, 1),
        };
        assert_eq!((kept(&auto), kept(&off)), (expected, (0, 0)), "{more:?}");
        assert_same(&auto, &off, &format!("{more:?}"));
    }
}

#[test]
fn epochs_after_the_first_read_no_image() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let (stop, aside) = (Arc::new(super::super::Stop::new(0)), place.path().join("aside"));
    let after_first_epoch = || std::fs::rename(&data, &aside).unwrap();
    let mut reporter = Interrupt { stop, batches: usize::MAX, after_first_epoch: &after_first_epoch };
    let trainer = trained_with(&data, &[], &mut reporter);
    assert_eq!(trainer.state.history.len(), 4);
}

#[test]
fn an_interrupted_run_ends_like_one_that_was_not() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let random =
        "transforms.train={resize: [8, 8], random_horizontal_flip: true, random_crop: {size: 8, padding: 2}}";
    for (number, more) in [
        &[][..],
        &["training.batch_size=2", "training.feature_cache={views: 2}", random],
        &["training.batch_size=2", "training.feature_cache={views: 3, in: disk}", random],
        &["training.feature_cache={in: disk}"],
    ]
    .into_iter()
    .enumerate()
    {
        let more = [&FROZEN[..], more].concat();
        let whole = trained(&data, &more);
        // In the middle of the first features, of the first epoch, of the third.
        for batches in [2, 6, 14] {
            let runs = place.path().join(format!("runs_{number}_{batches}"));
            let run = Run::claim(&runs, "base").unwrap();
            let stop = Arc::new(super::super::Stop::new(0));
            let mut first = trainer(&data, &more);
            let mut reporter = Interrupt { stop: Arc::clone(&stop), batches, after_first_epoch: &|| {} };
            let (outcome, _) = first.fit(&run, &mut reporter, &stop).unwrap();
            assert_eq!(outcome, Outcome::Interrupted);
            let mut resumed = trainer(&data, &more);
            resumed.restore(&Checkpoint::load(&run.last_path()).unwrap(), ResumeMode::Exact).unwrap();
            resumed.fit(&run, &mut NoReporter, &super::super::Stop::new(0)).unwrap();
            assert_same(&whole, &resumed, &format!("{more:?} after {batches} batches"));
        }
    }
}

/// Features by sample: those of batches, or those that the network makes of images.
fn by_sample(trainer: &Trainer, batches: Batches) -> Vec<(usize, Tensor)> {
    let compute = &trainer.compute;
    let prefix = trainer.network.frozen_prefix([3, 8, 8], true, compute).unwrap().unwrap();
    let mut all = Vec::new();
    for batch in batches {
        let batch = batch.unwrap().batch;
        let rows = match batch.images.dim() {
            2 => batch.images,
            _ => trainer.network.features(&batch.images, &prefix, compute).unwrap(),
        };
        let rows = (0..).map(|row| rows.get(row).copy());
        all.extend(batch.indices.into_iter().zip(rows));
    }
    all
}

#[test]
fn epoch_e_shows_view_e_mod_k_in_its_own_order() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let more = [
        &FROZEN[..],
        &[
            "training.feature_cache={views: 2}",
            "transforms.train={resize: [12, 12], random_crop: 8, random_horizontal_flip: true}",
        ],
    ]
    .concat();
    let mut trainer = trainer(&data, &more);
    let stop = super::super::Stop::new(0);
    let mut views = Vec::new();
    for epoch in 0..4 {
        trainer.state.epoch = epoch;
        trainer.freeze().unwrap();
        assert!(trainer.prepare_features(&mut NoReporter, &stop).unwrap().is_some());
        let shown = by_sample(&trainer, trainer.train_batches(0).unwrap());
        let order = |of: &[(usize, Tensor)]| -> Vec<usize> { of.iter().map(|(index, _)| *index).collect() };
        let loaded = by_sample(&trainer, trainer.train_loader.epoch(epoch, 0).into());
        assert_eq!(order(&shown), order(&loaded), "epoch {epoch}");
        let view: BTreeMap<usize, Tensor> =
            by_sample(&trainer, trainer.train_loader.epoch(epoch % 2, 0).into()).into_iter().collect();
        for (index, row) in &shown {
            // The batches are others, and sums may be rounded otherwise.
            assert!(row.allclose(&view[index], 1e-4, 1e-5, false), "epoch {epoch}, sample {index}");
        }
        views.push(shown.into_iter().collect::<BTreeMap<_, _>>());
    }
    assert_eq!(kept(&trainer), (2, 1));
    assert_eq!(views[0], views[2]);
    assert_eq!(views[1], views[3]);
    assert!(views[0] != views[1]);
}

#[test]
fn a_file_of_features_serves_later_runs_and_a_damaged_one_is_made_again() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let cache = place.path().join("cache");
    let setting = format!("data.cache_dir={}", cache.display());
    let more = ["training.feature_cache={in: disk}", &setting];
    let files = || -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let paths = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        paths
            .map(|path| {
                let modified = path.metadata().unwrap().modified().unwrap();
                (path.clone(), (std::fs::read(path).unwrap(), modified))
            })
            .collect()
    };
    let first = trained(&data, &more);
    let made = files();
    assert_eq!(made.len(), 2, "one of each split: {:?}", made.keys());
    let second = trained(&data, &more);
    assert_eq!(files(), made, "they are used as they are");
    assert_same(&first, &second, "from files");
    for damage in [0usize, 1, 2] {
        for (path, (bytes, _)) in &made {
            let mut bytes = bytes.clone();
            match damage {
                0 => bytes[60] ^= 1,
                1 => bytes.truncate(100),
                _ => bytes.clear(),
            }
            std::fs::write(path, bytes).unwrap();
        }
        assert_same(&first, &trained(&data, &more), "damaged");
        let contents = |files: BTreeMap<PathBuf, (Vec<u8>, _)>| -> Vec<Vec<u8>> {
            files.into_values().map(|(bytes, _)| bytes).collect()
        };
        assert_eq!(contents(files()), contents(made.clone()), "made again");
    }
    // Other weights have files of their own.
    let other = trained(&data, &[&more[..], &["seed=7"]].concat());
    assert_eq!((kept(&other), files().len()), ((1, 1), 4));
}

#[test]
fn a_budget_that_is_too_small_is_a_warning_or_where_the_cache_is_asked_for_an_error() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    // Eleven images of 64 float32 each.
    let small = trained(&data, &["training.feature_cache={max_gb: 0.000002}"]);
    assert_eq!(kept(&small), (0, 0));
    assert_same(&small, &trained(&data, &[OFF]), "too small");
    for setting in ["mode: on", "views: 3, in: disk"] {
        let setting = format!("training.feature_cache={{{setting}, max_gb: 0.000002}}");
        let more = [&FROZEN[..], &[&setting]].concat();
        let dataset = Dataset::open(&data, &crate::dataset::OpenOptions::default()).unwrap();
        let built = Trainer::new(&config(&data, &more), &dataset, Compute::fp32(Device::Cpu), None);
        let error = built.map(drop).unwrap_err();
        assert!(error.is_usage());
        let text = error.to_string();
        assert!(text.starts_with("training.feature_cache.max_gb: ") && text.contains("KB"), "{text}");
    }
}

#[test]
fn a_network_that_cannot_be_cut_says_why_where_the_cache_is_asked_for() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let size = "transforms={train: {resize: [32, 32]}, val: {resize: [32, 32]}, test: {resize: [32, 32]}}";
    let more = ["model={architecture: googlenet, freeze: backbone}", size, "training.feature_cache=on"];
    let more = [&more, &FROZEN[1..]].concat();
    let dataset = Dataset::open(&data, &crate::dataset::OpenOptions::default()).unwrap();
    let built = Trainer::new(&config(&data, &more), &dataset, Compute::fp32(Device::Cpu), None);
    let text = built.map(drop).unwrap_err().to_string();
    assert!(text.starts_with("training.feature_cache: googlenet: its auxiliary heads"), "{text}");
}

#[test]
fn images_that_cannot_be_read_are_replaced_or_left_out_as_without_the_cache() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    for class in ["0", "1"] {
        std::fs::write(data.join("train").join(class).join("broken.png"), b"no image").unwrap();
    }
    std::fs::write(data.join("val/0/broken.png"), b"no image").unwrap();
    let skip = "data.on_error=skip";
    let (auto, off) = (trained(&data, &[skip]), trained(&data, &[skip, OFF]));
    // Validation leaves images out, which files and tables have no way to say.
    assert_eq!(kept(&auto), (1, 0));
    assert_same(&auto, &off, "skipped");
}

#[test]
fn random_transforms_keep_features_of_validation_images_alone() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let random = "transforms.train={resize: [8, 8], random_horizontal_flip: true}";
    let (auto, off) = (trained(&data, &[random]), trained(&data, &[random, OFF]));
    assert_eq!(kept(&auto), (0, 1));
    assert_same(&auto, &off, "random");
    let all = trainer(&data, &["training.num_epochs=4"]);
    assert_eq!(*all.config.model.base().unwrap().freeze_after(0), Freeze::None);
    assert_eq!(kept(&all), (0, 0));
}
