/* The yardstick: what this machine's loopback does without any broker. */
#include "client/cli/bench/bench.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE = 1024 };

static bool transfer_all(int fd, char *data, bool sends)
{
    for (size_t done = 0; done < MESSAGE;) {
        ssize_t n = sends ? send(fd, data + done, MESSAGE - done, MSG_NOSIGNAL)
                          : read(fd, data + done, MESSAGE - done);
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static void *echo(void *argument)
{
    int fd = *(int *)argument;
    char data[MESSAGE];
    while (transfer_all(fd, data, false) && transfer_all(fd, data, true)) {
    }
    return NULL;
}

bool bench_connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[1] = -1;
    if (listener >= 0 && ends[0] >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
        listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
        connect(ends[0], (struct sockaddr *)&address, size) == 0) {
        ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    }
    if (listener >= 0) {
        close(listener);
    }
    for (int i = 0; i < 2 && ends[1] >= 0; i++) {
        setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return ends[1] >= 0;
}

bool bench_loopback(unsigned count, struct samples *s)
{
    int ends[2];
    pthread_t thread;
    char data[MESSAGE] = {0};
    bool ok = bench_connect_pair(ends) && pthread_create(&thread, NULL, echo, &ends[1]) == 0;
    bool started = ok;
    for (unsigned i = 0; ok && i < count; i++) {
        uint64_t sent = cli_now_ns();
        ok = transfer_all(ends[0], data, true) && transfer_all(ends[0], data, false);
        samples_add(s, cli_now_ns() - sent);
    }
    if (ends[0] >= 0) {
        close(ends[0]);
    }
    if (started) {
        pthread_join(thread, NULL);
    }
    if (ends[1] >= 0) {
        close(ends[1]);
    }
    return ok;
}
