/* The measurements of consumer groups. Each returns false after saying what went wrong. */
#ifndef CLI_BENCH_GROUPS_H
#define CLI_BENCH_GROUPS_H

#include "client/cli/bench/bench.h"

/* Members come, go, hang and die while a producer writes. */
bool bench_groups_churn(struct bench_cluster *b, struct bench_report *r, unsigned rounds);
/* Many members of one group at once, and one more. */
bool bench_groups_crowd(struct bench_cluster *b, struct bench_report *r, unsigned members,
                        uint32_t partitions);
/* Many groups that do nothing. */
bool bench_groups_idle(struct bench_cluster *b, struct bench_report *r, unsigned groups, unsigned members);
/* Commits of one partition each, as fast as they go. */
bool bench_groups_commits(struct bench_cluster *b, struct bench_report *r, unsigned members, double seconds);

/* All of them, or the one that `part` names: client, churn, commits, crowd, idle. */
bool bench_groups(struct bench_cluster *b, struct bench_report *r, const char *part, unsigned rounds);

#endif
