use std::path::Path;

use super::survey::Spread;
use super::*;
use crate::network::Architecture;
use choose::{Geometry, Optimizer, choose};
use ml_data::dataset::Task;
use ml_data::transform::crop_loss::CropLoss;
use ml_data::transform::{Channels, Depth, Size};

fn spread(min: u32, median: u32, max: u32) -> Spread {
    Spread { min, median, max }
}

/// Images of `sides` pixels (least, median, most), as many in each class as `train` says.
fn figures(sides: [u32; 3], train: &[usize]) -> Survey {
    let [min, median, max] = sides;
    let sides = spread(min, median, max);
    Survey {
        data_dir: "data".to_owned(),
        fold: None,
        classes: (0..train.len()).map(|class| format!("class {class}")).collect(),
        task: Task::SingleLabel,
        images: [train.iter().sum(), 2 * train.len(), 0],
        counts: [train.to_vec(), vec![2; train.len()], vec![0; train.len()]],
        looked_at: 100,
        unreadable: 0,
        first_unreadable: None,
        height: sides,
        width: sides,
        shorter: sides,
        longer: sides,
        crop_loss: CropLoss::default(),
        mean_pixels: f64::from(median).powi(2),
        decoded: 100,
        is_grey: false,
        deep: None,
    }
}

#[test]
fn known_data_sets_get_what_people_train_them_with() {
    // MNIST.
    let mnist = Survey { is_grey: true, ..figures([28; 3], &[6000; 10]) };
    let choices = choose(&mnist, false);
    let size = Size { height: 28, width: 28 };
    assert_eq!(choices.geometry, Geometry::Small { size, padding: 4, enlarged: false });
    assert_eq!((choices.channels, choices.flip), (Channels::One, false));
    assert_eq!((choices.architecture, choices.batch_size), (Architecture::SimpleCnn, 128));
    assert_eq!(choices.num_epochs, 30);
    // CIFAR-10.
    let choices = choose(&figures([32; 3], &[5000; 10]), true);
    let size = Size { height: 32, width: 32 };
    assert_eq!(choices.geometry, Geometry::Small { size, padding: 4, enlarged: false });
    assert_eq!((choices.channels, choices.flip, choices.batch_size), (Channels::Three, true, 512));
    // Photographs of flowers.
    let choices = choose(&figures([240, 500, 1200], &[700; 5]), true);
    assert_eq!(choices.geometry, Geometry::Photograph { side: 224, resize: 256 });
    assert_eq!((choices.architecture, choices.batch_size), (Architecture::Resnet18, 64));
    assert_eq!(choices.optimizer, Optimizer::Sgd { lr: 0.025, weight_decay: 0.0005 });
    assert_eq!((choices.num_epochs, choices.warmup_epochs), (100, 5));
    // STL-10: not enlarged.
    assert_eq!(
        choose(&figures([96; 3], &[500; 10]), false).geometry,
        Geometry::Photograph { side: 96, resize: 110 }
    );
    // ImageNet: not in memory, and not a hundred epochs.
    let choices = choose(&figures([100, 375, 4000], &[1300; 1000]), true);
    assert_eq!((choices.cache, choices.num_epochs), (None, 30));
}

#[test]
fn an_epoch_never_ends_in_a_batch_of_one_image() {
    for train in 1..600 {
        let choices = choose(&figures([32; 3], &[train]), false);
        let rest = train % choices.batch_size;
        assert_eq!(choices.drop_last, rest == 1 && train > 1, "{train}");
        assert!(choices.batch_size == 8 || choices.batch_size * 20 <= train);
    }
}

#[test]
fn uneven_classes_are_told_of_and_very_uneven_ones_weighed() {
    let text = |counts: &[usize]| {
        let survey = figures([32; 3], counts);
        write::text(&survey, &choose(&survey, false), &Normalization::Later).text
    };
    assert!(!text(&[100, 50]).contains("uneven"));
    let advice = text(&[100, 30]);
    assert!(advice.contains("class 0 has 100") && advice.contains("class 1 30"), "{advice}");
    assert!(advice.contains("class_weights: none"));
    assert!(text(&[100, 10]).contains("class_weights: balanced"));
}

