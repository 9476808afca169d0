//! Compiles the shim against libjpeg-turbo's headers.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/shim.c");
    let include = std::env::var("DEP_TURBOJPEG_INCLUDE").expect("turbojpeg-sys says where its headers lie");
    let mut build = cc::Build::new();
    for folder in include.split(',') {
        build.include(folder);
    }
    build.file("src/shim.c").compile("jpeg_ext_shim");
}
