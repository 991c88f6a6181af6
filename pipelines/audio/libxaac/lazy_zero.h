/* Leaves out the clearing of freshly allocated encoder memory, which is zeroed already (see toolchain.cmake).
 *
 * Only blocks of more than 1 MiB are meant: in libxaac's encoder those are cleared when they have been allocated,
 * and at no other time. */
#ifndef CASTGATE_LAZY_ZERO_H
#define CASTGATE_LAZY_ZERO_H

#include <string.h>

static inline void *castgate_lazy_memset(void *block, int byte, size_t size) {
  return byte == 0 && size > ((size_t)1 << 20) ? block : (memset)(block, byte, size);
}

#define memset(block, byte, size) castgate_lazy_memset(block, byte, size)

#endif
