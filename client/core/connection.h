/* Private to connection.c, output.c and input.c: one connection's two directions and the
 * requests between them. What the rest of the core sees of a connection is in internal.h. */
#ifndef CLIENT_CORE_CONNECTION_H
#define CLIENT_CORE_CONNECTION_H

#include "client/core/internal.h"

void core_output_reset(struct core_endpoint *e, int status); /* what waited to be sent ends with `status` */
void core_requests_reset(struct core_endpoint *e);           /* frees the table; nothing is outstanding */
/* Every request that was outstanding learns it, the oldest first. */
void core_requests_fail(struct core_endpoint *e, int status);
struct core_request *core_request_find(struct core_endpoint *e, uint64_t correlation); /* NULL: none */
void core_request_finish(struct core *core, struct core_request *request, int status,
                         const struct core_frame *frame);

void core_input_begin(struct core_endpoint *e);
void core_input_reset(struct core_endpoint *e);

#endif
