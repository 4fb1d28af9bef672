/* flotilla bench groups */
#include "client/cli/bench_groups.h"
#include "client/cli/commands.h"

enum {
    CROWD_PARTITIONS = 1000,
    CROWD_MEMBERS = 100,
    IDLE_GROUPS = 1000,
    IDLE_MEMBERS = 3,
    COMMIT_SECONDS = 5
};

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct cli_target target = CLI_TARGET_DEFAULT;
    int64_t rounds = 1;
    bool only_churn = false;
    struct cli_option options[] = {
        {"rounds", 'n', CLI_NUMBER, &rounds, "N", "how often the members come and go", 1, 1000},
        {"churn-only", 0, CLI_FLAG, &only_churn, NULL,
         "leave out the crowds, the idle groups and the commits", 0, 0},
        CLI_TARGET_OPTIONS(target),
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 5, argc, argv, &rest, 0, &count, 0);
    if (status >= 0) {
        return status;
    }
    struct bench_cluster b;
    struct bench_report report = {.count = 0};
    bool ok = bench_cluster_open(&b, self, &target) && bench_groups_churn(&b, &report, (unsigned)rounds);
    if (ok && !only_churn) {
        ok = bench_groups_commits(&b, &report, CROWD_MEMBERS, COMMIT_SECONDS);
        ok = bench_groups_crowd(&b, &report, CROWD_MEMBERS, CROWD_PARTITIONS) && ok;
        ok = bench_groups_idle(&b, &report, IDLE_GROUPS, IDLE_MEMBERS) && ok;
    }
    bench_cluster_close(&b);
    bench_print(&report, target.json);
    return ok ? CLI_OK : CLI_FAILED;
}

const struct cli_command cmd_bench_groups = {
    "bench groups", "", "Consumer groups: members come, go, hang and die; crowds; commits",
    "  flotilla bench groups\n  flotilla bench groups --churn-only --rounds 5", run};
