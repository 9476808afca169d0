use super::*;

fn parsed(text: impl AsRef<[u8]>) -> Result<Labels, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.csv");
    fs::write(&path, text).unwrap();
    read(&path, &CsvOptions::default()).map_err(|error| {
        let message = error.to_string();
        assert!(message.starts_with(path.to_str().unwrap()) && !message.contains('\n'), "{message}");
        message
    })
}

#[test]
fn columns_stand_in_any_order_and_others_are_left_out() {
    let text =
        "\u{feff}Label, split ,note,path,group\r\n dog ,train,x,./a//1.png,p1\ncat,val,\"y,\nz\",b.png,\n";
    let labels = parsed(text).unwrap();
    assert_eq!(labels.classes, ["cat", "dog"]);
    assert_eq!(labels.others, ["note"]);
    assert!(labels.has_groups && labels.has_splits);
    let row = |path: &str, class, group: &str, split, line| Row {
        path: path.to_owned(),
        class,
        group: group.to_owned(),
        split: Some(split),
        line,
    };
    assert_eq!(labels.rows, [row("a/1.png", 1, "p1", Split::Train, 2), row("b.png", 0, "", Split::Val, 3)]);
    let labels = parsed("path,label\ntab\there.png,a\n").unwrap();
    assert!(!labels.has_groups && !labels.has_splits && labels.rows[0].split.is_none());
}

#[test]
fn problems_are_named_by_line_all_at_once() {
    let text = b"path,label,split\n1.png,,train\n2.png,a,eval\n../3.png,a,val\n4.png,a,val\n./4.png,b,val\n\
        \"5\n.png\",a,val\n/6.png,a,val\n\xff.png,a,val\n9.png,a\n10.png,a/b,val\n";
    let message = parsed(text).unwrap_err();
    for part in [
        "9 problems",
        "line 2: the label is empty",
        "line 3: the split `eval` is not train, val or test",
        "line 4: `../3.png` must be a file below",
        "line 6: `4.png` is on line 5 already",
        "line 7: the path `5\\n.png` contains a line break",
    ] {
        assert!(message.contains(part), "`{part}` is not in {message}");
    }
    for (text, part) in [
        (&b"path,label\n/6.png,a\n"[..], "line 2: `/6.png` must be relative"),
        (b"path,label\n\xff.png,a\n", "line 2: is not valid UTF-8"),
        (b"path,label\n9.png\n", "line 2: has 1 fields, and the header 2"),
        (b"path,label\r\n1.png,a\r\n\r\n9.png\r\n", "line 4: has 1 fields, and the header 2"),
        (b"path,label\n9.png,a/b\n", "line 2: the label `a/b` holds"),
        (b"path,label\nfolder/,a\n", "line 2: `folder/` must be a file"),
        (b"path,label\n.,a\n", "line 2: `.` must be a file"),
        (b"path,label,group\n1.png,a,\"x\ty\"\n", "line 2: the group `x\\ty` holds"),
    ] {
        let message = parsed(text).unwrap_err();
        assert!(message.contains(part), "`{part}` is not in {message}");
    }
}

#[test]
fn headers_without_path_and_label_are_refused() {
    for (text, part) in [
        ("", "no column is clearly the path; there are none"),
        ("a/1.png,cat\na/2.png,cat\n", "the first line is not a header"),
        ("path,lable\n1.png,a\n", "did you mean `label`"),
        ("path,label,groups\n1.png,a,b\n", "did you mean `group`"),
        ("path,label,path\n1.png,a,b\n", "`path` twice"),
        ("path,a,b\n1.png,a,c\n", "no column is clearly the label; there are `path`, `a`, `b`"),
        ("path,category,class\n1.png,a,c\n", "choose one with --csv_label_column"),
        ("path,label\n", "no line of an image"),
    ] {
        let message = parsed(text).unwrap_err();
        assert!(message.contains(part), "`{part}` is not in {message}");
    }
    assert!(parsed(b"path,label,\xff\n1.png,a,b\n").unwrap_err().contains("header is not valid UTF-8"));
}

