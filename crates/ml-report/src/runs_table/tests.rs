//! Columns, filters, orders and outputs over a few runs, one of them hostile.

use super::*;

fn row(name: &str, val_accuracy: Option<f64>, lr: &str) -> RunRow {
    RunRow {
        name: name.into(),
        folder: format!("runs/{name}"),
        status: Some("completed".into()),
        epochs: Some(12),
        num_epochs: Some(30),
        val_accuracy,
        seed: Some(u64::MAX),
        started: Some("2026-11-29T16:07:13+00:00".into()),
        seconds: Some(7_620.0),
        bytes: Some(4_200_000_000),
        settings: [("optimizer.lr".to_owned(), lr.to_owned())].into(),
        ..RunRow::default()
    }
}

fn rows() -> Vec<RunRow> {
    vec![
        row("lr_10", Some(0.9324), "0.01"),
        row("lr_2", None, "1e-5"),
        row("diverged", Some(f64::NAN), "null"),
        row("lr_1", Some(0.5), "auto"),
        row("<b>\x1b[31m日本\n", Some(0.9324), "0.1"),
    ]
}

fn sorted(key: &str) -> Vec<String> {
    let mut rows = rows();
    Sort::parse(key, &Known::of(&rows)).unwrap().apply(&mut rows);
    rows.into_iter().map(|row| row.name).collect()
}

fn found(filter: &str) -> Vec<String> {
    let rows = rows();
    let filter = Filter::parse(filter, &Known::of(&rows)).unwrap();
    rows.into_iter().filter(|row| filter.matches(row)).map(|row| row.name).collect()
}

fn refused(filter: &str) -> String {
    Filter::parse(filter, &Known::of(&rows())).unwrap_err().to_string()
}

#[test]
fn what_is_missing_is_last_in_either_direction() {
    let hostile = "<b>\x1b[31m日本\n";
    assert_eq!(sorted("-val_accuracy"), [hostile, "lr_10", "lr_1", "diverged", "lr_2"]);
    assert_eq!(sorted("val_accuracy"), ["lr_1", hostile, "lr_10", "diverged", "lr_2"]);
    assert_eq!(sorted("name"), [hostile, "diverged", "lr_1", "lr_2", "lr_10"]);
    // Numbers before text, and `null` is missing.
    assert_eq!(sorted("optimizer.lr"), ["lr_2", "lr_10", hostile, "lr_1", "diverged"]);
}

#[test]
fn any_mixture_of_numbers_has_one_order() {
    // Equal as f64, but not as whole numbers.
    let near = ["9007199254740992", "9007199254740992.0", "9007199254740993", "9007199254740994", "9.5"];
    let mut rows: Vec<RunRow> =
        (0..200).map(|run| row(&format!("run_{}", run * 37 % 200), None, near[run % near.len()])).collect();
    let sort = Sort::parse("optimizer.lr", &Known::of(&rows)).unwrap();
    sort.apply(&mut rows);
    let mut again: Vec<RunRow> = rows.iter().rev().cloned().collect();
    sort.apply(&mut again);
    assert_eq!(rows, again);
}

#[test]
fn filters_find_runs() {
    let hostile = "<b>\x1b[31m日本\n";
    assert_eq!(found("val_accuracy > 0.9"), ["lr_10", hostile]);
    assert_eq!(found("val_accuracy<=0.5"), ["lr_1"]);
    assert_eq!(found("val_accuracy=.5"), ["lr_1"]);
    assert_eq!(found("val_accuracy!=0.5"), ["lr_10", "lr_2", "diverged", hostile]);
    assert_eq!(found("val_accuracy="), ["lr_2", "diverged"]);
    assert_eq!(found("val_accuracy!="), ["lr_10", "lr_1", hostile]);
    assert_eq!(found("optimizer.lr>=0.01"), ["lr_10", hostile]);
    assert_eq!(found("optimizer.lr==auto"), ["lr_1"]);
    assert_eq!(found("name~LR_"), ["lr_10", "lr_2", "lr_1"]);
    assert_eq!(found("name<lr_10"), ["lr_2", "diverged", "lr_1", hostile]);
    assert_eq!(found("epochs=12.0").len(), 5);
    assert_eq!(found("seed=18446744073709551614").len(), 0);
    assert_eq!(found("started>2026-11").len(), 5);
}

#[test]
fn filters_that_mean_nothing_say_why() {
    for text in ["val_accuracy", "", ">0.9", "val_accuracy!0.9"] {
        assert!(refused(text).contains("such as `val_accuracy>0.9`"), "{text}");
    }
    let error = refused("val_acuracy>0.9");
    assert!(
        error.contains("--filter `val_acuracy>0.9`") && error.contains("mean `val_accuracy`?"),
        "{error}"
    );
    assert!(error.contains("name, folder, status"), "{error}");
    assert!(refused("lr>1").contains("did you mean `optimizer.lr`?"));
    assert!(refused(&format!("{}>1", "x".repeat(100_000))).contains("unknown column"));
    let error = refused("val_accuracy>high");
    assert!(error.contains("val_accuracy is a number, `high` is not"), "{error}");
    assert!(refused("\x1b[31m>1").contains("\\u{1b}[31m"));
}

