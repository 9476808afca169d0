//! Names of parameters as other programs and older versions have them → torchvision's of today.

use std::borrow::Cow;
use std::collections::HashMap;

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

/// What PyTorch's wrappers put into the names of what they wrap, wherever that is.
const WRAPPERS: [&str; 3] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];

/// Bytes by which such changes may make a name longer than the network's own.
const SLACK: usize = 128;

/// The names of a network.
#[derive(Debug)]
pub(super) struct Names<'a> {
    own: HashMap<&'a str, &'a Tensor>,
    longest: usize,
}

/// What some names of a file begin with, before names that the network knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub text: String,
    /// Names with it that are known.
    pub known: usize,
    /// Of these, tensors that have the network's shape.
    pub fitting: usize,
}

impl<'a> Names<'a> {
    pub(super) fn of(own: &'a [(String, Tensor)]) -> Names<'a> {
        let longest = own.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        Names { own: own.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect(), longest }
    }

    /// Whether the network has this very name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.own.contains_key(name)
    }

    /// The network's name and tensor for a file's name.
    pub(super) fn find(&self, name: &str) -> Option<(&'a str, &'a Tensor)> {
        if name.len() > self.longest + SLACK {
            return None;
        }
        let get = |name: &str| self.own.get_key_value(name).map(|(name, tensor)| (*name, *tensor));
        let unwrapped = unwrapped(name);
        let changed = || {
            let changed = CHANGED.iter().filter(|(old, _)| unwrapped.contains(old));
            changed.map(|(old, new)| unwrapped.replacen(old, new, 1)).find_map(|name| get(&name))
        };
        get(name).or_else(|| get(&unwrapped)).or_else(changed)
    }

    /// All that stands before known names in `state`, what most fitting ones have first. A prefix
    /// ends with a dot, or is empty.
    pub(super) fn prefixes(&self, state: &[(String, Tensor)]) -> Vec<Prefix> {
        let mut found: HashMap<&str, (usize, usize)> = HashMap::new();
        for (name, tensor) in state {
            let starts = name.match_indices('.').map(|(dot, _)| dot + 1);
            for start in std::iter::once(0).chain(starts) {
                let rest = &name[start..];
                // What a wrapper adds belongs to the prefix.
                if WRAPPERS.iter().any(|wrapper| rest.starts_with(wrapper)) {
                    continue;
                }
                if let Some((_, own)) = self.find(rest) {
                    let (fitting, known) = found.entry(&name[..start]).or_default();
                    *known += 1;
                    *fitting += usize::from(own.size() == tensor.size());
                }
            }
        }
        let mut prefixes: Vec<Prefix> = found
            .into_iter()
            .map(|(text, (fitting, known))| Prefix { text: text.to_owned(), known, fitting })
            .collect();
        let order = |prefix: &Prefix| {
            let Prefix { text, known, fitting } = prefix;
            (usize::MAX - fitting, usize::MAX - known, text.len(), text.clone())
        };
        prefixes.sort_by_cached_key(order);
        prefixes
    }
}

/// A name without what wrappers added.
fn unwrapped(name: &str) -> Cow<'_, str> {
    WRAPPERS.iter().fold(Cow::Borrowed(name), |name, wrapper| {
        if name.contains(wrapper) { Cow::Owned(name.replace(wrapper, "")) } else { name }
    })
}
