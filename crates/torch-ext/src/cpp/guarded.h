// What every file of the shim needs: no exception leaves it. Every function that Rust calls is
// noexcept, so that one which did would end the process instead of unwinding into Rust.

#pragma once

#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// Stands for a message that there was no memory for; te_free leaves it alone.
inline char no_memory[] = "there is no memory left, not even for libtorch's message";

// A copy for the caller to free with te_free; never null.
inline char *copied(const char *text) noexcept {
  char *copy = strdup(text);
  return copy ? copy : no_memory;
}

// Null, or a message that the caller frees with te_free.
template <typename Body>
char *guarded(Body body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return copied(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return copied(error.what());
  } catch (...) {
    return copied("an unknown C++ exception");
  }
}
