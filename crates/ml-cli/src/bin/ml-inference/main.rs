//! ml-inference

fn main() {}
