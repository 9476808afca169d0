//! Runs whose images have several labels.

use super::*;
use crate::label_report::tests::Made;

/// A run whose validation images have several labels, and `probabilities`, if given.
fn run(place: &Place, name: &str, probabilities: Option<[f32; 12]>) -> Run {
    let run = place.run(name, "data", &FIRST);
    fs::create_dir_all(place.path("data")).unwrap();
    let mut made = Made::new(&place.path("data"));
    if let Some(probabilities) = probabilities {
        made.evaluation.probabilities = probabilities.to_vec();
        made.metrics = made.evaluation.metrics(&made.thresholds, 1);
    }
    made.report().write(&run.report_dir()).unwrap();
    run
}

fn on_val() -> Options {
    Options { split: Some("val".to_owned()), ..Options::default() }
}

/// All labels of [`Made`] are right.
const RIGHT: [f32; 12] = [0.9, 0.8, 0.1, 0.1, 0.9, 0.2, 0.3, 0.1, 0.0, 0.0, 0.1, 0.9];

#[test]
fn runs_with_several_labels_are_compared_by_map() {
    let place = Place::new();
    let (one, two) = (run(&place, "one", None), run(&place, "second", Some(RIGHT)));
    let found = compare_all(&[&one, &two], &on_val()).unwrap();
    assert!(found.by_map);
    let metrics: Vec<f64> = found
        .runs
        .iter()
        .map(|run| run.metrics.present().unwrap().get(MetricKind::MeanAp).unwrap().value)
        .collect();
    let test = &tests_of(&found)[0];
    assert_eq!((test.images, test.only_first, test.only_second), (4, 0, 3));
    assert!(metrics[1] == 1.0 && metrics[0] < 1.0);
    assert!((test.difference - (metrics[1] - metrics[0])).abs() < 1e-12);
    let interval = test.interval.unwrap();
    assert!(interval.low <= test.difference && test.difference <= interval.high);
    let text = text(&found);
    assert!(text.contains("mAP of the second less that of the first") && text.contains("mAP"), "{text}");
    let page = render_comparison(&found);
    assert!(page.contains("Highest mAP") && !page.contains("Images that one gets right"));
}

#[test]
fn the_same_predictions_do_not_differ() {
    let place = Place::new();
    let (one, two) = (run(&place, "one", Some(RIGHT)), run(&place, "second", Some(RIGHT)));
    let found = compare_all(&[&one, &two], &on_val()).unwrap();
    let test = &tests_of(&found)[0];
    assert_eq!((test.difference, test.only_first, test.only_second), (0.0, 0, 0));
    assert!(text(&found).contains("the difference of mAP is not significant"));
}

#[test]
fn runs_with_one_label_and_with_several_are_not_compared() {
    let place = Place::new();
    let (one, several) = (place.run("one", "data", &SECOND), run(&place, "several", None));
    let error = compare_all(&[&one, &several], &on_val()).unwrap_err();
    assert!(error.is_usage());
    let error = error.to_string();
    assert!(error.contains("several labels") && error.contains("compare runs of one kind"), "{error}");
}
