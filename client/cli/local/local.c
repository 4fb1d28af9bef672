#include "client/cli/local/local.h"

#include "flotilla.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORT_FIRST = 19000, PORT_LAST = 31000, PORTS_PER_NODE = 10, POLL_MS = 10 };

static bool fail(struct local_cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct local_cluster *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->error, sizeof(c->error), format, arguments);
    va_end(arguments);
    return false;
}

void local_node_path(const struct local_cluster *c, unsigned id, const char *file, char *out, size_t size)
{
    snprintf(out, size, "%s/node-%u%s%s", c->directory, id, file[0] != 0 ? "/" : "", file);
}

static struct local_node *find_node(struct local_cluster *c, unsigned id)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (c->nodes[i].id == id) {
            return &c->nodes[i];
        }
    }
    fail(c, "there is no node %u; this cluster has nodes 1 to %u", id, c->count);
    return NULL;
}

/* ---- ports ---- */

static bool port_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bool ok = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return ok;
}

static void assign_ports(struct local_cluster *c, int64_t base)
{
    for (unsigned i = 0; i < c->count; i++) {
        int64_t first = base + (int64_t)i * PORTS_PER_NODE;
        c->nodes[i] = (struct local_node){i + 1, (uint16_t)first, (uint16_t)(first + 1),
                                          (uint16_t)(first + 2), (uint16_t)(first + 3)};
    }
}

static bool ports_free(const struct local_cluster *c, uint16_t *taken)
{
    for (unsigned i = 0; i < c->count; i++) {
        const uint16_t ports[] = {c->nodes[i].client_port, c->nodes[i].peer_port, c->nodes[i].http_port,
                                  c->nodes[i].kafka_port};
        for (size_t k = 0; k < 4; k++) {
            if (!port_free(ports[k])) {
                *taken = ports[k];
                return false;
            }
        }
    }
    return true;
}

static bool choose_ports(struct local_cluster *c, int64_t base)
{
    uint16_t taken = 0;
    if (base != 0) {
        assign_ports(c, base);
        return ports_free(c, &taken) ||
               fail(c, "port %u is in use; choose another --port-base, or none for a free range", taken);
    }
    /* Start at a place of this process's own, so that clusters started together rarely try the same range. */
    int64_t ranges = (PORT_LAST - PORT_FIRST) / 100;
    for (int64_t i = 0; i < ranges; i++) {
        assign_ports(c, PORT_FIRST + 100 * ((getpid() + i) % ranges));
        if (ports_free(c, &taken)) {
            return true;
        }
    }
    return fail(c, "no free range of ports between %d and %d", PORT_FIRST, PORT_LAST);
}

/* ---- cluster.json ---- */

static bool save(struct local_cluster *c)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/cluster.json", c->directory);
    json_t *root = json_pack("{s:s, s:s, s:o}", "cluster_id", c->cluster_id, "node_options", c->extra,
                             "nodes", json_array());
    for (unsigned i = 0; i < c->count; i++) {
        const struct local_node *n = &c->nodes[i];
        json_array_append_new(json_object_get(root, "nodes"),
                              json_pack("{s:i, s:i, s:i, s:i, s:i}", "id", n->id, "client_port",
                                        n->client_port, "peer_port", n->peer_port, "http_port", n->http_port,
                                        "kafka_port", n->kafka_port));
    }
    int rc = json_dump_file(root, path, JSON_INDENT(2));
    json_decref(root);
    return rc == 0 || fail(c, "cannot write %s: %s", path, strerror(errno));
}

static bool port_of(json_t *node, const char *key, uint16_t *port)
{
    json_int_t value = json_integer_value(json_object_get(node, key));
    *port = (uint16_t)value;
    return value > 0 && value <= 65535;
}

