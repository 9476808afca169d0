//! What a file of features is known by: everything that decides its content.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};

use super::source::Source;
use super::{FeatureError, disk};
use crate::loader::Loader;
use crate::network::Network;

/// The same for all processes that share the work: SHA-256 of weights, layers, number format, transforms, images and how they are put into batches.
/// Images count by path, size and time of change.
pub(super) fn of(source: &Source<'_>) -> Result<[u8; 32], FeatureError> {
    let Source { network, prefix, compute, loader, view, world } = source;
    let mut hash = Sha256::new();
    let mut text = |text: String| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    text(format!("{} libtorch {} threads {}", disk::NAME, *crate::LIBTORCH_VERSION, tch::get_num_threads()));
    text(format!("{} {prefix:?} {compute:?}", network.description()));
    let is_random = !loader.pipeline().config().random_keys().is_empty();
    let options = loader.options();
    let seed = is_random.then_some((options.seed, *view));
    text(format!(
        "{:?} {seed:?} {} {:?}",
        loader.pipeline().config(),
        options.batch_size,
        options.unreadable
    ));
    add_images(&mut hash, loader);
    add_weights(&mut hash, network)?;
    let own: [u8; 32] = hash.finalize().into();
    if world.is_alone() {
        return Ok(own);
    }
    // Each row is as one of them computes it.
    let all = world.gather(&own)?;
    Ok(Sha256::digest(all.concat()).into())
}

fn add_images(hash: &mut Sha256, loader: &Loader) {
    let index = loader.index();
    for sample in &index.samples {
        let path = index.root.join(&sample.path);
        hash.update(path.as_os_str().as_encoded_bytes());
        // One that is not there shows when it is loaded.
        let status =
            fs::metadata(&path).map(|status| [status.len() as i64, status.mtime(), status.mtime_nsec()]);
        for number in status.unwrap_or_default() {
            hash.update(number.to_le_bytes());
        }
        hash.update(sample.class.to_le_bytes());
    }
}

/// All that is frozen: more than the prefix needs, but none of it changes.
fn add_weights(hash: &mut Sha256, network: &Network) -> Result<(), FeatureError> {
    for module in network.modules() {
        let keeps_buffers = module.parameters().all(|(_, tensor)| !tensor.requires_grad());
        let frozen = module.parameters().filter(|(_, tensor)| !tensor.requires_grad());
        for (name, tensor) in frozen.chain(module.buffers().filter(|_| keeps_buffers)) {
            hash.update(format!("{name} {:?} {:?}", tensor.kind(), tensor.size()));
            hash.update(disk::bytes(tensor)?);
        }
    }
    Ok(())
}
