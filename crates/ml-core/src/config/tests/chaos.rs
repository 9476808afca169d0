//! What `cargo xtask chaos` draws is valid, and stays what it is when it is written down.

// Not all of them is used here.
#[allow(dead_code)]
#[path = "../../../../xtask/src/chaos/draw.rs"]
mod draw;
#[allow(dead_code)]
#[path = "../../../../xtask/src/chaos/random.rs"]
mod random;

use super::{Source, from_yaml, parse_set, resolve};
use draw::Draw;

const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/chaos.yaml"));

#[test]
fn whatever_chaos_draws_is_valid() {
    for seed in 0..6 {
        for number in 0..110 {
            let draw = Draw::of(seed, number);
            let sets: Vec<_> = draw.sets("teacher's.pt").iter().map(|set| parse_set(set).unwrap()).collect();
            let config = match resolve(Some((FILE, Source::File("chaos.yaml".into()))), &sets) {
                Ok(resolved) => resolved.config,
                Err(error) => panic!("run {number} of seed {seed}: {draw}: {error}"),
            };
            assert_eq!(config.training.distillation.is_some(), draw.has_teacher(), "{draw}");
            assert!(config.training.sam.is_none() || draw.processes == 1, "{draw}");
            let text = serde_yaml::to_string(&config).unwrap();
            assert_eq!(from_yaml(&text).unwrap().config, config, "{draw}");
        }
    }
}
