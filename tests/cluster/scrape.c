#include "tests/cluster/scrape.h"

#include "tests/cluster/raw.h"
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 * 1024 * 1024, TIMEOUT_MS = 10000 };

/* Until the node closes its side, which it does after an answer to HTTP/1.0. */
static char *read_all(int fd)
{
    size_t size = 0, capacity = 64 * 1024;
    char *text = malloc(capacity);
    while (text != NULL && capacity <= ANSWER_MAX) {
        struct pollfd waiting = {fd, POLLIN, 0};
        ssize_t n = poll(&waiting, 1, TIMEOUT_MS) == 1 ? recv(fd, text + size, capacity - size - 1, 0) : -1;
        if (n == 0) {
            text[size] = 0;
            return text;
        }
        if (n < 0) {
            break;
        }
        size += (size_t)n;
        if (capacity - size < 2) {
            capacity *= 2;
            char *more = realloc(text, capacity);
            if (more == NULL) {
                break;
            }
            text = more;
        }
    }
    free(text);
    return NULL;
}

char *scrape(uint16_t http_port, const char *path, int *status)
{
    char request[300];
    int fd = raw_connect(http_port), code = 0;
    if (fd < 0) {
        return NULL;
    }
    int size = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
    char *text = raw_send(fd, request, (size_t)size) ? read_all(fd) : NULL;
    close(fd);
    char *body = text != NULL ? strstr(text, "\r\n\r\n") : NULL;
    if (body == NULL || sscanf(text, "HTTP/%*s %d", &code) != 1) {
        free(text);
        return NULL;
    }
    if (status != NULL) {
        *status = code;
    }
    memmove(text, body + 4, strlen(body + 4) + 1);
    return text;
}

double scrape_metric(uint16_t http_port, const char *series)
{
    char *text = scrape(http_port, "/metrics", NULL), *rest = NULL;
    double sum = 0;
    bool found = false;
    size_t length = strlen(series);
    for (char *line = text != NULL ? strtok_r(text, "\n", &rest) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        bool whole = strchr(series, '{') != NULL || line[length] == ' ' || line[length] == '{';
        if (strncmp(line, series, length) == 0 && whole && strrchr(line, ' ') != NULL) {
            sum += strtod(strrchr(line, ' ') + 1, NULL);
            found = true;
        }
    }
    free(text);
    return found ? sum : -1;
}
