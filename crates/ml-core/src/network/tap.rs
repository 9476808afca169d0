//! A network → the name of the layer whose output tells where in an image it found something.

use super::inception::is_auxiliary;
use super::{Module, ModuleKind, Network};

/// Norms of transformers' blocks whose output is looked at.
const NORMS: [&str; 2] = ["ln_1", "norm1"];

impl Network {
    /// PyTorch's name of the layer whose output [`Classifier::tapped`](super::Classifier::tapped)
    /// gives, the last that still has places:
    ///
    /// | network | layer |
    /// |---|---|
    /// | `resnet…`, `resnext…`, `wide_resnet…` | `layer4`, of those for CIFAR-10 `layer3` |
    /// | `alexnet`, `vgg…`, `squeezenet…`, `mobilenet…`, `efficientnet…`, `convnext…`, `simple_cnn`, `tiny_net` | `features` |
    /// | `densenet…` | `features`, and the `ReLU` behind it |
    /// | `googlenet`, `inception_v3` | `inception5b`, `Mixed_7c` |
    /// | `shufflenet…` | `conv5` |
    /// | `mnasnet…` | `layers` |
    /// | `regnet…` | `trunk_output` |
    /// | `maxvit_t` | `blocks` |
    /// | `swin…` | `features.7.1.norm1`, the first norm of the last block |
    /// | `vit…` | `encoder.layers.encoder_layer_11.ln_1`, the first norm of the last block; of its tokens those of patches |
    ///
    /// Empty for a TorchScript module.
    pub fn tapped_layer(&self) -> String {
        if self.model().is_err() {
            return String::new();
        }
        let modules = self.modules();
        let norm = modules.iter().rfind(|module| is_norm_of_transformer(**module));
        let last =
            || self.root().children().filter(|child| !is_auxiliary(child.name()) && !has_head(*child)).last();
        norm.copied().or_else(last).map(|module| module.name().to_owned()).unwrap_or_default()
    }
}

fn is_norm_of_transformer(module: Module<'_>) -> bool {
    let name = module.name().rsplit('.').next().unwrap_or_default();
    module.kind() == ModuleKind::LayerNorm && NORMS.contains(&name)
}

/// Whether it or a module in it has an output for each class.
fn has_head(module: Module<'_>) -> bool {
    let mut found = false;
    module.visit(&mut |inner| found |= inner.is_head());
    found
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::network::Architecture;
    use crate::network::tests::transformers::small_vit;

    #[test]
    fn the_layer_is_that_of_the_documentation() {
        use Architecture::*;
        for (architecture, layer) in [
            (Resnet18, "layer4"),
            (Resnet20, "layer3"),
            (Resnet9, "layer3"),
            (TinyNet, "features"),
            (Squeezenet11, "features"),
            (Densenet121, "features"),
            (MobilenetV3Small, "features"),
            (EfficientnetB0, "features"),
            (ConvnextTiny, "features"),
            (Googlenet, "inception5b"),
            (InceptionV3, "Mixed_7c"),
            (ShufflenetV2x05, "conv5"),
            (Mnasnet05, "layers"),
            (RegnetY400Mf, "trunk_output"),
            (MaxvitT, "blocks"),
            (SwinT, "features.7.1.norm1"),
            (SwinV2T, "features.7.1.norm1"),
        ] {
            let network = Network::uninitialised(architecture, 10, Device::Cpu);
            assert_eq!(network.tapped_layer(), layer, "{}", architecture.name());
        }
        assert_eq!(small_vit(16).tapped_layer(), "encoder.layers.encoder_layer_1.ln_1");
    }
}
