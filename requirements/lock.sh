#!/usr/bin/env bash
# Rewrites the locked requirements (*.txt) from the wanted ones (*.in). Needs uv; set-up itself does not.
set -euo pipefail
cd "$(dirname "$0")"
lock() {
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-emit-index-url \
        "$@"
}
lock "$@" --output-file test.txt test.in
for profile in runtime-cuda tools; do
    lock "$@" --constraint test.txt --output-file $profile.txt $profile.in
done
# Without torch's own dependencies: only Python's `import torch` needs them, not libtorch on the CPU.
printf '%s\n' '[[dependency-metadata]]' 'name = "torch"' 'version = "2.11.0"' 'requires-dist = []' >.uv.toml
trap 'rm -f .uv.toml' EXIT
lock "$@" --config-file .uv.toml --constraint test.txt --output-file runtime-cpu.txt runtime-cpu.in
