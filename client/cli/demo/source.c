#include "client/cli/demo/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CUSTOMERS = 5000, KEY_SIZE = 24, LINE_MAX_BYTES = 1000000 };

static void order(void *data, uint64_t number, const void **key, size_t *key_size, const void **value,
                  size_t *value_size, char *scratch, size_t scratch_size)
{
    static const char *const items[] = {"tea",     "kettle", "oars",   "lantern",
                                        "compass", "rope",   "anchor", "charts"};
    (void)data;
    uint64_t mixed = (number + 1) * 0x9E3779B97F4A7C15u;
    uint64_t customer = (mixed >> 40) % CUSTOMERS;
    *key = scratch;
    *key_size = (size_t)snprintf(scratch, KEY_SIZE, "customer-%" PRIu64, customer);
    *value = scratch + KEY_SIZE;
    *value_size = (size_t)snprintf(scratch + KEY_SIZE, scratch_size - KEY_SIZE,
                                   "{\"event\":\"order.created\",\"order\":%" PRIu64 ",\"customer\":%" PRIu64
                                   ",\"item\":\"%s\",\"quantity\":%" PRIu64 ",\"total_cents\":%" PRIu64 "}",
                                   number, customer, items[mixed >> 20 & 7], 1 + (mixed >> 12 & 3),
                                   199 + (mixed >> 30) % 20000);
}

const struct fleet_source demo_orders = {order, NULL};

/* The line's number is its key, so that lines spread over the partitions. */
static void line(void *data, uint64_t number, const void **key, size_t *key_size, const void **value,
                 size_t *value_size, char *scratch, size_t scratch_size)
{
    const struct demo_file *file = data;
    *key = scratch;
    *key_size = (size_t)snprintf(scratch, scratch_size, "%" PRIu64, number);
    *value = file->starts[number];
    *value_size = (size_t)(file->starts[number + 1] - file->starts[number]);
    if (*value_size > 0 && file->starts[number][*value_size - 1] == '\n') {
        (*value_size)--;
    }
}

struct fleet_source demo_file_source(struct demo_file *file)
{
    return (struct fleet_source){line, file};
}

static bool read_whole(struct demo_file *file, const char *path)
{
    FILE *in = fopen(path, "re");
    struct stat status;
    if (in == NULL) {
        return false;
    }
    bool ok = fstat(fileno(in), &status) == 0;
    if (ok && S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        ok = false;
    }
    size_t capacity = 0;
    while (ok && !feof(in)) {
        if (file->size == capacity) {
            capacity = capacity == 0 ? 1 << 20 : capacity * 2;
            file->text = realloc(file->text, capacity);
            if (file->text == NULL) {
                abort();
            }
        }
        file->size += fread(file->text + file->size, 1, capacity - file->size, in);
        ok = !ferror(in);
    }
    int saved = errno;
    fclose(in);
    errno = saved;
    return ok;
}

static bool split_lines(struct demo_file *file, const char *path, char *reason, size_t reason_size)
{
    size_t capacity = 0;
    const char *end = file->text + file->size;
    for (const char *at = file->text; at < end; file->lines++) {
        if (file->lines + 1 >= capacity) {
            capacity = capacity == 0 ? 4096 : capacity * 2;
            file->starts = realloc(file->starts, capacity * sizeof(*file->starts));
            if (file->starts == NULL) {
                abort();
            }
        }
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;
        file->starts[file->lines] = at;
        file->starts[file->lines + 1] = next;
        if (next - at > LINE_MAX_BYTES) {
            snprintf(reason, reason_size, "line %" PRIu64 " of %s has over %d bytes, which no record takes",
                     file->lines + 1, path, LINE_MAX_BYTES);
            return false;
        }
        at = next;
    }
    return true;
}

bool demo_file_load(struct demo_file *file, const char *path, char *reason, size_t reason_size)
{
    memset(file, 0, sizeof(*file));
    if (!read_whole(file, path)) {
        snprintf(reason, reason_size, "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    if (file->size == 0) {
        snprintf(reason, reason_size, "%s is empty", path);
        return false;
    }
    return split_lines(file, path, reason, reason_size);
}

void demo_file_close(struct demo_file *file)
{
    free(file->text);
    free(file->starts);
}
