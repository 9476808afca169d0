//! Comparisons of small run folders; what is refused is in `refused`.

mod folders;
mod labels;
mod refused;

use std::fs;

use folders::{Place, Row, evaluate};
use ml_core::run::Run;

use super::*;
use crate::html::{MetricKind, PairedTest};

const COMMON: Options = Options { split: None, common: true, date: String::new() };

/// Right on a and c, wrong on b and d.
const FIRST: [Row; 4] = [
    ("a.png", "cat", "cat", 0.9),
    ("b.png", "cat", "dog", 0.6),
    ("c.png", "dog", "dog", 0.8),
    ("d.png", "dog", "cat", 0.7),
];
/// Right on b, c and d, in another order.
const SECOND: [Row; 4] = [
    ("d.png", "dog", "dog", 0.9),
    ("c.png", "dog", "dog", 0.8),
    ("b.png", "cat", "cat", 0.7),
    ("a.png", "cat", "dog", 0.6),
];

fn compare_all(runs: &[&Run], options: &Options) -> Result<Comparison, ComparisonError> {
    let runs: Vec<Run> = runs.iter().map(|run| (*run).clone()).collect();
    compare(&runs, options)
}

fn tests_of(comparison: &Comparison) -> &[PairedTest] {
    comparison.pairs.present().unwrap()
}

fn images(place: &Place, data: &str) {
    for (color, name) in ["a", "b", "c", "d"].iter().enumerate() {
        place.image(&format!("{data}/{name}.png"), color as u8);
    }
}

#[test]
fn runs_on_one_folder_are_compared_image_by_image_and_none_is_hashed() {
    let place = Place::new();
    let (one, two) = (place.run("one", "data", &FIRST), place.run("second", "data", &SECOND));
    let found = compare_all(&[&one, &two], &Options::default()).unwrap();
    let test = &tests_of(&found)[0];
    assert_eq!((test.runs, test.images, test.only_first, test.only_second), ((0, 1), 4, 1, 2));
    assert!(test.difference == 0.25 && (test.p_value - 1.0).abs() < 1e-12);
    let interval = test.interval.unwrap();
    assert!(interval.low <= 0.25 && 0.25 <= interval.high);
    // The images are gone: the surest mistake comes first all the same.
    let shown: Vec<&str> = test.second_right.iter().map(|one| one.image.caption.as_str()).collect();
    assert_eq!(shown, ["d.png", "b.png"]);
    assert_eq!((test.second_right[0].prediction.as_str(), test.second_right[0].probability), ("cat", 0.7));
    // As in the reports of the runs.
    let metrics = found.runs[0].metrics.present().unwrap();
    assert_eq!(metrics.get(MetricKind::Loss).unwrap().value, 0.25);
    assert_eq!(metrics.get(MetricKind::Accuracy).unwrap().interval.unwrap().high, 0.75);
    assert!(found.runs.iter().all(|run| run.curves.present().is_some() && !run.settings.is_empty()));
    assert!(found.notes.iter().all(|note| !note.contains("matched")), "{:?}", found.notes);
    assert_eq!(found.data_set, "data");
}

#[test]
fn copies_under_other_names_are_matched_by_content() {
    let place = Place::new();
    images(&place, "data");
    let names = [("x/0.png", 3u8), ("x/1.png", 2), ("y/2.png", 1), ("y/3.png", 0)];
    names.iter().for_each(|(name, color)| place.image(&format!("copy/{name}"), *color));
    let renamed: Vec<Row> =
        SECOND.iter().zip(names).map(|(row, (name, _))| (name, row.1, row.2, row.3)).collect();
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "copy", &renamed));
    let found = compare_all(&[&one, &two], &Options::default()).unwrap();
    let test = &tests_of(&found)[0];
    assert_eq!((test.images, test.only_first, test.only_second), (4, 1, 2));
    assert!(found.notes[0].contains("matched by content"), "{:?}", found.notes);
    assert_eq!(found.data_set, "data, copy");
    assert_eq!(test.first_right[0].image.caption, "y/3.png");
    assert!(test.first_right.iter().all(|example| !example.image.jpeg.is_empty()));
}

