// PyTorch's wheels have gloo's code in libtorch_cpu, but not its headers. What c10d's header of
// gloo's process group names of them is declared here; nothing of it is defined or called.

#pragma once

namespace gloo {
class Algorithm;
} // namespace gloo
