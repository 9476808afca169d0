//! Compiles the shim against libtorch's headers, and passes on where libtorch lies, so that
//! executables find it at run time without environment variables.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/cpp");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys says where libtorch lies");
    let root = Path::new(&lib).parent().expect("libtorch's lib folder has a parent");
    println!("cargo:libtorch_lib={lib}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    let build = |name: &str, files: &[&str], opt_level: Option<u32>| {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std("c++17")
            .include(root.join("include"))
            .include(root.join("include/torch/csrc/api/include"))
            .define("_GLIBCXX_USE_CXX11_ABI", "1")
            // As libtorch is built: without it, some of its structs have members that libtorch's
            // own do not have.
            .define("NDEBUG", None)
            // Likewise; and what gloo's headers would declare.
            .define("USE_C10D_GLOO", None)
            .include("src/cpp/gloo")
            .define("TORCH_EXT_LIBTORCH_VERSION", Some(format!("\"{}\"", version(root)).as_str()))
            // libtorch's headers, not ours.
            .warnings(false);
        if let Some(level) = opt_level {
            build.opt_level(level);
        }
        build.files(files.iter().map(|file| format!("src/cpp/{file}.cpp"))).compile(name);
    };
    let shim = [
        "amp",
        "autograd",
        "conv",
        "cuda",
        "distributed",
        "foreach",
        "optim",
        "record",
        "script",
        "shim",
        "team",
        "transfer",
    ];
    build("torch_ext_shim", &shim, None);
    // Loops over images, which are for the compiler to vectorise in every profile.
    build("torch_ext_kernels", &["norm"], Some(3));
    // After the shim, which needs them.
    println!("cargo:rustc-link-search=native={lib}");
    for name in ["torch_cpu", "torch", "c10"] {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
}

/// From the header that every libtorch has, wheel or zip.
fn version(root: &Path) -> String {
    let folders = ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"];
    let text = folders.iter().find_map(|header| {
        std::fs::read_to_string(root.join(header))
            .ok()
            .filter(|text| text.contains("#define TORCH_VERSION_MAJOR"))
    });
    let number = |name: &str| {
        let text = text.as_deref().unwrap_or_default();
        let line =
            text.lines().find_map(|line| line.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    format!("{}.{}.{}", number("MAJOR"), number("MINOR"), number("PATCH"))
}