static bool load_node(json_t *json, struct local_node *n, unsigned expected_id)
{
    n->id = (unsigned)json_integer_value(json_object_get(json, "id"));
    return n->id == expected_id && port_of(json, "client_port", &n->client_port) &&
           port_of(json, "peer_port", &n->peer_port) && port_of(json, "http_port", &n->http_port) &&
           port_of(json, "kafka_port", &n->kafka_port);
}

bool local_load(struct local_cluster *c, const char *directory)
{
    memset(c, 0, sizeof(*c));
    if (realpath(directory, c->directory) == NULL) {
        return fail(c, "no local cluster in %s; start one with `flotilla local start --dir %s`", directory,
                    directory);
    }
    char path[4200];
    snprintf(path, sizeof(path), "%s/cluster.json", c->directory);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (root == NULL && access(path, F_OK) == 0) {
        return fail(c, "%s is damaged (%s); remove %s and start anew", path, error.text, c->directory);
    }
    if (root == NULL) {
        return fail(c, "no local cluster in %s (%s); start one with `flotilla local start --dir %s`",
                    directory, error.text, directory);
    }
    json_t *nodes = json_object_get(root, "nodes");
    const char *id = json_string_value(json_object_get(root, "cluster_id"));
    const char *extra = json_string_value(json_object_get(root, "node_options"));
    bool ok = id != NULL && json_array_size(nodes) >= 1 && json_array_size(nodes) <= LOCAL_NODES_MAX;
    snprintf(c->cluster_id, sizeof(c->cluster_id), "%s", id != NULL ? id : "");
    snprintf(c->extra, sizeof(c->extra), "%s", extra != NULL ? extra : "");
    for (size_t i = 0; ok && i < json_array_size(nodes); i++) {
        ok = load_node(json_array_get(nodes, i), &c->nodes[i], (unsigned)i + 1);
        c->count++;
    }
    json_decref(root);
    return ok || fail(c, "%s is damaged; remove %s and start anew", path, c->directory);
}

static bool make_directories(struct local_cluster *c)
{
    char path[4200];
    for (unsigned i = 0; i < c->count; i++) {
        local_node_path(c, c->nodes[i].id, "", path, sizeof(path));
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            return fail(c, "cannot create %s: %s", path, strerror(errno));
        }
    }
    return true;
}

static bool add_node_options(struct local_cluster *c, const struct cli_list *options)
{
    size_t used = 0;
    for (size_t i = 0; options != NULL && i < options->count; i++) {
        int n = snprintf(c->extra + used, sizeof(c->extra) - used, "%s\n", options->items[i]);
        if (n < 0 || (size_t)n >= sizeof(c->extra) - used) {
            return fail(c, "too many --node-option");
        }
        used += (size_t)n;
    }
    return true;
}

static void make_parents(const char *path)
{
    char part[4096];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(part, 0755);
        *slash = '/';
    }
}

bool local_create(struct local_cluster *c, const char *directory, unsigned count, int64_t port_base,
                  const struct cli_list *node_options)
{
    memset(c, 0, sizeof(*c));
    c->count = count;
    make_parents(directory);
    if (mkdir(directory, 0755) != 0 && errno != EEXIST) {
        return fail(c, "cannot create %s: %s", directory, strerror(errno));
    }
    if (realpath(directory, c->directory) == NULL) {
        return fail(c, "cannot use %s: %s", directory, strerror(errno));
    }
    char path[4200];
    snprintf(path, sizeof(path), "%s/cluster.json", c->directory);
    if (access(path, F_OK) == 0) {
        return local_load(c, directory) ? fail(c, "%s holds a cluster already", directory) : false;
    }
    snprintf(c->cluster_id, sizeof(c->cluster_id), "local-%" PRIx64,
             (uint64_t)cli_wall_ms() << 12 ^ (uint64_t)getpid());
    return add_node_options(c, node_options) && choose_ports(c, port_base) && make_directories(c) && save(c);
}

/* ---- processes ---- */

