//! Runs that cannot be compared: each error says what is wrong and what to do.

use super::*;

fn error(runs: &[&Run], options: &Options) -> String {
    compare_all(runs, options).unwrap_err().to_string()
}

fn with_split(split: &str) -> Options {
    Options { split: Some(split.to_owned()), ..Options::default() }
}

#[test]
fn fewer_than_two_runs_or_one_twice() {
    let place = Place::new();
    let one = place.run("one", "data", &FIRST);
    assert!(error(&[&one], &Options::default()).contains("two or more"));
    fs::create_dir(place.path("other")).unwrap();
    let again = Run::open(&place.path("other/../one")).unwrap();
    assert!(error(&[&one, &again], &Options::default()).contains("are the same run"));
}

#[test]
fn a_run_without_predictions_is_named_with_the_command_that_makes_them() {
    let place = Place::new();
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "data", &SECOND));
    fs::remove_file(two.report_dir().join("predictions_test.csv")).unwrap();
    let found = error(&[&one, &two], &Options::default());
    let command = format!("ml-inference --checkpoint {} --split test", two.folder().display());
    assert!(found.contains("predictions_test.csv") && found.contains(&command), "{found}");
    let found = error(&[&one, &two], &with_split("val"));
    assert!(found.contains("one: ") && found.contains("--split val"), "{found}");
    assert!(error(&[&one, &two], &with_split("../x")).contains("is no split"));
}

#[test]
fn the_validation_split_is_taken_where_a_run_has_no_test_split() {
    let place = Place::new();
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "data", &SECOND));
    let data = place.path("data").to_string_lossy().into_owned();
    for ending in ["csv", "json"] {
        let stem = if ending == "csv" { "predictions" } else { "classification_report" };
        let of = |split: &str| two.report_dir().join(format!("{stem}_{split}.{ending}"));
        fs::rename(of("test"), of("train")).unwrap();
    }
    let found = error(&[&one, &two], &Options::default());
    assert!(found.contains("one has test") && found.contains("two has train"), "{found}");
    for run in [&one, &two] {
        evaluate(run.folder(), "val", &data, &["cat", "dog"], &FIRST[..3]);
    }
    let found = compare_all(&[&one, &two], &Options::default()).unwrap();
    let metrics = found.runs[0].metrics.present().unwrap();
    assert_eq!((metrics.split.as_str(), metrics.images), ("val", 3));
}

#[test]
fn different_classes_are_named() {
    let place = Place::new();
    let one = place.run("one", "data", &FIRST);
    let two = place.run_of("two", "data", &["cat", "dog", "e\x1bmu"], &SECOND);
    let found = error(&[&one, &two], &Options::default());
    assert!(found.contains("only two has `e\\u{1b}mu`") && !found.contains("only one"), "{found}");
}

#[test]
fn a_damaged_table_of_predictions_is_reported_with_its_line() {
    let place = Place::new();
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "data", &SECOND));
    let path = two.report_dir().join("predictions_test.csv");
    let good = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let cases = [
        // Cut within a row, and between rows.
        (good[..good.len() - 10].to_owned(), "line: 5"),
        (lines[..4].join("\n"), "do not add up"),
        (String::new(), "do not add up"),
        (good.replace("a.png", "b.png"), "line 5: `b.png` is listed twice"),
        (good.replace("c.png,dog,dog", "c.png,dog,emu"), "line 3: `emu` is not a class"),
        (good.replace("c.png,dog,dog,0.8,true", "c.png,dog,dog,0.8,false"), "line 3: `correct` is false"),
        (good.replace("0.8", "much"), "line: 3"),
        (good.replace("label", "class"), "missing field `label`"),
        // Another evaluation of as many images.
        (good.replace("d.png,dog", "d.png,cat").replace("0.9,true", "0.9,false"), "do not add up"),
    ];
    for (text, part) in cases {
        fs::write(&path, &text).unwrap();
        let found = error(&[&one, &two], &Options::default());
        assert!(found.contains(part) && found.contains("predictions_test.csv"), "{found}");
        assert!(found.contains("Evaluate the run again: ml-inference"), "{found}");
    }
    fs::write(&path, b"path,label\n\xff,x\n").unwrap();
    assert!(error(&[&one, &two], &Options::default()).contains("line 2"));
}

#[test]
fn what_another_version_wrote_is_read_or_refused_with_the_version() {
    let place = Place::new();
    let (one, two) = (place.run("one", "data", &FIRST), place.run("two", "data", &SECOND));
    // Before there were margins and roots.
    let (csv, json) = ("predictions_test.csv", "classification_report_test.json");
    for (file, from, to) in [(csv, ",margin", ""), (csv, ",0.5\n", "\n"), (json, "\"root\"", "\"place\"")] {
        let path = two.report_dir().join(file);
        let text = fs::read_to_string(&path).unwrap().replace(from, to);
        fs::write(&path, text).unwrap();
    }
    assert!(compare_all(&[&one, &two], &Options::default()).is_ok());
    fs::write(two.config_path(), "unknown: 1\n").unwrap();
    let found = error(&[&one, &two], &Options::default());
    assert!(found.contains("two: The configuration cannot be read") && found.contains("0.0.9"), "{found}");
    fs::write(two.report_dir().join(json), "{\"split\": \"test\"").unwrap();
    fs::write(two.config_path(), "seed: 1\n").unwrap();
    let found = error(&[&one, &two], &Options::default());
    assert!(found.contains(json) && found.contains("Evaluate the run again"), "{found}");
    fs::write(two.summary_path(), "status: [").unwrap();
    assert!(error(&[&one, &two], &Options::default()).contains("summary.yaml"));
}
