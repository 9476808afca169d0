//! The list of all networks.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::inception::{googlenet, v3 as inception_v3};
use super::model::Model;
use super::sizes::Sizes;
use super::state::Scope;
use super::{
    NetworkSpec, alexnet, convnext, densenet, efficientnet, maxvit, mnasnet, mobilenet_v2, mobilenet_v3,
    regnet, resnet, resnet_cifar, resnet9, shufflenet, small, squeezenet, swin, vgg, vit,
};

/// What is known of a network before it is built.
struct Row {
    name: &'static str,
    sizes: Sizes,
    drops: Drops,
    build: fn(&Scope, &NetworkSpec) -> Model,
}

/// What a network can leave out in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drops {
    Nothing,
    /// Dropout.
    Features,
    /// Stochastic depth.
    Paths,
    Both,
}

/// Makes the enum, its list and its rows: variant, name, smallest side of an image (or the name of
/// its [`Sizes`]), what can be dropped, how it is built.
macro_rules! architectures {
    ($($(#[$doc:meta])* $variant:ident $name:literal $sizes:tt $drops:ident $build:expr;)*) => {
        /// Every network, by its torchvision name where it has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Architecture {
            $($(#[$doc])* #[doc = concat!("`", $name, "`")] #[serde(rename = $name)] $variant,)*
        }

        impl Architecture {
            /// All of them, which drives the sweep tests.
            pub const ALL: &'static [Architecture] = &[$(Architecture::$variant,)*];

            fn row(self) -> Row {
                match self {
                    $(Architecture::$variant => {
                        Row { name: $name, sizes: Sizes::from($sizes), drops: Drops::$drops, build: $build }
                    })*
                }
            }
        }
    };
}

/// Of patches of 14, 16 or 32 pixels.
const PATCHES_14: Sizes = Sizes::patches(14);
const PATCHES_16: Sizes = Sizes::patches(16);
const PATCHES_32: Sizes = Sizes::patches(32);
/// Whose smallest feature maps fall into windows of 7 when they are made of 224 pixels, or a
/// multiple.
const WINDOWS_224: Sizes = Sizes { min: maxvit::SIDE, step: maxvit::SIDE, is_square: false, is_fixed: false };

architectures! {
    Alexnet "alexnet" 63 Features alexnet::build;
    Vgg11 "vgg11" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG11);
    Vgg13 "vgg13" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG13);
    Vgg16 "vgg16" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG16);
    Vgg19 "vgg19" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG19);
    Vgg11Bn "vgg11_bn" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG11_BN);
    Vgg13Bn "vgg13_bn" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG13_BN);
    Vgg16Bn "vgg16_bn" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG16_BN);
    Vgg19Bn "vgg19_bn" 32 Features |scope, spec| vgg::build(scope, spec, &vgg::VGG19_BN);
    Squeezenet10 "squeezenet1_0" 21 Features |scope, spec| squeezenet::build(scope, spec, &squeezenet::V1_0);
    Squeezenet11 "squeezenet1_1" 17 Features |scope, spec| squeezenet::build(scope, spec, &squeezenet::V1_1);
    Densenet121 "densenet121" 29 Features |scope, spec| densenet::build(scope, spec, &densenet::DENSENET121);
    Densenet161 "densenet161" 29 Features |scope, spec| densenet::build(scope, spec, &densenet::DENSENET161);
    Densenet169 "densenet169" 29 Features |scope, spec| densenet::build(scope, spec, &densenet::DENSENET169);
    Densenet201 "densenet201" 29 Features |scope, spec| densenet::build(scope, spec, &densenet::DENSENET201);
    Googlenet "googlenet" 15 Features googlenet::build;
    /// Its auxiliary head needs 299 pixels; evaluation alone could do with 75.
    InceptionV3 "inception_v3" 299 Features inception_v3::build;
    ShufflenetV2x05 "shufflenet_v2_x0_5" 1 Nothing |scope, spec| shufflenet::build(scope, spec, &shufflenet::X0_5);
    ShufflenetV2x10 "shufflenet_v2_x1_0" 1 Nothing |scope, spec| shufflenet::build(scope, spec, &shufflenet::X1_0);
    ShufflenetV2x15 "shufflenet_v2_x1_5" 1 Nothing |scope, spec| shufflenet::build(scope, spec, &shufflenet::X1_5);
    ShufflenetV2x20 "shufflenet_v2_x2_0" 1 Nothing |scope, spec| shufflenet::build(scope, spec, &shufflenet::X2_0);
    Mnasnet05 "mnasnet0_5" 1 Features |scope, spec| mnasnet::build(scope, spec, mnasnet::MNASNET0_5);
    Mnasnet075 "mnasnet0_75" 1 Features |scope, spec| mnasnet::build(scope, spec, mnasnet::MNASNET0_75);
    Mnasnet10 "mnasnet1_0" 1 Features |scope, spec| mnasnet::build(scope, spec, mnasnet::MNASNET1_0);
    Mnasnet13 "mnasnet1_3" 1 Features |scope, spec| mnasnet::build(scope, spec, mnasnet::MNASNET1_3);
    MobilenetV2 "mobilenet_v2" 1 Features mobilenet_v2::build;
    MobilenetV3Small "mobilenet_v3_small" 1 Features mobilenet_v3::small;
    MobilenetV3Large "mobilenet_v3_large" 1 Features mobilenet_v3::large;
    Resnet18 "resnet18" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNET18);
    Resnet34 "resnet34" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNET34);
    Resnet50 "resnet50" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNET50);
    Resnet101 "resnet101" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNET101);
    Resnet152 "resnet152" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNET152);
    Resnext50 "resnext50_32x4d" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNEXT50_32X4D);
    Resnext101x8 "resnext101_32x8d" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNEXT101_32X8D);
    Resnext101x4 "resnext101_64x4d" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNEXT101_64X4D);
    WideResnet50 "wide_resnet50_2" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::WIDE_RESNET50_2);
    WideResnet101 "wide_resnet101_2" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::WIDE_RESNET101_2);
    EfficientnetB0 "efficientnet_b0" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B0);
    EfficientnetB1 "efficientnet_b1" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B1);
    EfficientnetB2 "efficientnet_b2" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B2);
    EfficientnetB3 "efficientnet_b3" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B3);
    EfficientnetB4 "efficientnet_b4" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B4);
    EfficientnetB5 "efficientnet_b5" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B5);
    EfficientnetB6 "efficientnet_b6" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B6);
    EfficientnetB7 "efficientnet_b7" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::B7);
    EfficientnetV2S "efficientnet_v2_s" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::V2_S);
    EfficientnetV2M "efficientnet_v2_m" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::V2_M);
    EfficientnetV2L "efficientnet_v2_l" 1 Both |scope, spec| efficientnet::build(scope, spec, &efficientnet::V2_L);
    RegnetX400Mf "regnet_x_400mf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::X_400MF);
    RegnetX800Mf "regnet_x_800mf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::X_800MF);
    RegnetX1_6Gf "regnet_x_1_6gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::X_1_6GF);
    RegnetX3_2Gf "regnet_x_3_2gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::X_3_2GF);
    RegnetX8Gf "regnet_x_8gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::X_8GF);
    RegnetX16Gf "regnet_x_16gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::X_16GF);
    RegnetX32Gf "regnet_x_32gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::X_32GF);
    RegnetY400Mf "regnet_y_400mf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_400MF);
    RegnetY800Mf "regnet_y_800mf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_800MF);
    RegnetY1_6Gf "regnet_y_1_6gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_1_6GF);
    RegnetY3_2Gf "regnet_y_3_2gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_3_2GF);
    RegnetY8Gf "regnet_y_8gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_8GF);
    RegnetY16Gf "regnet_y_16gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_16GF);
    RegnetY32Gf "regnet_y_32gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_32GF);
    RegnetY128Gf "regnet_y_128gf" 1 Nothing |scope, spec| regnet::build(scope, spec, &regnet::Y_128GF);
    ConvnextTiny "convnext_tiny" 32 Paths |scope, spec| convnext::build(scope, spec, &convnext::TINY);
    ConvnextSmall "convnext_small" 32 Paths |scope, spec| convnext::build(scope, spec, &convnext::SMALL);
    ConvnextBase "convnext_base" 32 Paths |scope, spec| convnext::build(scope, spec, &convnext::BASE);
    ConvnextLarge "convnext_large" 32 Paths |scope, spec| convnext::build(scope, spec, &convnext::LARGE);
    MaxvitT "maxvit_t" WINDOWS_224 Both |scope, spec| maxvit::build(scope, spec, &maxvit::TINY);
    /// torchvision's resnet18 with a 3×3 convolution of stride 1 and no max pooling at its
    /// beginning.
    Resnet18Cifar "resnet18_cifar" 1 Nothing |scope, spec| resnet::build(scope, spec, &resnet::RESNET18_CIFAR);
    /// David Page's residual network of nine layers, 6.57 million parameters.
    Resnet9 "resnet9" 8 Nothing resnet9::build;
    /// The paper's residual networks for CIFAR-10, with shortcuts without parameters; their names
    /// count the layers.
    Resnet20 "resnet20" 1 Nothing |scope, spec| resnet_cifar::build(scope, spec, 20);
    Resnet32 "resnet32" 1 Nothing |scope, spec| resnet_cifar::build(scope, spec, 32);
    Resnet44 "resnet44" 1 Nothing |scope, spec| resnet_cifar::build(scope, spec, 44);
    Resnet56 "resnet56" 1 Nothing |scope, spec| resnet_cifar::build(scope, spec, 56);
    Resnet110 "resnet110" 1 Nothing |scope, spec| resnet_cifar::build(scope, spec, 110);
    VitB16 "vit_b_16" PATCHES_16 Features |scope, spec| vit::build(scope, spec, &vit::VIT_B_16);
    VitB32 "vit_b_32" PATCHES_32 Features |scope, spec| vit::build(scope, spec, &vit::VIT_B_32);
    VitL16 "vit_l_16" PATCHES_16 Features |scope, spec| vit::build(scope, spec, &vit::VIT_L_16);
    VitL32 "vit_l_32" PATCHES_32 Features |scope, spec| vit::build(scope, spec, &vit::VIT_L_32);
    VitH14 "vit_h_14" PATCHES_14 Features |scope, spec| vit::build(scope, spec, &vit::VIT_H_14);
    SwinT "swin_t" 4 Both |scope, spec| swin::build(scope, spec, &swin::SWIN_T);
    SwinS "swin_s" 4 Both |scope, spec| swin::build(scope, spec, &swin::SWIN_S);
    SwinB "swin_b" 4 Both |scope, spec| swin::build(scope, spec, &swin::SWIN_B);
    SwinV2T "swin_v2_t" 4 Both |scope, spec| swin::build(scope, spec, &swin::SWIN_V2_T);
    SwinV2S "swin_v2_s" 4 Both |scope, spec| swin::build(scope, spec, &swin::SWIN_V2_S);
    SwinV2B "swin_v2_b" 4 Both |scope, spec| swin::build(scope, spec, &swin::SWIN_V2_B);
    /// Six convolutions with batch norm and dropout, 0.29 million parameters.
    SimpleCnn "simple_cnn" 8 Features small::simple_cnn;
    /// Three convolutions with batch norm, 24 thousand parameters.
    TinyNet "tiny_net" 4 Features small::tiny_net;
}

