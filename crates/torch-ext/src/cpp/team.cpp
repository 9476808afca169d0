// Teams of libgomp's, the library that runs libtorch's threads.

#include "guarded.h"

#include <dlfcn.h>

extern "C" {

// Opens a parallel region that does nothing, of this many threads of the calling thread's own. They
// sleep afterwards, until the calling thread ends. `*opened` is false without libgomp.
char *te_open_team(unsigned threads, bool *opened) noexcept {
  return guarded([&] {
    // libgomp's entry point for `#pragma omp parallel`.
    using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
    const auto parallel = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    *opened = parallel != nullptr;
    if (parallel) parallel([](void *) {}, nullptr, threads, 0);
  });
}
}
