//! The names in a pickle that stand for data of a known form. What any other makes is opaque: its
//! name is kept, and nothing else is known of it.

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
    /// `torch.FloatStorage` and the like; `UntypedStorage` is of bytes.
    Storage(Kind),
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`: a tensor of a subclass, or with attributes.
    RebuildFromType,
    /// `torch.nn.Parameter`, as files from before 0.4 name it.
    Parameter,
    /// `numpy.dtype`.
    NumpyDtype,
    /// `numpy.core.multiarray.scalar`: a number of a [`NumpyDtype`](Global::NumpyDtype).
    NumpyScalar,
    /// A function whose first argument is the class of what it makes.
    Maker,
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

/// Types of elements whose storages are skipped: tensors of them are opaque.
const OPAQUE_KINDS: [(Kind, &str, &str); 5] = [
    (Kind::ComplexFloat, "ComplexFloatStorage", "torch.complex64"),
    (Kind::ComplexDouble, "ComplexDoubleStorage", "torch.complex128"),
    (Kind::QInt8, "QInt8Storage", "torch.qint8"),
    (Kind::QUInt8, "QUInt8Storage", "torch.quint8"),
    (Kind::QInt32, "QInt32Storage", "torch.qint32"),
];

/// The name of a dtype whose tensors are opaque.
pub(super) fn opaque_dtype(kind: Kind) -> Option<&'static str> {
    OPAQUE_KINDS.iter().find(|(known, _, _)| *known == kind).map(|(_, _, dtype)| *dtype)
}

/// The name of the storage class for elements of `kind`.
pub(super) fn storage_class(kind: Kind) -> Option<&'static str> {
    KINDS.iter().chain(&OPAQUE_KINDS).find(|(known, _, _)| *known == kind).map(|(_, class, _)| *class)
}

/// What `module.name` stands for, if it is data.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("collections", "Counter") => Global::Counter,
        ("collections", "defaultdict") => Global::DefaultDict,
        ("argparse", "Namespace") | ("types", "SimpleNamespace") => Global::Namespace,
        ("_codecs", "encode") => Global::Encode,
        ("__builtin__" | "builtins", "dict" | "list") => Global::Factory,
        ("__builtin__" | "builtins", "set" | "frozenset") => Global::Set,
        ("__builtin__" | "builtins", "bytearray") => Global::Bytearray,
        ("torch", "Size") => Global::Size,
        ("torch", "device") => Global::Device,
        ("torch.storage" | "torch", "UntypedStorage") => Global::Storage(Kind::Uint8),
        ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
        ("torch.nn.parameter", "Parameter") => Global::Parameter,
        ("numpy", "dtype") => Global::NumpyDtype,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Global::NumpyScalar,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct")
        | ("copyreg" | "copy_reg", "_reconstructor" | "__newobj__" | "__newobj_ex__") => Global::Maker,
        ("torch" | "torch.cuda", name) => {
            let storage =
                |(kind, class, _): &(Kind, &str, &str)| (*class == name).then_some(Global::Storage(*kind));
            let dtype = |(_, _, dtype): &(Kind, &str, &'static str)| {
                (dtype.strip_prefix("torch.") == Some(name)).then_some(Global::Dtype(dtype))
            };
            let found = KINDS.iter().find_map(|entry| storage(entry).or_else(|| dtype(entry)));
            found.or_else(|| OPAQUE_KINDS.iter().find_map(storage))?
        }
        _ => return None,
    })
}
