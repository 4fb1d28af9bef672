#include "node/storage/inspect.h"
#include "node/base/memory.h"
#include "node/storage/identity.h"
#include "node/storage/inspect_internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- problems ---- */

void inspect_problem(struct inspect *in, enum inspect_severity severity, const char *path, uint64_t position,
                     const char *format, ...)
{
    char text[256];
    struct inspect_problem problem = {severity, path, position, text};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (severity == INSPECT_DAMAGE)
        in->summary->damages++;
    else
        in->summary->notes++;
    if (in->callbacks->problem != NULL)
        in->callbacks->problem(in->data, &problem);
}

int inspect_failed(struct inspect *in, int status, const char *path)
{
    snprintf(in->message, in->message_size, "cannot read %s: %s", path, error_text(status));
    return status;
}

/* ---- directories ---- */

struct listing {
    uint64_t *segments; /* base indexes, ascending as the directory is listed by name */
    size_t segment_count;
    uint64_t *groups;
    size_t group_count;
    bool has_identity;
    bool has_groups;
    unsigned damaged; /* files that a repair has set aside */
};

static void list_number(uint64_t **numbers, size_t *count, uint64_t number)
{
    *numbers = memory_realloc(*numbers, (*count + 1) * sizeof(**numbers));
    (*numbers)[(*count)++] = number;
}

static bool group_name_parse(const char *name, uint64_t *group_id)
{
    return strlen(name) == 16 && strspn(name, "0123456789abcdef") == 16 &&
           sscanf(name, "%16" SCNx64, group_id) == 1;
}

static void list_entry(void *data, const char *name)
{
    struct listing *l = data;
    size_t size = strlen(name);
    uint64_t number;

    if (format_segment_name_parse(name, ".log", &number))
        list_number(&l->segments, &l->segment_count, number);
    else if (group_name_parse(name, &number))
        list_number(&l->groups, &l->group_count, number);
    else if (size > 8 && strcmp(name + size - 8, ".damaged") == 0)
        l->damaged++;
    l->has_identity = l->has_identity || strcmp(name, "identity") == 0;
    l->has_groups = l->has_groups || strcmp(name, "groups") == 0;
}