/* What /proc says of a process, from its state on: the command name before it may hold anything. */
static const char *process_stat(pid_t pid, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return NULL;
    }
    size_t n = fread(text, 1, size - 1, f);
    fclose(f);
    text[n] = 0;
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && name_end[1] == ' ' ? name_end + 2 : NULL;
}

static uint64_t process_start_time(pid_t pid)
{
    char text[1024];
    const char *at = process_stat(pid, text, sizeof(text));
    uint64_t start = 0;
    char state = 0;
    int threads = 0;
    if (at == NULL ||
        sscanf(at, "%c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %" SCNu64,
               &state, &threads, &start) != 3) {
        return 0;
    }
    /* A killed process keeps its files, and the lock on them, until its last thread is gone. */
    return (state == 'Z' && threads <= 1) || state == 'X' ? 0 : start;
}

static bool process_stopped(pid_t pid)
{
    char text[1024];
    const char *at = process_stat(pid, text, sizeof(text));
    return at != NULL && (*at == 'T' || *at == 't');
}

struct usage {
    unsigned long ticks;
    unsigned long pages;
};

static struct usage usage_of_all(const struct local_cluster *c)
{
    struct usage all = {0, 0};
    for (unsigned i = 0; i < c->count; i++) {
        char text[1024];
        pid_t pid = 0;
        unsigned long user = 0, system = 0, pages = 0;
        if (local_node_state(c, c->nodes[i].id, &pid) == LOCAL_DOWN) {
            continue;
        }
        const char *at = process_stat(pid, text, sizeof(text));
        if (at != NULL &&
            sscanf(at,
                   "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d "
                   "%*u %*u %lu",
                   &user, &system, &pages) == 3) {
            all.ticks += user + system;
            all.pages += pages;
        }
    }
    return all;
}

double local_cpu_seconds(const struct local_cluster *c)
{
    return (double)usage_of_all(c).ticks / (double)sysconf(_SC_CLK_TCK);
}

double local_memory_bytes(const struct local_cluster *c)
{
    return (double)usage_of_all(c).pages * (double)sysconf(_SC_PAGESIZE);
}

enum local_state local_node_state(const struct local_cluster *c, unsigned id, pid_t *pid)
{
    char path[4200];
    local_node_path(c, id, "pid", path, sizeof(path));
    int process = 0;
    uint64_t started = 0;
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        if (fscanf(f, "%d %" SCNu64, &process, &started) != 2) {
            process = 0;
        }
        fclose(f);
    }
    if (process <= 0 || started == 0) {
        return LOCAL_DOWN;
    }
    (void)waitpid(process, NULL, WNOHANG); /* only a child of ours needs reaping */
    if (process_start_time(process) != started) {
        return LOCAL_DOWN;
    }
    if (pid != NULL) {
        *pid = process;
    }
    return process_stopped(process) ? LOCAL_PAUSED : LOCAL_RUNNING;
}

void local_program(const char *name, char *out, size_t size)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    snprintf(out, size, "%.*s/%s", slash != NULL ? (int)(slash - self) : 0, self, name);
    if (access(out, X_OK) != 0) {
        snprintf(out, size, "%s", name); /* found on the PATH */
    }
}

enum { ARGUMENTS_MAX = 64 };

struct arguments {
    char *items[ARGUMENTS_MAX + 1];
    size_t count;
};