#[test]
fn images_of_other_than_rgb_bytes_are_kept_as_they_are() {
    for (deep, lines) in [
        ((Channels::Many(4), Depth::Sixteen), &["channels: 4", "bits: 16"][..]),
        ((Channels::Many(2), Depth::Eight), &["channels: 2"]),
        ((Channels::One, Depth::Sixteen), &["channels: 1", "bits: 16"]),
    ] {
        for sides in [[32; 3], [240, 500, 1200]] {
            let survey = Survey { deep: Some(deep), ..figures(sides, &[100, 90]) };
            let text = write::text(&survey, &choose(&survey, false), &Normalization::Constant).text;
            let resolved = config::resolve(Some((&text, Source::Run)), &[], &Origin::read);
            let train = resolved.unwrap_or_else(|error| panic!("{error}\n{text}")).config.transforms.train;
            assert_eq!((train.channels, train.bits), deep, "{text}");
            assert!(lines.iter().all(|line| text.contains(line)) && !text.contains("cache:"), "{text}");
        }
    }
}

#[test]
fn several_labels_an_image_get_the_task_and_its_loss() {
    let counts = [vec![60, 5], vec![9, 1], vec![0, 0]];
    let survey = Survey { task: Task::MultiLabel, images: [50, 10, 0], counts, ..figures([32; 3], &[60, 5]) };
    assert_eq!(survey.train(), 50, "images, not labels");
    let text = write::text(&survey, &choose(&survey, false), &Normalization::Later).text;
    for part in ["task: multi_label", "name: bce", "pos_weight: 1.0", "images: train 50, val 10"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let resolved = config::resolve(Some((&text, Source::Run)), &[], &Origin::read);
    assert_eq!(resolved.unwrap_or_else(|error| panic!("{error}\n{text}")).config.data.task, Task::MultiLabel);
}

#[test]
fn mirrored_signs_are_not_made() {
    let named = |names: &[&str]| Survey {
        classes: names.iter().map(|name| (*name).to_owned()).collect(),
        ..figures([300; 3], &vec![100; names.len()])
    };
    for signs in [&["0", "1", "12"][..], &["a", "ß", "大"], &["left hand", "none"], &["turn_Right", "stop"]]
    {
        assert!(!choose(&named(signs), true).flip, "{signs:?}");
    }
    assert!(choose(&named(&["copyright", "a"]), true).flip);
}

/// Whatever the figures and names, what is written is valid, says what was chosen, and names the
/// folder rightly.
#[test]
fn every_choice_is_a_valid_configuration_and_says_so() {
    let names = [
        "plain/folder",
        "true",
        "123",
        "#x: [",
        "a\nb: \u{2028}\u{85}\"'\\",
        " lead ",
        "日本/花 🌼",
        "~",
        "- a",
    ];
    let numbers = |count: usize| Normalize { mean: vec![0.1235; count], std: vec![0.0001; count] };
    let mut texts = 0;
    for (place, sides) in
        [[1, 1, 1], [8; 3], [15; 3], [28; 3], [64; 3], [9, 40, 70], [65; 3], [1, 90, 5000], [2000; 3]]
            .into_iter()
            .enumerate()
    {
        for counts in [&[1][..], &[9, 300], &[30_000; 2], &[2; 300]] {
            for (cuda, is_grey, odd) in
                [(false, false, 0), (true, true, 3), (true, false, 7), (false, true, 5)]
            {
                let name = names[(place + odd) % names.len()];
                let mut survey = Survey { is_grey, ..figures(sides, counts) };
                survey.data_dir = name.to_owned();
                survey.classes[0] = name.to_owned();
                survey.fold = (odd > 3).then_some(2);
                if odd == 7 {
                    survey.unreadable = 3;
                    survey.first_unreadable = Some(format!("{name}: no image\nat all: x"));
                }
                let choices = choose(&survey, cuda);
                for normalization in [
                    Normalization::Later,
                    Normalization::Constant,
                    Normalization::Computed(numbers(choices.channels.count()), 7),
                ] {
                    let text = write::text(&survey, &choices, &normalization).text;
                    let resolved = config::resolve(Some((&text, Source::Run)), &[], &Origin::read)
                        .unwrap_or_else(|error| panic!("{error}\n{text}"));
                    let config = &resolved.config;
                    assert_eq!(config.data.data_dir, Path::new(name), "{text}");
                    assert_eq!(config.data.fold, survey.fold);
                    assert_eq!(config.training.batch_size, choices.batch_size);
                    assert_eq!(config.data.drop_last, choices.drop_last);
                    assert_eq!(config.model.base().unwrap().architecture, choices.architecture);
                    assert_eq!(config.transforms.train.resize, choices.train_resize());
                    assert_eq!(config.transforms.train.random_horizontal_flip.0 > 0.0, choices.flip);
                    assert_eq!(config.needs_statistics(), normalization == Normalization::Later);
                    assert_eq!(config.transforms.val.normalize, config.transforms.train.normalize);
                    assert_eq!(resolved.warnings(), Vec::<String>::new(), "{text}");
                    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
                    texts += 1;
                }
            }
        }
    }
    assert_eq!(texts, 9 * 4 * 4 * 3);
}

#[test]
fn deviations_stay_above_zero_when_they_are_rounded() {
    let exact = Normalize { mean: vec![0.123_456, 0.0], std: vec![0.5, 1e-9] };
    assert_eq!(rounded(&exact), Normalize { mean: vec![0.1235, 0.0], std: vec![0.5, 0.0001] });
}

/// What is planned for the images, if the fastest network trains so many of them a second.
fn planned(survey: &Survey, speed: f64, given: &Given, level: Level) -> plan::Plan {
    let circumstances = Circumstances {
        given,
        level,
        processes: 1,
        decoding: 0.0,
        cuda: false,
        has_weights: &|_| false,
        weights_folder: "cache".to_owned(),
    };
    planner::plan(survey, &circumstances, &mut |plan| Some(speed / plan.candidate.cost))
}

#[test]
fn a_preset_takes_the_network_that_the_time_allows() {
    let cifar = figures([32; 3], &[5000; 10]);
    let limit = |seconds| Given { max_time: Some(seconds), ..Given::default() };
    for (speed, seconds, expected) in [
        (6e3, 10.0, Architecture::TinyNet),
        (6e3, 1200.0, Architecture::SimpleCnn),
        (6e5, 300.0, Architecture::Resnet9),
        (6e5, 3600.0, Architecture::Resnet18Cifar),
    ] {
        let plan = planned(&cifar, speed, &limit(seconds), Level::Balanced);
        assert_eq!(plan.candidate.architecture, expected, "{speed} {seconds}: {plan:?}");
        assert!(plan.length().contains("images a second, measured here"), "{}", plan.length());
    }
    // Too few images for a large network, whatever the time.
    let few = planned(&figures([32; 3], &[100; 10]), 6e5, &limit(3600.0), Level::Balanced);
    assert_eq!(few.candidate.architecture, Architecture::TinyNet);
    // What is given is taken.
    let given = Given { architecture: Some(Architecture::Vgg11), num_epochs: Some(7), ..Given::default() };
    let plan = planned(&cifar, 100.0, &given, Level::Best);
    assert_eq!((plan.candidate.architecture, plan.epochs), (Architecture::Vgg11, 7.0));
    // Without a limit, the levels differ in the time.
    let seconds = |level| planned(&cifar, 6e3, &Given::default(), level).seconds.unwrap();
    assert!(seconds(Level::Fast) <= 301.0 && seconds(Level::Fast) < seconds(Level::Balanced));
    assert!(seconds(Level::Balanced) <= 1801.0 && seconds(Level::Balanced) < seconds(Level::Best));
}

/// Whatever is planned, what is written is valid and gives reasons.
#[test]
fn every_plan_is_a_valid_configuration_with_reasons() {
    for (sides, counts) in [([8; 3], &[100; 10][..]), ([32; 3], &[5000; 10]), ([240, 500, 1200], &[700, 30])]
    {
        for speed in [1.0, 1e3, 1e6] {
            for level in [Level::Fast, Level::Balanced, Level::Best] {
                for max_time in [None, Some(1e-3), Some(60.0), Some(1e5)] {
                    let survey = figures(sides, counts);
                    let given = Given { max_time, ..Given::default() };
                    let plan = planned(&survey, speed, &given, level);
                    let choices = choose::choose_planned(&survey, false, plan);
                    let written = write::text(&survey, &choices, &Normalization::Later);
                    let text = &written.text;
                    let resolved = config::resolve(Some((text, Source::Run)), &[], &Origin::read)
                        .unwrap_or_else(|error| panic!("{error}\n{text}"));
                    assert_eq!(resolved.config.model.base().unwrap().architecture, choices.architecture);
                    assert_eq!(resolved.config.training.batch_size, choices.batch_size);
                    assert_eq!(resolved.warnings(), Vec::<String>::new(), "{text}");
                    for key in [
                        "model.architecture",
                        "model.weights",
                        "optimizer.name",
                        "scheduler.name",
                        "training.num_epochs",
                    ] {
                        assert!(written.reasons.iter().any(|reason| reason.path == key), "{key}: {text}");
                    }
                }
            }
        }
    }
}
