use std::fs;

use super::*;

const IMAGES: [&str; 3] = ["a.png", "b.png", "c.png"];

/// A CSV beside three images, read: paths with their labels.
fn rows_of(text: &str, options: &CsvOptions) -> Result<Vec<(String, Vec<String>)>, String> {
    let folder = tempfile::tempdir().unwrap();
    for image in IMAGES {
        fs::write(folder.path().join(image), "").unwrap();
    }
    let path = folder.path().join("labels.csv");
    fs::write(&path, text).unwrap();
    let found = read_sets(&path, options).map_err(|error| error.to_string())?;
    assert!(found.classes.is_sorted());
    let names = |labels: &[u32]| labels.iter().map(|label| found.classes[*label as usize].clone()).collect();
    Ok(found.rows.iter().map(|row| (row.path.clone(), names(found.sets.of(row.class as usize)))).collect())
}

fn expected(rows: [&[&str]; 3]) -> Vec<(String, Vec<String>)> {
    let owned = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    IMAGES.iter().zip(rows).map(|(image, labels)| ((*image).to_owned(), owned(labels))).collect()
}

fn separated(separator: &str) -> CsvOptions {
    CsvOptions { label_separator: Some(separator.to_owned()), ..CsvOptions::default() }
}

fn columns(names: &[&str]) -> CsvOptions {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    CsvOptions { label_columns: Some(names), ..CsvOptions::default() }
}

#[test]
fn labels_stand_in_one_column_or_each_class_has_one() {
    let rows = expected([&["sea", "sun"], &[], &["sun"]]);
    let default = CsvOptions::default();
    for (text, options) in [
        ("path,labels\na.png,sun|sea\nb.png,\nc.png,sun\n", &default),
        ("path,labels\na.png, sun | sea | sun |\nb.png,|\nc.png,sun\n", &default),
        ("image_name,tags\na.png,sun|sea\nb.png,\nc.png,sun\n", &default),
        ("path,remark,tags\na.png,x,sun|sea\nb.png,y,\nc.png,z,sun\n", &default),
        ("path,labels\na.png,sun;sea\nb.png,\nc.png,sun\n", &separated(";")),
        ("path,tags\na.png,sun sea\nb.png,\nc.png,sun\n", &separated(" ")),
        ("path,sun,sea\na.png,1,1\nb.png,0,0\nc.png,1,0\n", &default),
        ("sea,filename,sun\n1.0,a.png,1.0\n0.0,b.png,0.0\n0.0,c.png,1.0\n", &default),
        ("path,sun,sea,group\na.png,1,1,x\nb.png,0,0,x\nc.png,1,0,y\n", &default),
        ("path,sun,age,sea\na.png,1,30,1\nb.png,0,31,0\nc.png,1,32,0\n", &columns(&["sun", "sea"])),
    ] {
        assert_eq!(rows_of(text, options), Ok(rows.clone()), "{text:?}");
    }
    // A column of a single class, as requested.
    let one = rows_of("path,sun,sea\na.png,1,1\nb.png,0,0\nc.png,1,0\n", &columns(&["sea"]));
    assert_eq!(one, Ok(expected([&["sea"], &[], &[]])));
}

#[test]
fn what_is_wrong_is_named() {
    let default = CsvOptions::default();
    for (text, options, parts) in [
        (
            "path,sun,age\na.png,1,30\nb.png,0,31\nc.png,1,32\n",
            &columns(&["sun", "age"]),
            &["line 2: the column `age` has `30`", "3 problems"][..],
        ),
        (
            "path,sun,sea,age\na.png,1,1,30\nb.png,0,1,31\n",
            &default,
            &["`sun`, `sea` hold 0 and 1", "`age` other values", "--label_columns"],
        ),
        (
            "path,labels\na.png,sun;sea\nb.png,sun\n",
            &default,
            &["`sun;sea` would be one label", "--label_separator ';'"],
        ),
        (
            "path,tags\na.png,sun sea\nb.png,sea sun\nc.png,sun\n",
            &default,
            &["`sun sea` would be one label", "--label_separator ' '"],
        ),
        (
            "path,labels\na.png,sun\nb.png,sea\na.png,sea\n",
            &default,
            &["line 4: `a.png` is on line 2 already", "all labels of an image on one line"],
        ),
        ("path,sun,sea\na.png,1,0\nb.png,0,0\n", &default, &["no image has the label `sea`"]),
        ("path,labels\na.png,\nb.png,\n", &default, &["no image has a label"]),
        ("path,labels\na.png,x/y\n", &default, &["line 2", "`x/y`"]),
        ("path,sun,sea\na.png,1,0\n", &columns(&["sun", "see"]), &["no column `see` (--label_columns)"]),
        ("path,sun\na.png,1\n", &columns(&["sun", "sun"]), &["names `sun` twice"]),
        ("path,sun,sea\na.png,1,1\n", &separated("|"), &["--label_separator goes with one column"]),
        ("path,labels\na.png,x\n", &separated(""), &["--label_separator is empty"]),
    ] {
        let message = rows_of(text, options).unwrap_err();
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
    // Names with blanks are names, and a requested separator is not doubted.
    let rows = rows_of("path,labels\na.png,red sun\nb.png,blue sea\nc.png,red sun\n", &default);
    assert_eq!(rows, Ok(expected([&["red sun"], &["blue sea"], &["red sun"]])));
    let rows = rows_of("path,labels\na.png,x;y\nb.png,z\nc.png,z\n", &separated("|"));
    assert_eq!(rows, Ok(expected([&["x;y"], &["z"], &["z"]])));
}
