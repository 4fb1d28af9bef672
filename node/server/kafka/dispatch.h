/* From a request's key to its handler: one table, in dispatch.c; one file per API beside it. A handler is
 * called once with `r->message` decoded (struct kafka_<api>_request) and a version that the API has. Internal
 * to this room. */
#ifndef SERVER_KAFKA_DISPATCH_H
#define SERVER_KAFKA_DISPATCH_H

#include "node/server/kafka/kafka_request.h"

/* Reads the header and the message, and calls the handler. */
void kafka_dispatch(struct kafka_request *r);
/* Whether there is a handler, so that ApiVersions may name it. */
bool kafka_is_served(int16_t key);

void kafka_api_versions(struct kafka_request *r);
void kafka_produce(struct kafka_request *r);
void kafka_fetch(struct kafka_request *r);
void kafka_list_offsets(struct kafka_request *r);
void kafka_metadata(struct kafka_request *r);
void kafka_find_coordinator(struct kafka_request *r);
void kafka_offset_commit(struct kafka_request *r);
void kafka_offset_fetch(struct kafka_request *r);
void kafka_join_group(struct kafka_request *r);
void kafka_sync_group(struct kafka_request *r);
void kafka_heartbeat(struct kafka_request *r);
void kafka_leave_group(struct kafka_request *r);
void kafka_describe_groups(struct kafka_request *r);
void kafka_list_groups(struct kafka_request *r);
void kafka_delete_groups(struct kafka_request *r);
void kafka_offset_delete(struct kafka_request *r);
void kafka_init_producer_id(struct kafka_request *r);

/* ---- administration ---- */

void kafka_create_topics(struct kafka_request *r);
void kafka_delete_topics(struct kafka_request *r);
void kafka_delete_records(struct kafka_request *r);
void kafka_create_partitions(struct kafka_request *r);
void kafka_describe_configs(struct kafka_request *r);
void kafka_alter_configs(struct kafka_request *r);
void kafka_incremental_alter_configs(struct kafka_request *r);
void kafka_describe_cluster(struct kafka_request *r);
void kafka_describe_topic_partitions(struct kafka_request *r);
void kafka_describe_log_dirs(struct kafka_request *r);
void kafka_elect_leaders(struct kafka_request *r);
void kafka_offset_for_leader_epoch(struct kafka_request *r);

#endif
