//! Small readers of text that other programs write: a number of a YAML file, the last line of JSON.

use anyhow::{Context, Result};

/// The number of a top-level `key: number` line; enough YAML for the flat files that the programs
/// write.
pub fn yaml_number(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok())
}

/// The JSON object that a program prints as its last line.
///
/// # Errors
/// There is no such line.
pub fn last_json(stdout: &str) -> Result<serde_json::Value> {
    let line = stdout.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(line)
        .with_context(|| format!("expected JSON as the last line of output, got `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_its_whole_key() {
        let text = "status: completed\ntest_accuracy_top5: 1.0\ntest_accuracy: 0.9815\nnested:\n  lr: 3\n";
        assert_eq!(yaml_number(text, "test_accuracy"), Some(0.9815));
        assert_eq!(yaml_number(text, "lr"), None, "only top-level keys");
        assert_eq!(yaml_number(text, "status"), None, "not a number");
    }

    #[test]
    fn the_last_line_is_read_as_json_and_chatter_before_it_is_not() {
        let value = last_json("epoch 0\n{\"ms_median\": 12.5}\n\n").unwrap();
        assert_eq!(value["ms_median"], 12.5);
        assert!(last_json("no JSON here").unwrap_err().to_string().contains("no JSON here"));
    }
}
