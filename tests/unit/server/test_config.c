/* Settings from file, environment and flags: values, precedence, and what each kind of mistake is answered
 * with. */
#include "node/server/config.h"
#include "proto/error.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 16 };

struct load {
    struct node_config config;
    char message[1024];
    int status;
};

/* Arguments separated by '|'; the same for the environment. */
static void load(struct load *l, const char *arguments, const char *environment)
{
    char flags[2048], variables[2048];
    char *argv[ARGUMENTS_MAX] = {(char *)(uintptr_t) "flotillad"}, *env[ARGUMENTS_MAX] = {NULL};
    int argc = 1, count = 0;
    snprintf(flags, sizeof(flags), "%s", arguments);
    snprintf(variables, sizeof(variables), "%s", environment);
    for (char *rest = flags, *item; rest != NULL && *rest != '\0' && (item = strsep(&rest, "|")) != NULL;)
        argv[argc++] = item;
    for (char *rest = variables, *item; rest != NULL && *rest != '\0' && (item = strsep(&rest, "|")) != NULL;)
        env[count++] = item;
    l->message[0] = '\0';
    l->status = config_load(&l->config, argc, argv, env, l->message, sizeof(l->message));
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

static void load_ok(struct load *l, const char *arguments, const char *environment)
{
    load(l, arguments, environment);
    if (l->status != 0)
        fail_msg("refused: %s", l->message);
}

#define DOCUMENTATION GOLDEN_DIR "/../../docs/configuration.md"
#define PEERS         "1@127.0.0.1:9292,2@127.0.0.1:9293,3@127.0.0.1:9294"

static void test_defaults(void **state)
{
    (void)state;
    struct load l;
    load_ok(&l, "", "");
    assert_int_equal(l.config.node_id, 1);
    assert_string_equal(l.config.data_dir, "flotilla-data");
    assert_int_equal(l.config.client_port, 9192);
    assert_int_equal(l.config.peer_port, 9292);
    assert_int_equal(l.config.http_port, 9392);
    assert_string_equal(l.config.listen_host, "127.0.0.1");
    assert_string_equal(l.config.advertise_host, "127.0.0.1");
    assert_int_equal(l.config.heartbeat_ms, 100);
    assert_int_equal(l.config.entry_memory_bytes, 2 << 20);
    assert_int_equal(l.config.log_level, LOG_INFO);
    assert_int_equal(strlen(l.config.cluster_id), 36);
    assert_int_equal(l.config.cluster_id[14], '5'); /* the UUID's version */
}

static void test_values(void **state)
{
    (void)state;
    struct load l;
    load_ok(&l,
            "--node-id|2|--peers=" PEERS "|--heartbeat|20ms|--election-timeout|2s|--cache-bytes|512KiB|"
            "--connection-bytes=1048576|--log-level|debug|--rack|a b",
            "");
    assert_int_equal(l.config.node_id, 2);
    assert_int_equal(l.config.peer_count, 3);
    assert_string_equal(l.config.peers[2].host, "127.0.0.1");
    assert_int_equal(l.config.peers[2].port, 9294);
    assert_int_equal(l.config.peer_port, 9293); /* from its own entry */
    assert_int_equal(l.config.heartbeat_ms, 20);
    assert_int_equal(l.config.election_timeout_ms, 2000);
    assert_int_equal(l.config.cache_bytes, 512 << 10);
    assert_int_equal(l.config.connection_bytes, 1 << 20);
    assert_int_equal(l.config.log_level, LOG_DEBUG);
    assert_string_equal(l.config.rack, "a b");
}

static void test_hosts_follow_the_peers(void **state)
{
    (void)state;
    struct load l;
    load_ok(&l, "--node-id|2|--peers|1@ten:9292,2@eleven:9292", "");
    assert_string_equal(l.config.listen_host, "0.0.0.0");
    assert_string_equal(l.config.advertise_host, "eleven");
    load_ok(&l, "--node-id|2|--peers|1@[::1]:9292,2@[::1]:9293|--advertise-host|public", "");
    assert_string_equal(l.config.peers[0].host, "::1");
    assert_string_equal(l.config.advertise_host, "public");
}

static void test_cluster_id_is_the_peer_list(void **state)
{
    (void)state;
    struct load a, b, c;
    load_ok(&a, "--node-id|1|--peers|" PEERS, "");
    load_ok(&b, "--node-id|3|--peers|3@127.0.0.1:9294,1@127.0.0.1:9292,2@127.0.0.1:9293", "");
    load_ok(&c, "--node-id|1|--peers|1@127.0.0.1:9292,2@127.0.0.1:9293,3@127.0.0.1:9295", "");
    assert_string_equal(a.config.cluster_id, b.config.cluster_id);
    assert_string_not_equal(a.config.cluster_id, c.config.cluster_id);
    load_ok(&a, "--cluster-id|mine", "");
    assert_string_equal(a.config.cluster_id, "mine");
}

static const struct {
    const char *arguments, *environment, *expected;
} mistakes[] = {
    {"--nod-id|1", "", "unknown setting \"nod-id\"; did you mean \"node-id\"?"},
    {"--node_id|1", "", "did you mean \"node-id\"?"},
    {"--zzzzzzzzzz|1", "", "unknown setting \"zzzzzzzzzz\"; flotillad --help"},
    {"--client-port|99999", "", "client-port: 99999 is out of range; allowed: 0 to 65535"},
    {"--client-port|-1", "", "client-port: \"-1\" is not a whole number; allowed: 0 to 65535"},
    {"--client-port|12x", "", "\"12x\" is not a whole number"},
    {"--client-port", "", "--client-port needs a value"},
    {"--client-port|--http-port", "", "--client-port needs a value"},
    {"--node-id|0", "", "node-id: 0 is out of range; allowed: 1 to 65535"},
    {"--node-id|99999999999999999999", "", "is not a whole number"},
    {"--node-id|1|--node-id|2", "", "\"node-id\" is set twice"},
    {"--cache-bytes|1XB", "", "is not a size such as 64KiB or 16MiB"},
    {"--cache-bytes|1KiB", "", "cache-bytes: 1KiB is out of range; allowed: 64KiB to 1GiB"},
    {"--cache-bytes|99999999999999GiB", "", "is not a size"},
    {"--heartbeat|100", "", "\"100\" is not a duration such as 100ms or 10s"},
    {"--heartbeat|1h", "", "heartbeat: 1h is out of range; allowed: 5ms to 10s"},
    {"--heartbeat|400ms", "", "election-timeout (500ms) must be at least twice the heartbeat (400ms)"},
    {"--log-level|loud", "", "\"loud\" is not a log level; allowed: trace, debug, info, warn, error"},
    {"--data-dir=", "", "data-dir: the value has 0 characters"},
    {"--rack|a\nb", "", "control character"},
    {"--peers|1:9292", "", "\"1:9292\" is not a peer; use ID@HOST:PORT"},
    {"--peers|1@host", "", "is not a peer"},
    {"--peers|1@:9292", "", "is not a peer"},
    {"--peers|0@host:9292", "", "is not a peer"},
    {"--peers|1@host:0", "", "is not a peer"},
    {"--peers|1@a:1,", "", "\"\" is not a peer"},
    {"--peers|1@a:1,1@b:1", "", "node 1 is listed twice"},
    {"--peers|1@a:1,2@a:1", "", "nodes 1 and 2 have the same address a:1"},
    {"--peers|1@a:1,2@a:2,3@a:3,4@a:4,5@a:5,6@a:6,7@a:7,8@a:8", "", "more than 7 peers"},
    {"--node-id|4|--peers|" PEERS, "", "node-id 4 is not in peers"},
    {"--client-port|5000|--http-port|5000", "", "client-port and http-port are both 5000"},
    {"start", "", "unexpected argument \"start\""},
    {"--", "", "unexpected argument \"--\""},
    {"", "FLOTILLA_NODE_IDD=1",
     "the environment's FLOTILLA_NODE_IDD: unknown setting \"node-idd\"; did you mean \"node-id\"?"},
    {"", "FLOTILLA_CLIENT_PORT=x",
     "the environment's FLOTILLA_CLIENT_PORT: client-port: \"x\" is not a whole number"},
    {"--config|/nonexistent/flotilla.yaml", "",
     "can't read the configuration file /nonexistent/flotilla.yaml: No such file"},
    {"--config|/tmp", "", "/tmp"},
    {"--config|a|--config|b", "", "\"config\" is set twice"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct load l;
        load(&l, mistakes[i].arguments, mistakes[i].environment);
        if (l.status != ERR_INVALID_CONFIG)
            fail_msg("accepted: %s %s", mistakes[i].arguments, mistakes[i].environment);
        assert_contains(l.message, mistakes[i].expected);
    }
}

static void test_foreign_variables_are_passed_over(void **state)
{
    (void)state;
    struct load l;
    load_ok(
        &l, "",
        "FLOTILLA_BOOTSTRAP=localhost:9192|FLOTILLA_PORT=tcp://10.0.0.1:9192|FLOTILLA_SERVICE_HOST=10.0.0.1|"
        "FLOTILLA_CLIENT_PORT=tcp://10.0.0.1:9192|FLOTILLA_CLIENT_PORT_9192_TCP_ADDR=10.0.0.1|HOME=/|BROKEN");
    assert_int_equal(l.config.client_port, 9192);
}

/* ---- the file ---- */

static void with_file(struct load *l, const char *text, const char *flags, const char *environment)
{
    char path[] = "/tmp/flotilla-config-XXXXXX", arguments[1024];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(arguments, sizeof(arguments), "--config|%s%s%s", path, flags[0] != '\0' ? "|" : "", flags);
    load(l, arguments, environment);
    unlink(path);
}

static void test_file(void **state)
{
    (void)state;
    struct load l;
    with_file(&l,
              "# a node\nnode-id: 2\npeers:\n  - 1@127.0.0.1:9292\n  - 2@127.0.0.1:9293\nlog-level: warn\n"
              "heartbeat: 50ms\nrack: \"r 1\"\n",
              "", "");
    assert_string_equal(l.message, "");
    assert_int_equal(l.config.node_id, 2);
    assert_int_equal(l.config.peer_count, 2);
    assert_int_equal(l.config.log_level, LOG_WARN);
    assert_int_equal(l.config.heartbeat_ms, 50);
    assert_string_equal(l.config.rack, "r 1");
    with_file(&l, "", "", "");
    assert_int_equal(l.status, 0);
}

static void test_precedence(void **state)
{
    (void)state;
    struct load l;
    const char *file = "client-port: 1001\nhttp-port: 1002\nlog-level: warn\n";
    with_file(&l, file, "--client-port|3001", "FLOTILLA_CLIENT_PORT=2001|FLOTILLA_HTTP_PORT=2002");
    assert_string_equal(l.message, "");
    assert_int_equal(l.config.client_port, 3001);
    assert_int_equal(l.config.http_port, 2002);
    assert_int_equal(l.config.log_level, LOG_WARN);
}

static const struct {
    const char *text, *expected;
} bad_files[] = {
    {"node-id: 1\nnod-id: 2\n", " line 2: unknown setting \"nod-id\"; did you mean \"node-id\"?"},
    {"\n\nclient-port: x\n", " line 3: client-port: \"x\" is not a whole number"},
    {"node-id: 1\nnode-id: 1\n", " line 2: \"node-id\" is set twice"},
    {"node:\n  id: 1\n", " line 2: \"node\" must be a single value or a list, not a nested block"},
    {"- 1\n- 2\n", " line 1: expected lines of the form"},
    {"just text\n", " line 1: expected lines of the form"},
    {"node-id: [1\n", " line "},
    {"node-id: \"1\n", " line "},
    {"rack: \tx: y: z\n\t\n", " line "},
    {"peers:\n  - [1]\n", " line 2: a list may hold plain values only"},
    {"? [a]\n: b\n", " line 1: expected \"setting: value\""},
    {"\x01\x02", " line "},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        struct load l;
        with_file(&l, bad_files[i].text, "", "");
        if (l.status != ERR_INVALID_CONFIG)
            fail_msg("accepted: %s", bad_files[i].text);
        assert_contains(l.message, bad_files[i].expected);
    }
}

