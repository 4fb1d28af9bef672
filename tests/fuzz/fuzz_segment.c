/* A replica's files from a disk that may have done anything to them: recovery reads them, repairs them, and
 * is content with what it has repaired.
 *
 * The input: the size of an index file (2 bytes, big-endian), that file, and a segment. */
#include "node/base/assert.h"
#include "node/storage/recovery.h"
#include "proto/batch.h"
#include "proto/bytes.h"
#include "proto/crc32c.h"
#include "tests/fuzz/scratch.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_BATCH = 64 * 1024, LENGTH_AT = 8, CRC_AT = 17, ATTRIBUTES_AT = 21 };

/* Inspects, and repairs what can be; the place where the log ends, or -1. */
static int64_t recover(const struct scratch *s, uint64_t floor, bool *damaged)
{
    struct recovery r;
    recovery_init(&r, s->env, s->directory, MAX_BATCH, floor);
    recovery_inspect(&r);
    int64_t end = r.status == 0 ? (int64_t)r.end.index : -1;
    *damaged = r.report.damaged;
    if (r.status == 0)
        recovery_repair(&r);
    if (r.status != 0)
        end = -1;
    recovery_close(&r);
    return end;
}

static void check(const uint8_t *index, size_t index_size, const uint8_t *log, size_t log_size,
                  uint64_t floor)
{
    const struct scratch *s = scratch_get();
    bool damaged;
    scratch_clear(s);
    scratch_write(s, "00000000000000000001.log", log, log_size);
    if (index_size > 0)
        scratch_write(s, "00000000000000000001.idx", index, index_size);
    int64_t end = recover(s, floor, &damaged);
    if (end < 0)
        return;
    int64_t again = recover(s, damaged ? 0 : floor, &damaged);
    ASSERT(again == end && !damaged);
}

/* CRCs put right, which a fuzzer cannot guess, so that it gets to what lies behind them. */
static void mend(uint8_t *log, size_t size)
{
    while (size >= BATCH_HEADER_SIZE) {
        size_t batch = (size_t)load_be32(log + LENGTH_AT) + BATCH_LENGTH_OFFSET;
        if (batch < BATCH_HEADER_SIZE || batch > size)
            return;
        store_be32(log + CRC_AT, crc32c(0, log + ATTRIBUTES_AT, batch - ATTRIBUTES_AT));
        log += batch;
        size -= batch;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t index_size = load_be16(data);
    data += 2;
    size -= 2;
    if (index_size > size)
        index_size = 0;
    const uint8_t *log = data + index_size;
    size_t log_size = size - index_size;
    struct bytes mended;
    check(data, index_size, log, log_size, 0);
    check(data, index_size, log, log_size, 3);
    bytes_init(&mended);
    bytes_append(&mended, log, log_size);
    mend(mended.data, log_size);
    check(data, index_size, mended.data, log_size, 3);
    bytes_close(&mended);
    return 0;
}
