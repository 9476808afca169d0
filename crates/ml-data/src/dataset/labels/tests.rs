use super::*;

fn parsed(text: impl AsRef<[u8]>) -> Result<Labels, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.csv");
    fs::write(&path, text).unwrap();
    read(&path).map_err(|error| {
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
    let text = b"path,label,split\n1.png,,train\n2.png,a,dev\n../3.png,a,val\n4.png,a,val\n./4.png,b,val\n\
        \"5\n.png\",a,val\n/6.png,a,val\n\xff.png,a,val\n9.png,a\n10.png,a/b,val\n";
    let message = parsed(text).unwrap_err();
    for part in [
        "9 problems",
        "line 2: the label is empty",
        "line 3: the split `dev` is not train, val or test",
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
        ("", "no column `path`"),
        ("a/1.png,cat\na/2.png,cat\n", "no column `path`"),
        ("path;label\n1.png;a\n", "no column `path`"),
        ("path,lable\n1.png,a\n", "did you mean `label`"),
        ("path,label,groups\n1.png,a,b\n", "did you mean `group`"),
        ("path,label,path\n1.png,a,b\n", "`path` twice"),
        ("path,class\n1.png,a\n", "no column `label`"),
        ("path,label\n", "no line of an image"),
    ] {
        let message = parsed(text).unwrap_err();
        assert!(message.contains(part), "`{part}` is not in {message}");
    }
    assert!(parsed(b"path,label,\xff\n1.png,a,b\n").unwrap_err().contains("header is not valid UTF-8"));
}