#[test]
fn columns_are_chosen_by_name() {
    let known = Known::of(&rows());
    let columns = known.columns(" name,val_accuracy ,optimizer.lr,name,").unwrap();
    assert_eq!(columns, [Column::Name, Column::ValAccuracy, Column::Setting("optimizer.lr".into())]);
    assert!(known.columns(" , ").unwrap_err().to_string().contains("--columns"));
    assert!(known.columns("name,optimizer.l").unwrap_err().to_string().contains("mean `optimizer.lr`?"));
    for columns in [Column::built_in(), Column::usual(&rows())] {
        let names: Vec<&str> = columns.iter().map(Column::name).collect();
        assert_eq!(known.columns(&names.join(",")).unwrap(), columns);
    }
}

#[test]
fn map_is_shown_where_there_is_one_and_accuracies_unless_there_is_nothing_else() {
    let of_labels = RunRow { val_map: Some(0.98765), test_map: Some(0.5), ..row("labels", None, "0.1") };
    let shown = |rows: &[RunRow]| {
        let columns = Column::usual(rows);
        [Column::ValAccuracy, Column::ValMap].map(|column| columns.contains(&column))
    };
    assert_eq!(shown(&rows()), [true, false]);
    assert_eq!(shown(std::slice::from_ref(&of_labels)), [false, true]);
    assert_eq!(shown(&[rows(), vec![of_labels.clone()]].concat()), [true, true]);
    assert_eq!(shown(&[]), [true, false]);
    let columns = [Column::Name, Column::ValMap, Column::TestMap];
    assert_eq!(
        text(&[of_labels], &columns, None).table,
        "name    val_map  test_map\nlabels   0.9877    0.5000\n"
    );
}

#[test]
fn a_table_fits_the_terminal_and_says_what_it_leaves_out() {
    let columns = Known::of(&rows()).columns("name,val_accuracy,epochs,duration,size").unwrap();
    let whole = text(&rows(), &columns, None);
    let expected = "\
name                 val_accuracy  epochs    duration     size
lr_10                      0.9324   12/30  2 h 07 min  3.9 GiB
lr_2                            -   12/30  2 h 07 min  3.9 GiB
diverged                      NaN   12/30  2 h 07 min  3.9 GiB
lr_1                       0.5000   12/30  2 h 07 min  3.9 GiB
<b>\\u{1b}[31m日本\\n        0.9324   12/30  2 h 07 min  3.9 GiB
";
    assert_eq!((whole.table.as_str(), whole.note), (expected, None));
    assert_eq!(text(&rows(), &columns, Some(62)).table, expected);
    let narrow = text(&rows(), &columns, Some(61));
    assert_eq!(narrow.note.unwrap(), "not shown for lack of room: size; choose columns with --columns");
    for width in 0..70 {
        let table = text(&rows(), &columns, Some(width)).table;
        assert!(table.lines().all(|line| ml_data::table::width(line) <= width), "{width}:\n{table}");
    }
}

#[test]
fn a_very_long_name_is_cut_only_where_there_is_a_limit() {
    let long = [row(&format!("{}end", "日".repeat(5000)), None, "1")];
    let columns = [Column::Name, Column::Status];
    let cut = text(&long, &columns, Some(80)).table;
    assert!(cut.contains("…日日日日日日日日end  completed"), "{cut}");
    assert!(text(&long, &columns, None).table.contains(&long[0].name));
    assert_eq!(text(&[], &columns, Some(80)).table, "name  status\n");
}

#[test]
fn csv_and_json_give_back_every_value() {
    let rows = rows();
    let columns = Known::of(&rows).columns("name,val_accuracy,seed,optimizer.lr,duration").unwrap();
    let csv = csv(&rows, &columns);
    let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec!["name", "val_accuracy", "seed", "optimizer.lr", "duration"]);
    let records: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let json: serde_json::Value = serde_json::from_str(&json(&rows, &columns)).unwrap();
    for ((row, record), object) in rows.iter().zip(&records).zip(json.as_array().unwrap()) {
        assert_eq!((&record[0], object["name"].as_str()), (row.name.as_str(), Some(row.name.as_str())));
        let accuracy = row.val_accuracy.filter(|value| value.is_finite());
        assert_eq!(object["val_accuracy"].as_f64(), accuracy);
        assert_eq!(record[1].parse().ok().filter(|value: &f64| value.is_finite()), accuracy);
        assert_eq!((&record[2], object["seed"].as_u64()), ("18446744073709551615", Some(u64::MAX)));
        assert_eq!(object["duration"].as_f64(), Some(7_620.0));
    }
    let settings: serde_json::Value =
        json.as_array().unwrap().iter().map(|run| run["optimizer.lr"].clone()).collect();
    assert_eq!(settings, serde_json::json!([0.01, 1e-5, null, "auto", 0.1]));
}
