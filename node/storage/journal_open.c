#include "node/base/memory.h"
#include "node/storage/journal_internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOURNAL_READ_MAX = 1 << 30 };

__attribute__((format(printf, 4, 5))) static int journal_refuse(int status, char *message,
                                                                size_t message_size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, message_size, format, arguments);
    va_end(arguments);
    return status;
}

/* ---- a new file ---- */

int journal_write_new(struct journal *j, const struct bytes *image, struct env_file **file)
{
    struct env *env = j->options.env;
    struct env_iovec iov = {image->data, image->size};
    int status = env_file_open(env, j->new_path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, file);

    if (status != 0)
        return status;
    status = env_file_write(*file, &iov, 1, 0);
    if (status == 0)
        status = env_file_sync(*file);
    if (status == 0)
        status = env_rename(env, j->new_path, j->path);
    if (status == 0 && env_dir_sync(env, j->directory) != 0)
        status = ERR_IO; /* it may or may not be the journal now: nothing to wait for and repeat */
    if (status != 0)
        env_file_close(env, *file);
    return status;
}

static int journal_create_file(struct journal *j)
{
    struct bytes header;

    bytes_init(&header);
    journal_header_encode(&header, j->next_round);
    int status = journal_write_new(j, &header, &j->file);
    bytes_close(&header);
    j->position = JOURNAL_HEADER_SIZE;
    j->allocated = JOURNAL_HEADER_SIZE;
    return status;
}

/* ---- reading ---- */

static int journal_read_all(struct journal *j, struct bytes *content)
{
    uint64_t size;
    int status = env_file_size(j->file, &size);

    if (status != 0)
        return status;
    if (size > JOURNAL_READ_MAX)
        return ERR_TOO_LARGE;
    if (size == 0)
        return 0;
    ssize_t n = env_file_read(j->file, bytes_extend(content, (size_t)size), (size_t)size, 0);
    if (n < 0)
        return (int)n;
    content->size = (size_t)n;
    j->allocated = (uint64_t)n;
    return 0;
}

static int journal_replay_frame(struct journal *j, struct reader *body)
{
    struct journal_record record;
    int result;

    while ((result = journal_record_decode(body, &record)) == 1)
        journal_apply(j, &record);
    return result;
}

/* Moves j->position behind the last good frame. */
static int journal_replay(struct journal *j, const struct bytes *content)
{
    struct reader body;
    uint64_t round;

    j->position = JOURNAL_HEADER_SIZE;
    while (journal_frame_decode(content->data + j->position, content->size - j->position, &round, &body) ==
           0) {
        if (round != j->next_round)
            return ERR_CORRUPT;
        size_t body_size = reader_left(&body);
        int status = journal_replay_frame(j, &body);
        if (status != 0)
            return status;
        j->position += JOURNAL_FRAME_HEADER_SIZE + body_size;
        j->next_round++;
    }
    return 0;
}

static bool is_zero(const unsigned char *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* A bad frame with nothing valid behind it is the round that was being written when the node stopped: nothing
 * in it had been relied on. */
static int journal_check_tail(struct journal *j, const struct bytes *content, char *message,
                              size_t message_size)
{
    if (is_zero(content->data + j->position, content->size - j->position))
        return 0;
    int64_t valid = journal_find_frame(content->data, content->size, j->position + 1, j->next_round);
    if (valid >= 0)
        return journal_refuse(
            ERR_CORRUPT, message, message_size,
            "journal %s is damaged at byte %" PRIu64 " (valid data follows at byte %" PRId64
            "): votes and terms would be lost. Restore the file, or, while all other nodes are up "
            "and in sync, remove this node's data directory: it comes back empty and is filled by the others",
            j->path, j->position, valid);
    LOG(j->options.logger, LOG_WARN, "journal: cut a torn tail", "position=%" PRIu64, j->position);
    int status = env_file_truncate(j->file, j->position);
    j->allocated = j->position;
    return status;
}

/* What a process that died had written may still be in the page cache only; and after a sync that failed, the
 * kernel takes it for clean although it never reached the disk. So all of it is written once more. */
static int journal_rewrite(struct journal *j, const struct bytes *content)
{
    struct env_iovec iov = {content->data, (size_t)j->position};
    int status = env_file_write(j->file, &iov, 1, 0);

    return status != 0 ? status : env_file_sync(j->file);
}

static int journal_load(struct journal *j, const struct bytes *content, char *message, size_t message_size)
{
    uint32_t version;
    int status = journal_header_decode(content->data, content->size, &version, &j->next_round);

    if (status == ERR_UNSUPPORTED_VERSION)
        return journal_refuse(status, message, message_size,
                              "journal %s was written by another version of Flotilla", j->path);
    if (status != 0)
        return journal_refuse(
            status, message, message_size,
            "journal %s is damaged at byte 0: not a journal. Restore the file, or, while all other nodes are "
            "up and in sync, remove this node's data directory: it comes back empty and is filled by the "
            "others",
            j->path);
    j->outdated = version < JOURNAL_VERSION;
    status = journal_replay(j, content);
    if (status != 0)
        return journal_refuse(status, message, message_size,
                              "journal %s is damaged at byte %" PRIu64 ": round %" PRIu64
                              " is out of place. Restore the file, or, while all other nodes are up and in "
                              "sync, remove this node's data directory: "
                              "it comes back empty and is filled by the others",
                              j->path, j->position, j->next_round);
    status = journal_check_tail(j, content, message, message_size);
    return status != 0 ? status : journal_rewrite(j, content);
}

int journal_recover(struct journal *j, char *message, size_t message_size)
{
    struct bytes content;
    int status = env_file_open(j->options.env, j->path, ENV_WRITE, &j->file);

    message[0] = '\0';
    if (status == ERR_NOT_FOUND) {
        j->file = NULL;
        status = journal_create_file(j);
    } else if (status == 0) {
        bytes_init(&content);
        status = journal_read_all(j, &content);
        if (status == 0)
            status = journal_load(j, &content, message, message_size);
        bytes_close(&content);
    } else {
        j->file = NULL;
    }
    if (status != 0 && message[0] == '\0')
        journal_refuse(status, message, message_size, "cannot open journal %s: %s", j->path,
                       error_text(status));
    return status;
}
