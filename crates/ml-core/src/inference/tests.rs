use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_difference_of_classes_says_which_are_missing_where() {
    let difference = |a: &[&str], b: &[&str]| class_difference(&names(a), &names(b));
    assert_eq!(difference(&["a", "b"], &["a", "b"]), None);
    assert_eq!(
        difference(&["a", "b"], &["b", "c"]).unwrap(),
        "only in the checkpoint: `a`; only in the data: `c`"
    );
    assert_eq!(difference(&["a"], &["a", "b"]).unwrap(), "only in the data: `b`");
    assert!(difference(&["a", "b"], &["b", "a"]).unwrap().contains("another order: class 0 is `a`"));
    let many: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    assert!(
        class_difference(&many, &names(&["x"])).unwrap().contains("`4` and 4 more; only in the data: `x`")
    );
}

#[test]
fn a_folder_without_a_checkpoint_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = checkpoint_file(dir.path()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("best.pt"), "{error}");
    std::fs::write(dir.path().join("best.pt"), "").unwrap();
    assert_eq!(checkpoint_file(dir.path()).unwrap(), dir.path().join("best.pt"));
    assert_eq!(run_folder(&dir.path().join("best.pt")), None);
    std::fs::write(dir.path().join("config.yaml"), "").unwrap();
    assert_eq!(run_folder(&dir.path().join("best.pt")), Some(dir.path()));
}
