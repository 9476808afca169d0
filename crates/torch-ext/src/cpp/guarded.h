// What every file of the shim needs: no exception leaves it.

#pragma once

#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// Null, or a message that the caller frees with te_free.
template <typename Body>
char *guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}