/// A CSV in a folder of images, as rows of path and label.
fn rows_in(
    images: &[&str],
    text: impl AsRef<[u8]>,
    options: &CsvOptions,
) -> Result<Vec<[String; 2]>, String> {
    let folder = tempfile::tempdir().unwrap();
    for image in images {
        let path = folder.path().join(image);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let path = folder.path().join("labels.csv");
    fs::write(&path, text).unwrap();
    let source = crate::dataset::Source::open_csv(&path, options).map_err(|error| error.to_string())?;
    let of = |class: &crate::dataset::scan::ClassFolder| -> Vec<[String; 2]> {
        class.images.iter().map(|image| [image.clone(), class.name.clone()]).collect()
    };
    Ok(source.scan.classes.iter().flat_map(of).collect())
}

#[test]
fn tables_of_other_programs_are_understood() {
    let expected = [["i/a1.png", "x"], ["i/b2.png", "y"]];
    let images = ["i/a1.png", "i/b2.png"];
    for text in [
        // Other names of columns, other separators, other columns beside them.
        "image_id,dx\ni/a1.png,x\ni/b2.png,y\n",
        "filename;class;remark\ni/a1.png;x;1\ni/b2.png;y;2\n",
        "Image Path\tCategory\ni/a1.png\tx\ni/b2.png\ty\n",
        "what|where\nx|i/a1.png\ny|i/b2.png\n",
        // Without endings.
        "path,label\ni/a1,x\ni/b2,y\n",
        // Of Windows.
        "path,label\r\ni\\a1.png,x\r\n.\\i\\b2.png,y\r\n",
        // Blanks before quotes, and lines that end as on old Macs.
        "path, label\n\"i/a1.png\", \"x\"\n\"i/b2.png\" , \"y\"\n",
        "path,label\ri/a1.png,x\ri/b2.png,y\r",
        // Two columns could be paths by their names, and one holds them.
        "id,file_name,label\n7,i/a1.png,x\n8,i/b2.png,y\n",
    ] {
        let rows = rows_in(&images, text, &CsvOptions::default());
        assert_eq!(rows, Ok(expected.map(|row| row.map(str::to_owned)).to_vec()), "{text:?}");
    }
    let utf16: Vec<u8> = "\u{feff}path\tlabel\r\ni/a1.png\tx\r\ni/b2.png\ty\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(rows_in(&images, utf16, &CsvOptions::default()).unwrap().len(), 2);
}

#[test]
fn columns_root_and_ending_can_be_chosen() {
    let images = ["pics/a.png", "pics/a.jpg", "pics/b.png", "pics/b.jpg"];
    let options = |path: &str, label: &str, suffix: Option<&str>| CsvOptions {
        path_column: Some(path.to_owned()),
        label_column: Some(label.to_owned()),
        suffix: suffix.map(str::to_owned),
        ..CsvOptions::default()
    };
    let text = "key,label,truth\npics/a,1,x\npics/b,2,y\n";
    for suffix in [".png", "png"] {
        let rows = rows_in(&images, text, &options("key", "Truth", Some(suffix))).unwrap();
        assert_eq!(rows, [["pics/a.png", "x"], ["pics/b.png", "y"]]);
    }
    let message = rows_in(&images, text, &options("key", "truth", None)).unwrap_err();
    assert!(message.contains("stands for a.jpg and a.png; choose with --suffix"), "{message}");
    let message = rows_in(&images, text, &options("keys", "truth", None)).unwrap_err();
    assert!(message.contains("no column `keys` (--csv_path_column); there are `key`, `label`"), "{message}");
    let message = rows_in(&images, "path,label\na.png,x\nb.png,y\n", &CsvOptions::default()).unwrap_err();
    assert!(message.contains("--image_root") && message.contains("pics"), "{message}");
}

#[test]
fn what_is_near_a_missing_file_is_named() {
    for (there, path, hint) in [
        ("i/Photo.JPG", "i/photo.jpg", "there is `i/Photo.JPG`"),
        ("i/photo.png", "i/photo.jpg", "there is `i/photo.png`"),
        ("i/rosemary.png", "i/rosmary.png", "there is `i/rosemary.png`"),
        ("i/a.png", "j/a.png", "there is no folder `j`"),
    ] {
        let text = format!("path,label\n{path},x\ni/other.png,y\n");
        let message = rows_in(&[there, "i/other.png"], text, &CsvOptions::default()).unwrap_err();
        assert!(message.contains(hint), "{message}");
    }
    let message = rows_in(
        &["i/IMG_0002.png", "i/x.png"],
        "path,label\ni/IMG_0001.png,x\ni/x.png,y\n",
        &CsvOptions::default(),
    );
    assert!(!message.unwrap_err().contains("there is"));
}

#[test]
fn names_of_a_mac_are_found_in_either_normalization() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    for (there, written) in [(composed, decomposed), (decomposed, composed)] {
        let file = format!("{there}/{there}.png");
        for text in [
            format!("path,label\n{written}/{written}.png,x\n"),
            format!("path,label\n{written}/{written},x\n"),
            format!("Datei,Klasse\n{written}/{written}.png,x\n"),
        ] {
            assert_eq!(rows_in(&[&file], text, &CsvOptions::default()).unwrap(), [[file.as_str(), "x"]]);
        }
    }
    let text = format!("path,label\na.png,{composed}\nb.png,{decomposed}\n");
    let rows = rows_in(&["a.png", "b.png"], text, &CsvOptions::default()).unwrap();
    assert_eq!(rows[0][1], rows[1][1]);
    let text = format!("path,label\n{composed}.png,x\n{decomposed}.png,x\n");
    let message = rows_in(&[&format!("{composed}.png")], text, &CsvOptions::default()).unwrap_err();
    assert!(message.contains("line 3:") && message.contains("is on line 2 already"), "{message}");
}
