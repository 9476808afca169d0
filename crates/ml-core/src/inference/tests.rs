use super::*;

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
