/* Private to batch*.c. */
#ifndef PROTO_BATCH_INTERNAL_H
#define PROTO_BATCH_INTERNAL_H

#include "proto/batch.h"

/* Writes the header in front of the records that already stand at data + BATCH_HEADER_SIZE, and the CRC.
 * `magic` and `crc` of `header` are ignored. */
void batch_seal(void *data, const struct batch_header *header);

#endif