impl Architecture {
    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The network of this name.
    pub fn from_name(name: &str) -> Option<Architecture> {
        Architecture::ALL.iter().copied().find(|architecture| architecture.name() == name)
    }

    /// Smallest side of a square image, from `least` pixels up, that leaves something at the
    /// network's end and otherwise suits it.
    pub fn side_from(self, least: u32) -> u32 {
        self.row().sizes.side_from(least)
    }

    /// What the network needs that images of this (height, width) lack: `vit_b_16 needs height and
    /// width to be equal and multiples of 16, such as 96x96`.
    pub fn size_problem(self, size: (u32, u32)) -> Option<String> {
        self.row().sizes.problem(self.name(), size)
    }

    /// Whether a network takes only images of the size it was built for
    /// ([`NetworkSpec::image_size`]).
    pub fn has_fixed_size(self) -> bool {
        self.row().sizes.is_fixed
    }

    /// Whether it can change images that are normalised with `ImageNet`'s statistics: see
    /// [`NetworkSpec::transform_input`].
    pub fn has_input_transform(self) -> bool {
        matches!(self, Architecture::Googlenet | Architecture::InceptionV3)
    }

    /// Whether auxiliary heads in the middle of it take part in training.
    pub fn has_auxiliary_heads(self) -> bool {
        matches!(self, Architecture::Googlenet | Architecture::InceptionV3)
    }

