//! Prints the tree of any file of `torch.save` or safetensors: `tree FILE`. Nothing in the file is
//! executed.

use std::process::ExitCode;

use torch_file::{Key, Value};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: tree FILE");
        return ExitCode::from(2);
    };
    match torch_file::read(path.as_ref()) {
        Ok(value) => {
            println!("{}", tree(&value, 0));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a value is, with a line for each of its children, indented.
fn tree(value: &Value, depth: usize) -> String {
    let children = match value {
        Value::Dict(entries) => entries.iter().map(|(key, child)| (shown(key), child)).collect(),
        Value::List(items) | Value::Tuple(items) => {
            (0..).zip(items).map(|(index, child)| (format!("[{index}]"), child)).collect()
        }
        _ => Vec::new(),
    };
    let mut text = match value {
        Value::Tensor(tensor) => format!("tensor {:?} {:?}", tensor.kind(), tensor.size()),
        Value::Dict(_) => format!("dict of {}", children.len()),
        Value::List(_) => format!("list of {}", children.len()),
        Value::Tuple(_) => format!("tuple of {}", children.len()),
        Value::Bytes(bytes) => format!("bytes of {}", bytes.len()),
        Value::Str(text) => format!("{text:?}"),
        Value::None => "None".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Opaque(_) => value.describe(),
    };
    for (key, child) in children {
        text += &format!("\n{}{key}: {}", "  ".repeat(depth + 1), tree(child, depth + 1));
    }
    text
}

/// A key as `{:?}` shows text: a control character in it reaches no terminal.
fn shown(key: &Key) -> String {
    match key {
        Key::Str(text) => format!("{text:?}"),
        Key::Int(number) => number.to_string(),
    }
}
