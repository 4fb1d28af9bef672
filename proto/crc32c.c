#include "proto/crc32c.h"
#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    /* ISA-L works on the bare shift register and takes an int for the size. */
    enum { STEP = 1 << 30 };
    unsigned char *at = (unsigned char *)(uintptr_t)data; /* its prototype lacks const; it only reads */
    uint32_t state = ~crc;

    while (size > 0) {
        size_t step = size < STEP ? size : STEP;
        state = crc32_iscsi(at, (int)step, state);
        at += step;
        size -= step;
    }
    return ~state;
}