static void listing_close(struct listing *l)
{
    free(l->segments);
    free(l->groups);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static int inspect_group(struct inspect *in, const char *directory, const struct listing *l)
{
    struct inspect_chain chain = {0};
    int status = 0;

    if (!group_name_parse(base_name(directory), &chain.group_id))
        chain.group_id = 0;
    chain.floor_index = inspect_floor_of(in, chain.group_id);
    chain.at = (struct place){.index = 1};
    if (l->damaged > 0)
        inspect_problem(in, INSPECT_NOTE, directory, 0,
                        "%u files were set aside as damaged by an earlier recovery", l->damaged);
    for (size_t i = 0; i < l->segment_count && status == 0; i++) {
        chain.last = i + 1 == l->segment_count;
        if (chain.known && chain.at.index != l->segments[i]) {
            inspect_problem(in, INSPECT_DAMAGE, directory, 0,
                            "entries %" PRIu64 " to %" PRIu64
                            " are missing: the next segment begins at %" PRIu64,
                            chain.at.index, l->segments[i] - 1, l->segments[i]);
            chain.known = false;
        }
        status = inspect_segment(in, directory, l->segments[i], &chain);
    }
    if (status == 0 && chain.floor_index >= chain.at.index && (chain.known || l->segment_count == 0))
        inspect_problem(in, INSPECT_DAMAGE, directory, 0,
                        "entries %" PRIu64 " to %" PRIu64 " had been synced and are missing at the end",
                        chain.at.index, chain.floor_index);
    return status;
}

static int inspect_group_directory(struct inspect *in, const char *directory)
{
    struct listing l = {0};
    int status = env_dir_list(in->env, directory, list_entry, &l);

    status = status == 0 ? inspect_group(in, directory, &l) : inspect_failed(in, status, directory);
    listing_close(&l);
    return status;
}

static int inspect_identity_file(struct inspect *in, const char *directory)
{
    char path[FORMAT_PATH_MAX];
    struct identity id;

    format_path(path, directory, "identity");
    int status = identity_read(in->env, path, &id);
    if (status == ERR_CORRUPT || status == ERR_NOT_FOUND) {
        inspect_problem(in, INSPECT_DAMAGE, path, 0, "the identity is %s",
                        status == ERR_CORRUPT ? "damaged: its checksum does not match" : "missing");
        return 0;
    }
    if (status != 0)
        return inspect_failed(in, status, path);
    struct inspect_identity shown = {path, id.node_id, id.cluster_id, id.version};
    if (in->callbacks->identity != NULL)
        in->callbacks->identity(in->data, &shown);
    return 0;
}

static int inspect_groups(struct inspect *in, const char *directory)
{
    char groups[FORMAT_PATH_MAX];
    char path[FORMAT_PATH_MAX];
    char name[32];
    struct listing l = {0};

    format_path(groups, directory, "groups");
    int status = env_dir_list(in->env, groups, list_entry, &l);
    if (status == ERR_NOT_FOUND)
        status = 0;
    else if (status != 0)
        inspect_failed(in, status, groups);
    for (size_t i = 0; i < l.group_count && status == 0; i++) {
        snprintf(name, sizeof(name), "%016" PRIx64, l.groups[i]);
        format_path(path, groups, name);
        status = inspect_group_directory(in, path);
    }
    listing_close(&l);
    return status;
}

static int inspect_data_directory(struct inspect *in, const char *directory)
{
    char path[FORMAT_PATH_MAX];
    int status = inspect_identity_file(in, directory);

    format_path(path, directory, "journal");
    if (status == 0) {
        status = inspect_journal(in, path); /* first: it tells how far each log had been synced */
        if (status == ERR_NOT_FOUND) {
            inspect_problem(in, INSPECT_NOTE, path, 0, "there is no journal: nothing was ever stored here");
            status = 0;
        }
    }
    return status == 0 ? inspect_groups(in, directory) : status;
}

static int inspect_directory(struct inspect *in, const char *path, const struct listing *l)
{
    uint64_t group_id;

    if (l->has_identity || l->has_groups)
        return inspect_data_directory(in, path);
    if (l->segment_count > 0 || group_name_parse(base_name(path), &group_id))
        return inspect_group(in, path, l);
    snprintf(in->message, in->message_size, "%s is neither a data directory nor the directory of a replica",
             path);
    return ERR_INVALID_ARGUMENT;
}

/* ---- files ---- */

static int inspect_segment_file(struct inspect *in, const char *path, uint64_t base_index)
{
    char directory[FORMAT_PATH_MAX];
    struct inspect_chain chain = {.last = true};

    snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    else
        snprintf(directory, sizeof(directory), ".");
    if (!group_name_parse(base_name(directory), &chain.group_id))
        chain.group_id = 0;
    return inspect_segment(in, directory, base_index, &chain);
}

static int inspect_file(struct inspect *in, const char *path)
{
    const char *name = base_name(path);
    uint64_t base_index;

    if (format_segment_name_parse(name, ".log", &base_index))
        return inspect_segment_file(in, path, base_index);
    if (format_segment_name_parse(name, ".idx", &base_index))
        return inspect_index(in, path);
    if (strncmp(name, "journal", 7) == 0)
        return inspect_journal(in, path);
    snprintf(in->message, in->message_size,
             "%s is none of: a data directory, a replica's directory, a segment (<20 digits>.log), an index "
             "(<20 digits>.idx), a journal",
             path);
    return ERR_INVALID_ARGUMENT;
}

/* Without the slashes that a shell's completion leaves at a directory's end. */
static bool copy_path(char out[FORMAT_PATH_MAX], const char *path)
{
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size == 0 || size > FORMAT_DIRECTORY_MAX)
        return false;
    memcpy(out, path, size);
    out[size] = '\0';
    return true;
}

int inspect_path(struct env *env, const char *path, const struct inspect_callbacks *callbacks, void *data,
                 struct inspect_summary *summary, char *message, size_t message_size)
{
    struct inspect in = {env, callbacks, data, summary, message, message_size, NULL, 0};
    char clean[FORMAT_PATH_MAX];
    struct listing l = {0};
    struct env_file *file;

    *summary = (struct inspect_summary){0};
    message[0] = '\0';
    if (!copy_path(clean, path)) {
        snprintf(message, message_size, "the path is empty or too long");
        return ERR_INVALID_ARGUMENT;
    }
    int status;
    if (env_dir_list(env, clean, list_entry, &l) == 0) {
        status = inspect_directory(&in, clean, &l);
    } else if ((status = env_file_open(env, clean, ENV_READ, &file)) == 0) {
        env_file_close(env, file);
        status = inspect_file(&in, clean);
    }
    if (status != 0 && message[0] == '\0')
        inspect_failed(&in, status, clean);
    listing_close(&l);
    free(in.floors);
    return status;
}
