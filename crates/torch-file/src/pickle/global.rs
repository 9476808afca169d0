//! The names that a pickle may refer to. A name that is not here is refused when it is met.

use tch::Kind;

/// A Python class or function that a pickle names; none is ever run, each stands for data of a
/// known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    /// `collections.Counter`, which holds the milestones of `MultiStepLR`.
    Counter,
    DefaultDict,
    Namespace,
    /// `dict` and `list` as the factory of a `defaultdict`.
    Factory,
    Set,
    Bytearray,
    /// `_codecs.encode`: how protocol 2 writes `bytes`.
    Encode,
    Size,
    Device,
    /// `torch.float32` and the like.
    Dtype(&'static str),
    /// `torch.FloatStorage` and the like; none for `UntypedStorage`.
    Storage(Option<Kind>),
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
    /// `torch.nn.Parameter`, as files from before 0.4 name it.
    Parameter,
}

/// Types of elements: libtorch's, the name of torch's storage class, the name of the dtype.
pub(crate) const KINDS: [(Kind, &str, &str); 10] = [
    (Kind::Float, "FloatStorage", "torch.float32"),
    (Kind::Double, "DoubleStorage", "torch.float64"),
    (Kind::Half, "HalfStorage", "torch.float16"),
    (Kind::BFloat16, "BFloat16Storage", "torch.bfloat16"),
    (Kind::Int64, "LongStorage", "torch.int64"),
    (Kind::Int, "IntStorage", "torch.int32"),
    (Kind::Int16, "ShortStorage", "torch.int16"),
    (Kind::Int8, "CharStorage", "torch.int8"),
    (Kind::Uint8, "ByteStorage", "torch.uint8"),
    (Kind::Bool, "BoolStorage", "torch.bool"),
];

/// What `module.name` stands for, if it is data.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("collections", "Counter") => Global::Counter,
        ("collections", "defaultdict") => Global::DefaultDict,
        ("argparse", "Namespace") => Global::Namespace,
        ("_codecs", "encode") => Global::Encode,
        ("__builtin__" | "builtins", "dict" | "list") => Global::Factory,
        ("__builtin__" | "builtins", "set" | "frozenset") => Global::Set,
        ("__builtin__" | "builtins", "bytearray") => Global::Bytearray,
        ("torch", "Size") => Global::Size,
        ("torch", "device") => Global::Device,
        ("torch.storage" | "torch", "UntypedStorage") => Global::Storage(None),
        ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch.nn.parameter", "Parameter") => Global::Parameter,
        ("torch" | "torch.cuda", name) => {
            let storage = |(kind, class, _): &(Kind, &str, &str)| {
                (*class == name).then_some(Global::Storage(Some(*kind)))
            };
            let dtype = |(_, _, dtype): &(Kind, &str, &'static str)| {
                (dtype.strip_prefix("torch.") == Some(name)).then_some(Global::Dtype(dtype))
            };
            KINDS.iter().find_map(|entry| storage(entry).or_else(|| dtype(entry)))?
        }
        _ => return None,
    })
}
