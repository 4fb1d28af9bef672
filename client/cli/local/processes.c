/* The nodes' processes: started, looked at, signalled, waited for. */
#include "client/cli/local/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 10 };

/* ---- what /proc says ---- */

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

/* ---- starting ---- */

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
    struct local_node *n = local_find_node(c, id);
    if (n == NULL) {
        return false;
    }
    if (c->going) {
        return local_fail(c, "the cluster is being destroyed");
    }
    if (local_node_state(c, id, NULL) != LOCAL_DOWN) {
        return local_fail(c, "node %u runs already", id);
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
        return local_fail(c, "cannot start node %u: %s", id, strerror(errno));
    }
    FILE *f = fopen(pid_path, "we");
    if (f == NULL) {
        return local_fail(c, "cannot write %s: %s", pid_path, strerror(errno));
    }
    fprintf(f, "%d %" PRIu64 "\n", (int)pid, process_start_time(pid));
    fclose(f);
    return true;
}

/* ---- stopping ---- */

bool local_signal(struct local_cluster *c, unsigned id, int signal)
{
    pid_t pid = 0;
    if (local_find_node(c, id) == NULL) {
        return false;
    }
    if (local_node_state(c, id, &pid) == LOCAL_DOWN) {
        return local_fail(c, "node %u does not run; `flotilla local restart %u` starts it", id, id);
    }
    return kill(pid, signal) == 0 ||
           local_fail(c, "cannot signal node %u (pid %d): %s", id, (int)pid, strerror(errno));
}

bool local_wait_down(struct local_cluster *c, unsigned id, int64_t timeout_ms)
{
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    while (local_node_state(c, id, NULL) != LOCAL_DOWN) {
        if (cli_now_ns() > deadline) {
            return local_fail(c, "node %u still runs after %" PRId64 " ms", id, timeout_ms);
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