static void argument(struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void argument(struct arguments *a, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (a->count < ARGUMENTS_MAX && vasprintf(&a->items[a->count], format, list) >= 0) {
        a->items[++a->count] = NULL;
    }
    va_end(list);
}

static void peers_argument(const struct local_cluster *c, struct arguments *a)
{
    char peers[LOCAL_NODES_MAX * 40];
    size_t used = 0;
    for (unsigned i = 0; i < c->count; i++) {
        used += (size_t)snprintf(peers + used, sizeof(peers) - used, "%s%u@127.0.0.1:%u", i > 0 ? "," : "",
                                 c->nodes[i].id, c->nodes[i].peer_port);
    }
    argument(a, "--peers=%s", peers);
}

static void node_arguments(const struct local_cluster *c, const struct local_node *n, struct arguments *a)
{
    char program[4200], data[4300];
    local_program("flotillad", program, sizeof(program));
    local_node_path(c, n->id, "data", data, sizeof(data));
    argument(a, "%s", program);
    argument(a, "--node-id=%u", n->id);
    argument(a, "--data-dir=%s", data);
    argument(a, "--cluster-id=%s", c->cluster_id);
    argument(a, "--listen-host=127.0.0.1");
    argument(a, "--client-port=%u", n->client_port);
    argument(a, "--peer-port=%u", n->peer_port);
    argument(a, "--http-port=%u", n->http_port);
    argument(a, "--kafka-port=%u", n->kafka_port);
    peers_argument(c, a);
    char extra[sizeof(c->extra)];
    memcpy(extra, c->extra, sizeof(extra));
    char *rest = NULL;
    for (char *line = strtok_r(extra, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        argument(a, "%s", line);
    }
}

static _Noreturn void become_node(char **arguments, const char *log, bool owned, pid_t owner)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* the tool blocks signals that its nodes must take */
    if (owned && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != owner)) {
        _exit(127);
    }
    setsid();
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (in >= 0 && out >= 0) {
        dup2(in, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        close_range(3, ~0U, 0);
        execvp(arguments[0], arguments);
        dprintf(STDERR_FILENO, "cannot run %s: %s\n", arguments[0], strerror(errno));
    }
    _exit(127);
}

bool local_start_node(struct local_cluster *c, unsigned id)
{
    struct local_node *n = find_node(c, id);
    if (n == NULL) {
        return false;
    }
    if (c->going) {
        return fail(c, "the cluster is being destroyed");
    }
    if (local_node_state(c, id, NULL) != LOCAL_DOWN) {
        return fail(c, "node %u runs already", id);
    }
    char log[4300], pid_path[4300];
    local_node_path(c, id, "log", log, sizeof(log));
    local_node_path(c, id, "pid", pid_path, sizeof(pid_path));
    struct arguments a = {{NULL}, 0};
    node_arguments(c, n, &a);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        become_node(a.items, log, c->owned, self);
    }
    for (size_t i = 0; i < a.count; i++) {
        free(a.items[i]);
    }
    if (pid < 0) {
        return fail(c, "cannot start node %u: %s", id, strerror(errno));
    }
    FILE *f = fopen(pid_path, "we");
    if (f == NULL) {
        return fail(c, "cannot write %s: %s", pid_path, strerror(errno));
    }
    fprintf(f, "%d %" PRIu64 "\n", (int)pid, process_start_time(pid));
    fclose(f);
    return true;
}

bool local_signal(struct local_cluster *c, unsigned id, int signal)
{
    pid_t pid = 0;
    if (find_node(c, id) == NULL) {
        return false;
    }
    if (local_node_state(c, id, &pid) == LOCAL_DOWN) {
        return fail(c, "node %u does not run; `flotilla local restart %u` starts it", id, id);
    }
    return kill(pid, signal) == 0 ||
           fail(c, "cannot signal node %u (pid %d): %s", id, (int)pid, strerror(errno));
}

bool local_wait_down(struct local_cluster *c, unsigned id, int64_t timeout_ms)
{
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    while (local_node_state(c, id, NULL) != LOCAL_DOWN) {
        if (cli_now_ns() > deadline) {
            return fail(c, "node %u still runs after %" PRId64 " ms", id, timeout_ms);
        }
        cli_sleep_ms(POLL_MS);
    }
    return true;
}