    /// Whether it has a dropout whose probability can be set.
    pub fn has_dropout(self) -> bool {
        matches!(self.row().drops, Drops::Features | Drops::Both)
    }

    /// Whether it has a stochastic depth whose probability can be set.
    pub fn has_drop_path(self) -> bool {
        matches!(self.row().drops, Drops::Paths | Drops::Both)
    }

    /// Whether torchvision has a network of this name.
    pub fn is_torchvisions(self) -> bool {
        use Architecture::{
            Resnet9, Resnet18Cifar, Resnet20, Resnet32, Resnet44, Resnet56, Resnet110, SimpleCnn, TinyNet,
        };
        !matches!(
            self,
            Resnet18Cifar
                | Resnet9
                | Resnet20
                | Resnet32
                | Resnet44
                | Resnet56
                | Resnet110
                | SimpleCnn
                | TinyNet
        )
    }

    /// Side of the images for which it was made: 224 pixels, or 32 for the small ones.
    pub fn usual_size(self) -> u32 {
        if self.is_torchvisions() { 224 } else { 32 }
    }

    /// Side of the images with which it is compared with torchvision's network: small, but enough
    /// for all its parts.
    pub fn reference_size(self) -> i64 {
        i64::from(self.side_from(64))
    }

    pub(super) fn build(self, scope: &Scope, spec: &NetworkSpec) -> Model {
        (self.row().build)(scope, spec)
    }
}

impl JsonSchema for Architecture {
    fn schema_name() -> Cow<'static, str> {
        "Architecture".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Architecture::ALL.iter().map(|architecture| architecture.name()).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

#[cfg(test)]
#[path = "tests/registry.rs"]
mod tests;