#[test]
fn different_images_are_refused_and_the_common_ones_compared_on_request() {
    let place = Place::new();
    images(&place, "data");
    place.image("data/e.png", 99);
    let rows: Vec<Row> = SECOND[..3].iter().copied().chain([("e.png", "cat", "cat", 0.9)]).collect();
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "data", &rows));
    let error = compare_all(&[&one, &two], &Options::default()).unwrap_err();
    assert!(error.is_usage());
    let said = error.to_string();
    for part in ["one has 4, two has 4", "3 are common by content, 3 by path", "--common"] {
        assert!(said.contains(part), "{said}");
    }
    let found = compare_all(&[&one, &two], &COMMON).unwrap();
    let metrics = found.runs.iter().map(|run| run.metrics.present().unwrap());
    let figures: Vec<_> = metrics
        .map(|of| (of.images, of.get(MetricKind::Accuracy).unwrap(), of.get(MetricKind::Loss)))
        .collect();
    assert!((figures[0].1.value - 1.0 / 3.0).abs() < 1e-12 && figures[1].1.value == 1.0);
    assert!(figures.iter().all(|of| of.0 == 3 && of.1.interval.is_some() && of.2.is_none()));
    assert_eq!(tests_of(&found)[0].only_second, 2);
    assert!(found.notes.iter().any(|note| note.contains("Only common images")), "{:?}", found.notes);
    let page = render_comparison(&found);
    assert!(page.contains("3 are common by content") && text(&found).contains("test split, 3 images"));

    let other = place.run("other", "data", &[("e.png", "cat", "cat", 0.9)]);
    let error = compare_all(&[&one, &other], &COMMON).unwrap_err();
    assert!(matches!(error, ComparisonError::NothingCommon { .. }), "{error}");
}

#[test]
fn files_that_are_gone_are_matched_by_path_in_one_folder_or_with_the_same_lists() {
    let place = Place::new();
    images(&place, "data");
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "gone", &SECOND));
    let found = compare_all(&[&one, &two], &Options::default()).unwrap();
    assert_eq!(tests_of(&found)[0].images, 4);
    assert!(found.notes[1].contains("matched by path: 4 of two"), "{:?}", found.notes);
    // The picture is that of the other run's folder.
    assert!(tests_of(&found)[0].first_right.iter().all(|example| !example.image.jpeg.is_empty()));

    let three = place.run("three", "gone", &SECOND[1..]);
    let error = compare_all(&[&one, &three], &Options::default()).unwrap_err().to_string();
    assert!(error.contains("no image in common") && error.contains("cannot be read: 3 of three"), "{error}");
    // In one folder, a path is an image whether it can be read or not.
    let found = compare_all(&[&two, &three], &COMMON).unwrap();
    assert_eq!(tests_of(&found)[0].images, 3);
}

#[test]
fn classes_in_another_order_are_matched_by_name() {
    let place = Place::new();
    let one = place.run("one", "data", &FIRST);
    let two = place.run_of("two", "data", &["dog", "cat"], &SECOND);
    let test = &tests_of(&compare_all(&[&one, &two], &Options::default()).unwrap())[0].clone();
    assert_eq!((test.only_first, test.only_second), (1, 2));
    assert_eq!((test.first_right[0].label.as_str(), test.first_right[0].prediction.as_str()), ("cat", "dog"));
}

#[test]
fn an_image_with_two_labels_is_reported_and_left_out_on_request() {
    let place = Place::new();
    images(&place, "data");
    let mut relabelled = SECOND;
    relabelled[3].1 = "dog";
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "data", &relabelled));
    let error = compare_all(&[&one, &two], &Options::default()).unwrap_err().to_string();
    assert!(error.contains("1 of the images") && error.contains("a.png: `cat` and `dog`"), "{error}");
    let found = compare_all(&[&one, &two], &COMMON).unwrap();
    assert_eq!(tests_of(&found)[0].images, 3);
    assert!(found.notes.iter().any(|note| note.starts_with("1 image is left out")), "{:?}", found.notes);
}

