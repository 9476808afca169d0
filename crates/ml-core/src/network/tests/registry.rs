//! The worked example of `docs/extending.md`.

use super::*;
use crate::network::tests::plain_net;

#[test]
fn the_worked_example_of_the_documentation_compiles_and_is_what_the_page_shows() {
    // A list of its own.
    architectures! {
    PlainNet "plain_net" 1 Features plain_net::plain_net;
        }
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/extending.md"));
    for part in [
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/plain_net.rs")),
        "\n    PlainNet \"plain_net\" 1 Features plain_net::plain_net;\n",
    ] {
        assert!(page.contains(part), "docs/extending.md lacks:\n{part}");
    }
    assert!(include_str!("registry.rs").contains(" PlainNet \"plain_net\" 1 Features plain_net::plain_net;"));
    let scope = Scope::root();
    let row = Architecture::ALL[0].row();
    let model = (row.build)(&scope, &NetworkSpec::from(5));
    let names: Vec<String> = scope.finish(1).entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), 3 * 6 + 2);
    let images = tch::Tensor::zeros([2, 3, 9, 9], (tch::Kind::Float, tch::Device::Cpu));
    assert_eq!((row.name, model.forward_t(&images, false).size()), ("plain_net", vec![2, 5]));
}