void local_stop(struct local_cluster *c, bool now, int64_t timeout_ms)
{
    for (unsigned id = 1; id <= c->count; id++) {
        if (local_node_state(c, id, NULL) == LOCAL_PAUSED) {
            local_signal(c, id, SIGCONT);
        }
        local_signal(c, id, now ? SIGKILL : SIGTERM);
    }
    for (unsigned id = 1; id <= c->count; id++) {
        if (!local_wait_down(c, id, timeout_ms) && local_signal(c, id, SIGKILL)) {
            local_wait_down(c, id, timeout_ms);
        }
    }
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

bool local_destroy(struct local_cluster *c)
{
    c->going = true;
    local_stop(c, true, 10000);
    return nftw(c->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ||
           fail(c, "cannot remove %s: %s", c->directory, strerror(errno));
}

void local_bootstrap(const struct local_cluster *c, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (unsigned i = 0; i < c->count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s127.0.0.1:%u", i > 0 ? "," : "",
                                 c->nodes[i].client_port);
    }
}

/* ---- readiness ---- */

static bool cluster_is_ready(struct flotilla_client *client, unsigned nodes)
{
    const struct flotilla_cluster_info *info = NULL;
    if (flotilla_cluster_status(client, 1000, &info, NULL, 0) != 0) {
        return false;
    }
    unsigned alive = 0;
    for (size_t i = 0; i < info->node_count; i++) {
        alive += info->nodes[i]->alive != 0;
    }
    bool ready = alive == nodes && info->controller_id != 0 && info->partitions > 0 && info->leaderless == 0;
    flotilla_result_free(info);
    return ready;
}

static void last_log_line(const struct local_cluster *c, unsigned id, char *out, size_t size)
{
    char path[4300], line[1024];
    local_node_path(c, id, "log", path, sizeof(path));
    FILE *f = fopen(path, "re");
    out[0] = 0;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
    }
    if (f != NULL) {
        fclose(f);
    }
}

static bool all_running(struct local_cluster *c)
{
    for (unsigned id = 1; id <= c->count; id++) {
        if (local_node_state(c, id, NULL) == LOCAL_DOWN) {
            char line[300];
            last_log_line(c, id, line, sizeof(line));
            return fail(c, "node %u stopped: %s", id, line);
        }
    }
    return true;
}

bool local_wait_ready(struct local_cluster *c, int64_t timeout_ms)
{
    char bootstrap[256];
    local_bootstrap(c, bootstrap, sizeof(bootstrap));
    struct flotilla_client *client = NULL;
    if (flotilla_client_create(&client, bootstrap, NULL, c->error, sizeof(c->error)) != 0) {
        return false;
    }
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    bool ready = false, running = true;
    while (!ready && running && cli_now_ns() < deadline) {
        ready = cluster_is_ready(client, c->count);
        running = ready || all_running(c);
        if (!ready) {
            cli_sleep_ms(POLL_MS);
        }
    }
    flotilla_client_destroy(client);
    if (!ready && running) {
        fail(c, "the cluster is not ready after %" PRId64 " ms; see the nodes' logs in %s/node-*/log",
             timeout_ms, c->directory);
    }
    return ready;
}

const char *local_scratch_parent(void)
{
    const char *base = getenv("TMPDIR");
    return base != NULL && base[0] != 0 ? base : "/tmp";
}

static bool start_fresh(struct local_cluster *c, unsigned count, bool owned)
{
    char directory[1024];
    snprintf(directory, sizeof(directory), "%s/flotilla-XXXXXX", local_scratch_parent());
    if (mkdtemp(directory) == NULL) {
        memset(c, 0, sizeof(*c));
        return fail(c, "cannot create %s: %s", directory, strerror(errno));
    }
    bool ok = local_create(c, directory, count, 0, NULL);
    c->owned = owned;
    for (unsigned id = 1; ok && id <= count; id++) {
        ok = local_start_node(c, id);
    }
    return ok && local_wait_ready(c, 30000);
}

bool local_scratch(struct local_cluster *c, unsigned count)
{
    return start_fresh(c, count, true);
}

bool local_scratch_kept(struct local_cluster *c, unsigned count)
{
    return start_fresh(c, count, false);
}
