#!/usr/bin/env python3
"""Writes batch/*.bin: record batches as a Kafka client builds them. See README.md beside this file."""

import os
import struct

import snappy
import zstandard
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

BASE_TIMESTAMP_MS = 1_700_000_000_000
RECORDS = 50
HEADER_SIZE = 61
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)


def record(i):
    """The same rules as expected_record() in tests/unit/proto/test_batch_golden.c."""
    key = [None, b"", b"key-%d" % i][i % 3]
    value = None if i % 5 == 4 else b"value %d;" % i * (i % 20)
    headers = [("trace", bytes([i, 255])), ("empty", b""), ("null", None)] if i % 4 == 2 else []
    timestamp = BASE_TIMESTAMP_MS + (i * 1000 if i != 10 else -5)
    return timestamp, key, value, headers


def build(codec, producer=(-1, -1, -1), count=RECORDS):
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=False, producer_id=producer[0],
        producer_epoch=producer[1], base_sequence=producer[2], batch_size=1 << 20)
    for i in range(count):
        timestamp, key, value, headers = record(i)
        assert builder.append(i, timestamp, key, value, headers)
    return bytes(builder.build())


def with_records(batch, codec, records):
    """The batch with its records replaced by already compressed ones."""
    body = bytearray(batch[:HEADER_SIZE] + records)
    struct.pack_into(">i", body, 8, len(body) - 12)
    struct.pack_into(">h", body, 21, codec)
    struct.pack_into(">I", body, 17, calc_crc32c(bytes(body[21:])))
    return bytes(body)


def main():
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "batch")
    plain = build(NONE)
    stream = zstandard.ZstdCompressor().compressobj()  # does not know the size beforehand
    batches = {
        "none": plain,
        "gzip": build(GZIP),
        "snappy_xerial": build(SNAPPY),
        "snappy_bare": with_records(plain, SNAPPY, snappy.compress(plain[HEADER_SIZE:])),
        "lz4": build(LZ4),
        "zstd": build(ZSTD),
        "zstd_stream": with_records(plain, ZSTD, stream.compress(plain[HEADER_SIZE:]) + stream.flush()),
        "idempotent": build(NONE, producer=(4711, 3, 2147483600)),
        "single": build(NONE, count=1),
    }
    for name, batch in batches.items():
        with open(os.path.join(directory, name + ".bin"), "wb") as file:
            file.write(batch)


if __name__ == "__main__":
    main()
