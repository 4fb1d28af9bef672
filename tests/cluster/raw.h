/* The native protocol by hand on a blocking socket, for tests that must talk to one particular node, or
 * wrongly. */
#ifndef TESTS_CLUSTER_RAW_H
#define TESTS_CLUSTER_RAW_H

#include "proto/client.pb-c.h"
#include "proto/frame.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int raw_connect(uint16_t port);
bool raw_send(int fd, const void *data, size_t size);
bool raw_request(int fd, uint16_t type, const ProtobufCMessage *header, const void *payload,
                 size_t payload_size);
struct raw_frame {
    struct frame_head head;
    unsigned char *header; /* malloc'ed; free with raw_frame_free */
    unsigned char *payload;
    size_t payload_size;
};
/* False when the node closed the connection or said nothing for `timeout_ms`. */
bool raw_receive(int fd, struct raw_frame *frame, int timeout_ms);
void raw_frame_free(struct raw_frame *frame);
/* Whether the node has closed its side within `timeout_ms` (what it sends before is thrown away). */
bool raw_closed(int fd, int timeout_ms);
/* HELLO and its answer. */
bool raw_hello(int fd);
/* One record to one partition with acks=all: the answer's error code, or ERR_TIMED_OUT when none comes. */
int raw_produce(int fd, const uint8_t topic_id[16], uint32_t partition, const char *value, int timeout_ms);
/* Where the partition ends, which only a leader that has asked its quorum may tell: the answer's error code,
 * or ERR_TIMED_OUT. */
int raw_list_end(int fd, const uint8_t topic_id[16], uint32_t partition, int64_t *end, int timeout_ms);

#endif
