/* Private to crew*.c: one member at work. */
#ifndef CLI_WORKLOAD_CREW_MEMBER_H
#define CLI_WORKLOAD_CREW_MEMBER_H

#include "client/cli/workload/crew.h"

/* False after setting the member's error. */
bool crew_member_run(struct crew_member *m);   /* as a thread */
bool crew_member_spawn(struct crew_member *m); /* as a process, with a thread that reads what it prints */
/* A record was processed. */
void crew_note(struct crew *c, int member, int32_t partition, int64_t offset);

#endif
