/* flotilla bench groups */
#include "client/cli/bench/groups.h"
#include "client/cli/commands.h"

#include <string.h>

enum {
    CROWD_PARTITIONS = 1000,
    CROWD_MEMBERS = 100,
    IDLE_GROUPS = 1000,
    IDLE_MEMBERS = 3,
    COMMIT_SECONDS = 5
};

static bool wants(const char *part, const char *name)
{
    return part == NULL || strcmp(part, name) == 0;
}

static bool is_part(const char *part)
{
    return wants(part, "churn") || wants(part, "commits") || wants(part, "crowd") || wants(part, "idle") ||
           wants(part, "client");
}

bool bench_groups(struct bench_cluster *b, struct bench_report *r, const char *part, unsigned rounds)
{
    bool ok = !wants(part, "client") || bench_client_cost(b, r);
    ok = ok && (!wants(part, "churn") || bench_groups_churn(b, r, rounds));
    ok = ok && (!wants(part, "commits") || bench_groups_commits(b, r, CROWD_MEMBERS, COMMIT_SECONDS));
    ok = ok && (!wants(part, "crowd") || bench_groups_crowd(b, r, CROWD_MEMBERS, CROWD_PARTITIONS));
    return ok && (!wants(part, "idle") || bench_groups_idle(b, r, IDLE_GROUPS, IDLE_MEMBERS));
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct cli_target target = CLI_TARGET_DEFAULT;
    int64_t rounds = 1;
    const char *part = NULL;
    struct cli_option options[] = {
        {"rounds", 'n', CLI_NUMBER, &rounds, "N", "how often the members come and go", 1, 1000},
        {"part", 'p', CLI_TEXT, &part, "NAME", "only churn, commits, crowd, idle or client", 0, 0},
        CLI_TARGET_OPTIONS(target),
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 5, argc, argv, &rest, 0, &count, 0);
    if (status >= 0) {
        return status;
    }
    if (!is_part(part)) {
        cli_error(self, "--part takes churn, commits, crowd, idle or client, not \"%s\"", part);
        return CLI_USAGE;
    }
    struct bench_cluster b;
    struct bench_report report = {.count = 0};
    bool ok = bench_cluster_open(&b, self, &target) && bench_groups(&b, &report, part, (unsigned)rounds);
    bench_cluster_close(&b);
    bench_print(&report, target.json);
    return ok ? CLI_OK : CLI_FAILED;
}

const struct cli_command cmd_bench_groups = {
    "bench groups", "", "Consumer groups: members come, go, hang and die; crowds; commits",
    "  flotilla bench groups\n  flotilla bench groups --part churn --rounds 5", run};
