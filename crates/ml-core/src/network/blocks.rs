//! Names of parameters → the blocks that they belong to, counted from the input, by which the
//! learning rate may fall with the depth.

use super::inception::is_auxiliary;
use super::module::Node;

/// The block of each parameter, counted from the input, and how many there are.
///
/// On the way from the network down to a parameter, the first module with a digit in its name is a
/// block: `layer1`, `features.3`, `encoder.layers.encoder_layer_0`. Neighbours that are single
/// layers by names of their own (`conv1` and `bn1`, or `class_token`, `conv_proj` and
/// `encoder.pos_embedding`) are one block. Auxiliary heads stand beside the last block, wherever in
/// the list they are.
pub(crate) fn blocks(names: &[&str]) -> (Vec<usize>, usize) {
    let mut blocks = Vec::new();
    collect(&Node::of(names.iter().copied()), &mut blocks);
    let mut depths: Vec<Option<usize>> = vec![None; names.len()];
    let mut depth = 0;
    let mut before: Option<&Block> = None;
    for block in &blocks {
        if before.is_some_and(|before| !(before.is_single && block.is_single)) {
            depth += 1;
        }
        for &index in &block.parameters {
            depths[index] = Some(depth);
        }
        before = Some(block);
    }
    (depths.into_iter().map(|found| found.unwrap_or(depth)).collect(), depth + 1)
}

struct Block {
    /// By index.
    parameters: Vec<usize>,
    /// A single layer by a name of its own, not by a number.
    is_single: bool,
}

/// The blocks of a module that is not in one, but for auxiliary heads.
fn collect(module: &Node, blocks: &mut Vec<Block>) {
    if !module.own.is_empty() {
        blocks.push(Block { parameters: module.own.clone(), is_single: true });
    }
    for child in module.children.iter().filter(|child| !is_auxiliary(&child.name)) {
        let name = child.name.rsplit('.').next().unwrap_or_default();
        if name.contains(|c: char| c.is_ascii_digit()) {
            let is_number = name.chars().all(|c| c.is_ascii_digit());
            let mut parameters = Vec::new();
            child.visit(&mut |node| parameters.extend(&node.own));
            blocks.push(Block { parameters, is_single: child.children.is_empty() && !is_number });
        } else {
            collect(child, blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_stages_numbered_layers_and_what_stands_between_them() {
        let resnet = [
            "conv1.weight",
            "bn1.weight",
            "bn1.bias",
            "layer1.0.conv1.weight",
            "layer1.1.bn2.bias",
            "layer2.0.conv1.weight",
            "fc.weight",
            "fc.bias",
        ];
        assert_eq!(blocks(&resnet), (vec![0, 0, 0, 1, 1, 2, 3, 3], 4));
        let vit = [
            "class_token",
            "conv_proj.weight",
            "encoder.pos_embedding",
            "encoder.layers.encoder_layer_0.ln_1.weight",
            "encoder.layers.encoder_layer_1.mlp.0.weight",
            "encoder.ln.weight",
            "heads.head.weight",
        ];
        assert_eq!(blocks(&vit).0, [0, 0, 0, 1, 2, 3, 3]);
        let vgg = [
            "features.0.weight",
            "features.0.bias",
            "features.2.weight",
            "classifier.0.weight",
            "classifier.6.bias",
        ];
        assert_eq!(blocks(&vgg).0, [0, 0, 1, 2, 3]);
        let inception = [
            "Mixed_6e.branch1x1.conv.weight",
            "AuxLogits.conv0.conv.weight",
            "AuxLogits.conv1.conv.weight",
            "AuxLogits.fc.weight",
            "Mixed_7a.branch3x3_1.conv.weight",
            "fc.weight",
        ];
        assert_eq!(blocks(&inception).0, [0, 2, 2, 2, 1, 2]);
        assert_eq!(blocks(&[]), (vec![], 1));
    }
}
