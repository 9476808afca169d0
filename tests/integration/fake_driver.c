/* As much of NVIDIA's driver as libtorch asks before it gives up: it serves the version of CUDA in
   FAKE_CUDA (12080 is 12.8), has no device, and fails with FAKE_ERROR in cuInit. */

#include <stdlib.h>
#include <string.h>

static int number_in(const char *variable, int otherwise) {
  const char *text = getenv(variable);
  return text ? atoi(text) : otherwise;
}

int cuInit(unsigned flags) {
  (void)flags;
  return number_in("FAKE_ERROR", 0);
}

int cuDriverGetVersion(int *version) {
  *version = number_in("FAKE_CUDA", 13000);
  return 0;
}

int cuDeviceGetCount(int *count) {
  *count = 0;
  return 0;
}

/* CUDA_ERROR_UNKNOWN, for whatever else there is. */
static int unknown(void) { return 999; }

int cuGetProcAddress_v2(const char *name, void **found, int version, unsigned long long flags, int *status) {
  (void)version;
  (void)flags;
  if (!strcmp(name, "cuInit")) *found = (void *)cuInit;
  else if (!strcmp(name, "cuDriverGetVersion")) *found = (void *)cuDriverGetVersion;
  else if (!strcmp(name, "cuDeviceGetCount")) *found = (void *)cuDeviceGetCount;
  else if (!strcmp(name, "cuGetProcAddress")) *found = (void *)cuGetProcAddress_v2;
  else *found = (void *)unknown;
  if (status) *status = 0;
  return 0;
}

int cuGetProcAddress(const char *name, void **found, int version, unsigned long long flags) {
  return cuGetProcAddress_v2(name, found, version, flags, 0);
}
