//! Names of parameters as other programs and older versions have them → torchvision's of today.

use std::collections::HashSet;

use tch::Tensor;

/// Parts of names that torchvision has changed: the files that it published before have the old
/// ones. A densenet's layers lost a dot, and a vision transformer's MLP became a sequence.
const CHANGED: [(&str, &str); 6] = [
    ("norm.1.", "norm1."),
    ("norm.2.", "norm2."),
    ("conv.1.", "conv1."),
    ("conv.2.", "conv2."),
    ("mlp.linear_1.", "mlp.0."),
    ("mlp.linear_2.", "mlp.3."),
];

/// Renames what the network does not know. What all names begin with (`module.` of `DataParallel`,
/// `model.` of a Lightning module, `_orig_mod.` of a compiled one) goes, and changed parts become
/// what they are today, wherever the network knows the outcome.
pub(super) fn rename(state: &mut [(String, Tensor)], is_known: impl Fn(&str) -> bool) {
    let length = prefix_to_drop(state, &is_known);
    state.iter_mut().for_each(|(name, _)| drop(name.drain(..length)));
    let mut taken: HashSet<String> = state.iter().map(|(name, _)| name.clone()).collect();
    for (name, _) in state {
        if is_known(name) {
            continue;
        }
        let renamed = CHANGED.iter().map(|(old, new)| name.replacen(old, new, 1));
        if let Some(renamed) =
            renamed.into_iter().find(|renamed| is_known(renamed) && !taken.contains(renamed))
        {
            taken.insert(renamed.clone());
            *name = renamed;
        }
    }
}

/// How many bytes all names have in common before some of them are known; 0 if that makes none
/// known.
fn prefix_to_drop(state: &[(String, Tensor)], is_known: &impl Fn(&str) -> bool) -> usize {
    let mut length = 0;
    while let Some((first, _)) = state.first() {
        if state.iter().any(|(name, _)| is_known(&name[length..])) {
            return length;
        }
        let Some(dot) = first[length..].find('.') else { break };
        let longer = &first[..=length + dot];
        if !state.iter().all(|(name, _)| name.starts_with(longer)) {
            break;
        }
        length = longer.len();
    }
    0
}
