/* What `flotilla doctor` looks at. Each check adds what it found, how bad that is, and what to do about it.
 */
#ifndef CLI_DOCTOR_DOCTOR_H
#define CLI_DOCTOR_DOCTOR_H

#include "client/cli/cli.h"
#include "node/server/config.h"

enum doctor_state { DOCTOR_FINE, DOCTOR_CONSIDER, DOCTOR_CHANGE }; /* from best to worst */

struct doctor_finding {
    enum doctor_state state;
    char check[24];
    char found[256];
    char advice[320]; /* what to change and why; "" when all is fine */
};

struct doctor_report {
    struct doctor_finding *findings;
    size_t count;
};

/* Returns the finding, whose advice is filled in with doctor_advise. */
struct doctor_finding *doctor_add(struct doctor_report *r, enum doctor_state state, const char *check,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));
void doctor_advise(struct doctor_finding *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum doctor_state doctor_worst(const struct doctor_report *r); /* DOCTOR_FINE of an empty one */
void doctor_print(const struct doctor_report *r, bool json);   /* aligned text, or a line of JSON each */
void doctor_close(struct doctor_report *r);

/* host.c */
void doctor_files(struct doctor_report *r, const struct node_config *config);
void doctor_memory(struct doctor_report *r, const struct node_config *config);
void doctor_clock(struct doctor_report *r);
/* disk.c */
void doctor_disk(struct doctor_report *r, const struct node_config *config);
/* network.c */
void doctor_ports(struct doctor_report *r, const struct node_config *config);
void doctor_addresses(struct doctor_report *r, const struct node_config *config);

#endif
