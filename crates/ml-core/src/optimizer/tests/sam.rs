//! Sharpness-aware minimisation: steps by the formulas of its papers, and weights that come back.

use super::*;
use crate::optimizer::SamConfig;

/// The program: tests/reference/sam.py, with the problem of optimizers.py.
const REFERENCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/sam.json"));

#[test]
fn steps_follow_the_formulas() {
    let cases: Vec<serde_json::Value> = serde_json::from_str(REFERENCE).unwrap();
    assert!(cases.len() >= 5);
    for case in cases {
        let config: OptimizerConfig = serde_json::from_value(case["optimizer"].clone()).unwrap();
        let sam: SamConfig = serde_json::from_value(case["sam"].clone()).unwrap();
        let parameters = parameters();
        let mut optimizer = Optimizer::new(&config, parameters.clone_shallow()).unwrap();
        for (step, expected) in (0..).zip(case["trajectory"].as_array().unwrap()) {
            optimizer.zero_grad().unwrap();
            backward(&parameters, step);
            let perturbation = optimizer.perturb(&sam).unwrap();
            optimizer.zero_grad().unwrap();
            backward(&parameters, step);
            perturbation.undo().unwrap();
            if let Some(max_norm) = case["max_grad_norm"].as_f64() {
                let norm = optimizer.grad_norm().unwrap();
                optimizer.clip_grad_norm(&norm, max_norm).unwrap();
            }
            optimizer.step(config.lr(), None).unwrap();
            let expected: Vec<f32> = serde_json::from_value(expected.clone()).unwrap();
            for (got, expected) in flat(&parameters).into_iter().zip(expected) {
                // Half an ulp a step beside float64: the program in float32 differs by up to 8e-7.
                assert!(
                    (got - expected).abs() <= 2e-6 * (1.0 + expected.abs()),
                    "{} {}, step {step}: {got}, {expected}",
                    case["sam"],
                    case["optimizer"]
                );
            }
        }
    }
}

#[test]
fn weights_come_back_to_the_bit_and_those_without_a_gradient_stay() {
    for adaptive in [false, true] {
        // 1e9 swallows what is added to it and taken away again.
        let all: Vec<(String, Tensor)> = [("a", 0.1), ("b", 1e9), ("frozen", 3.0)]
            .map(|(name, value)| (name.to_owned(), Tensor::from_slice(&[value as f32; 3])))
            .map(|(name, tensor)| (name, tensor.set_requires_grad(true)))
            .into();
        let trained = &all[..2];
        backward(trained, 1);
        let optimizer = Optimizer::new(&OptimizerConfig::default(), all.clone_shallow()).unwrap();
        let before = flat(&all);
        let perturbation = optimizer.perturb(&SamConfig { rho: 1e3, adaptive }).unwrap();
        let moved = flat(&all);
        assert_ne!(moved[3..6], before[3..6]);
        assert_eq!(moved[6..], before[6..]);
        perturbation.undo().unwrap();
        assert_eq!(flat(&all), before);
    }
    // Without any gradient there is nowhere to go.
    let parameters = parameters();
    let optimizer = Optimizer::new(&OptimizerConfig::default(), parameters.clone_shallow()).unwrap();
    let before = flat(&parameters);
    optimizer.perturb(&SamConfig::default()).unwrap().undo().unwrap();
    assert_eq!(flat(&parameters), before);
}

#[test]
fn gradients_that_are_not_finite_make_weights_that_are_not_and_these_come_back() {
    let parameters = parameters();
    backward(&parameters, 0);
    let _ = tch::no_grad(|| parameters[1].1.grad().fill_(f64::INFINITY));
    let optimizer = Optimizer::new(&OptimizerConfig::default(), parameters.clone_shallow()).unwrap();
    let before = flat(&parameters);
    let perturbation = optimizer.perturb(&SamConfig::default()).unwrap();
    assert!(flat(&parameters).iter().any(|weight| weight.is_nan()), "the second loss shows it");
    perturbation.undo().unwrap();
    assert_eq!(flat(&parameters), before);
}

#[test]
fn a_distance_that_is_none_is_refused() {
    for rho in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(SamConfig { rho, adaptive: false }.problems()[0].0, "rho");
    }
    assert!(SamConfig::default().problems().is_empty());
}