#[test]
fn more_than_four_runs_are_compared_with_the_best() {
    let place = Place::new();
    let runs: Vec<Run> = (0..5)
        .map(|run| place.run(&format!("run{run}"), "data", if run == 2 { &SECOND } else { &FIRST }))
        .collect();
    let found = compare(&runs[..4], &Options::default()).unwrap();
    assert_eq!(tests_of(&found).len(), 6);
    let found = compare(&runs, &Options::default()).unwrap();
    let pairs: Vec<_> = tests_of(&found).iter().map(|test| test.runs).collect();
    assert_eq!(pairs, [(2, 0), (2, 1), (2, 3), (2, 4)]);
    for part in ["highest accuracy on these images: run2.", "not corrected for 4 tests"] {
        assert!(text(&found).contains(part), "{}", text(&found));
    }
}

#[test]
fn the_text_says_no_more_than_the_test() {
    let place = Place::new();
    let names: Vec<String> = (0..10).map(|image| format!("{image}.png")).collect();
    let rows = |wrong: usize| -> Vec<Row> {
        let prediction = |image| if image < wrong { "dog" } else { "cat" };
        names.iter().enumerate().map(|(image, name)| (name.as_str(), "cat", prediction(image), 0.9)).collect()
    };
    let run = |name: &str, wrong| place.run(name, "data", &rows(wrong));
    let (all, most, few) = (run("every", 0), run("most", 2), run("few", 8));
    let said = |one: &Run, two: &Run| text(&compare_all(&[one, two], &Options::default()).unwrap());
    // 8 and 2 images only one gets right: p = 2 · 2^-8 and 2 · 2^-2.
    let found = said(&few, &all);
    assert!(found.contains("0.0078") && found.contains("[2] is more accurate"), "{found}");
    assert!(found.contains("optimizer.lr") && !found.contains("optimizer.name"), "{found}");
    let found = said(&all, &most);
    assert!(found.contains("0.5000") && found.contains("difference is not significant at 0.05"), "{found}");
    let again = run("again", 0);
    assert!(said(&all, &again).contains("both are right on the same images"));
}

#[test]
fn names_from_outside_do_no_harm() {
    let place = Place::new();
    let class = "<script>alert(1)</script>\x1b[31m";
    let one = place.run_of("one", "data", &["cat", class], &[("<b>.png", "cat", class, 0.9)]);
    let two = place.run_of("<i>two", "data", &["cat", class], &[("<b>.png", "cat", "cat", 0.9)]);
    let found = compare_all(&[&one, &two], &Options::default()).unwrap();
    let page = render_comparison(&found);
    assert!(page.contains("&lt;script&gt;") && page.contains("&lt;i&gt;two"));
    assert!(!page.contains("<script") && !page.contains("<i>two") && !text(&found).contains('\x1b'));
}

#[test]
fn the_page_links_to_reports_that_are_there() {
    let place = Place::new();
    let runs = [place.run("runs/one", "data", &FIRST), place.run("runs/two", "data", &SECOND)];
    fs::write(place.path("runs/two/report/report.html"), "").unwrap();
    let found = compare(&runs, &Options { date: "today".to_owned(), ..Options::default() }).unwrap();
    let path = place.path("pages/new/comparison.html");
    write(found.clone(), &runs, &path).unwrap();
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("href=\"../../runs/two/report/report.html\"") && page.contains("today"));
    assert!(!page.contains("one/report/report.html"));
    fs::create_dir(place.path("blocked")).unwrap();
    fs::write(place.path("blocked/file"), "").unwrap();
    let error = write(found, &runs, &place.path("blocked")).unwrap_err();
    assert!(matches!(error, ComparisonError::Write(_)) && !error.is_usage());
}
