//! ml-visualise

fn main() {}