/* ---- what is printed ---- */

static char *printed(void (*print)(int fd))
{
    FILE *file = tmpfile();
    assert_non_null(file);
    print(fileno(file));
    long size = lseek(fileno(file), 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_int_equal(pread(fileno(file), text, (size_t)size, 0), size);
    fclose(file);
    return text;
}

static void test_printed_defaults_are_a_valid_file(void **state)
{
    (void)state;
    struct load l;
    char *text = printed(config_print_defaults);
    with_file(&l, text, "", "");
    free(text);
    assert_string_equal(l.message, "");
    assert_int_equal(l.config.client_port, 9192);
}

static void test_help_names_every_setting(void **state)
{
    (void)state;
    char *text = printed(config_print_help);
    assert_contains(text, "--node-id");
    assert_contains(text, "--flush-threads");
    assert_contains(text, "three nodes");
    free(text);
}

static void test_documentation_is_in_step(void **state)
{
    (void)state;
    FILE *file = fopen(DOCUMENTATION, "re");
    assert_non_null(file);
    static char page[65536];
    size_t size = fread(page, 1, sizeof(page) - 1, file);
    page[size] = '\0';
    fclose(file);
    char *text = printed(config_print_table);
    if (strcmp(text, page) != 0)
        fail_msg("docs/configuration.md is not what the table prints; write it anew with: unit_server_config "
                 "--write");
    free(text);
}

static void test_switches(void **state)
{
    (void)state;
    struct load l;
    load_ok(&l, "--help", "");
    assert_true(l.config.help);
    load_ok(&l, "-V", "");
    assert_true(l.config.version);
    load(&l, "--help=yes", "");
    assert_int_equal(l.status, ERR_INVALID_CONFIG);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--write") == 0) {
        int fd = open(DOCUMENTATION, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        config_print_table(fd);
        return close(fd);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_hosts_follow_the_peers),
        cmocka_unit_test(test_cluster_id_is_the_peer_list),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_foreign_variables_are_passed_over),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_printed_defaults_are_a_valid_file),
        cmocka_unit_test(test_help_names_every_setting),
        cmocka_unit_test(test_documentation_is_in_step),
        cmocka_unit_test(test_switches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
