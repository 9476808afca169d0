//! ml-train

fn main() {}
