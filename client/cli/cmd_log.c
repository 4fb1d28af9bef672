/* flotilla log ...: a node's files, read offline. */
#include "client/cli/commands.h"
#include "client/cli/format.h"

#include "node/storage/inspect.h"
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

enum { MESSAGE_SIZE = 512 };

struct printer {
    bool json;
    bool records;
    bool quiet; /* verify: problems only */
};

/* One line of JSON; takes the object over. */
static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static bool as_json(const void *data)
{
    return ((const struct printer *)data)->json;
}

static void print_identity(void *data, const struct inspect_identity *i)
{
    if (as_json(data)) {
        print_json(json_pack("{s:s, s:s, s:I, s:s, s:I}", "kind", "identity", "path", i->path, "node",
                             (json_int_t)i->node_id, "cluster_id", i->cluster_id, "format",
                             (json_int_t)i->version));
        return;
    }
    printf("data directory %s: node %" PRIu32 ", cluster %s, format %" PRIu32 "\n", i->path, i->node_id,
           i->cluster_id, i->version);
}

static void print_segment(void *data, const struct inspect_segment *s)
{
    char size[32];
    if (as_json(data)) {
        print_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "kind", "segment", "path", s->path,
                             "group", (json_int_t)s->group_id, "first_index", (json_int_t)s->base_index,
                             "first_offset", (json_int_t)s->base_offset, "file_bytes",
                             (json_int_t)s->file_size, "index_complete", s->index_final));
        return;
    }
    printf("%ssegment %s%s: group %" PRIu64 ", first index %" PRIu64 ", first offset %" PRId64 ", %s%s\n",
           cli_colour(stdout, CLI_BOLD), s->path, cli_colour(stdout, CLI_PLAIN), s->group_id, s->base_index,
           s->base_offset, cli_bytes(size, sizeof(size), s->file_size),
           !s->has_index    ? ", no index"
           : s->index_final ? ""
                            : ", index not completed");
}

static const char *control_name(const struct inspect_batch *b)
{
    switch (b->control.type) {
    case BATCH_CONTROL_BARRIER:
        return "barrier";
    case BATCH_CONTROL_START:
        return "start";
    default:
        return "configuration";
    }
}

static void print_batch_json(const struct inspect_batch *b)
{
    const struct batch_header *h = &b->header;
    json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "kind", b->is_control ? "control" : "batch",
                               "position", (json_int_t)b->position, "index", (json_int_t)b->index, "term",
                               (json_int_t)b->term, "bytes", (json_int_t)h->size, "crc_ok", b->crc_ok);
    if (b->is_control && b->crc_ok) {
        json_object_set_new(object, "control", json_string(control_name(b)));
    } else if (!b->is_control) {
        json_object_set_new(object, "base_offset", json_integer(h->base_offset));
        json_object_set_new(object, "records", json_integer(h->record_count));
        json_object_set_new(object, "codec", json_string(batch_codec_name(batch_codec_of(h))));
        json_object_set_new(object, "producer_id", json_integer(h->producer_id));
        json_object_set_new(object, "producer_epoch", json_integer(h->producer_epoch));
        json_object_set_new(object, "base_sequence", json_integer(h->base_sequence));
    }
    print_json(object);
}

static void print_batch(void *data, const struct inspect_batch *b)
{
    const struct batch_header *h = &b->header;
    if (as_json(data)) {
        print_batch_json(b);
        return;
    }
    printf("  @%-10" PRIu64 " index %-8" PRIu64 " term %-4" PRIu64, b->position, b->index, b->term);
    if (b->is_control) {
        printf(" %s", b->crc_ok ? control_name(b) : "control");
    } else {
        printf(" offsets %" PRId64 "-%" PRId64 " records %" PRId32 " codec %s", h->base_offset,
               batch_next_offset(h) - 1, h->record_count, batch_codec_name(batch_codec_of(h)));
        if (h->producer_id >= 0) {
            printf(" producer %" PRId64 "/%d sequence %" PRId32, h->producer_id, h->producer_epoch,
                   h->base_sequence);
        }
    }
    printf(" size %" PRIu32 "%s\n", h->size, b->crc_ok ? "" : " CRC WRONG");
}

static void print_text(const unsigned char *data, size_t size)
{
    if (data == NULL) {
        fputs("null", stdout);
        return;
    }
    putchar('"');
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"' || data[i] == '\\') {
            printf("\\%c", data[i]);
        } else if (data[i] >= 32 && data[i] < 127) {
            putchar(data[i]);
        } else {
            printf("\\x%02x", data[i]);
        }
    }
    putchar('"');
}

static void print_record(void *data, const struct inspect_batch *batch, const struct record *r)
{
    (void)batch;
    if (as_json(data)) {
        const struct flotilla_record record = {.topic = "",
                                               .offset = r->offset,
                                               .timestamp_ms = r->timestamp_ms,
                                               .key = r->key,
                                               .key_size = r->key_size,
                                               .value = r->value,
                                               .value_size = r->value_size};
        format_record_json(stdout, &record);
        return;
    }
    printf("      offset %" PRId64 " time %" PRId64 " key ", r->offset, r->timestamp_ms);
    print_text(r->key, r->key_size);
    fputs(" value ", stdout);
    print_text(r->value, r->value_size);
    putchar('\n');
}

static void print_journal_json(const struct inspect_journal_record *r)
{
    json_t *object = json_pack("{s:s, s:s, s:I, s:I, s:I}", "kind", "journal", "record",
                               inspect_journal_type_name(r->type), "position", (json_int_t)r->position,
                               "round", (json_int_t)r->round, "group", (json_int_t)r->group_id);
    if (r->type == INSPECT_JOURNAL_HARD_STATE) {
        json_object_set_new(object, "term", json_integer((json_int_t)r->term));
        json_object_set_new(object, "vote", json_integer((json_int_t)r->vote));
    } else if (r->type == INSPECT_JOURNAL_FLOOR) {
        json_object_set_new(object, "index", json_integer((json_int_t)r->floor_index));
    } else if (r->type == INSPECT_JOURNAL_FETCHED) {
        json_object_set_new(object, "index", json_integer((json_int_t)r->fetched_from));
    } else if (r->type == INSPECT_JOURNAL_DAMAGED) {
        json_object_set_new(object, "damaged", json_boolean(r->damaged));
        if (r->emptied)
            json_object_set_new(object, "emptied", json_true());
        if (r->known_end_index != 0) {
            json_object_set_new(object, "end_term", json_integer((json_int_t)r->known_end_term));
            json_object_set_new(object, "end_index", json_integer((json_int_t)r->known_end_index));
            json_object_set_new(object, "at_rest", json_boolean(r->at_rest));
        }
    }
    print_json(object);
}

static void print_journal(void *data, const struct inspect_journal_record *r)
{
    if (as_json(data)) {
        print_journal_json(r);
        return;
    }
    printf("  @%-10" PRIu64 " round %-6" PRIu64 " group %-6" PRIu64 " %s", r->position, r->round, r->group_id,
           inspect_journal_type_name(r->type));
    switch (r->type) {
    case INSPECT_JOURNAL_HARD_STATE:
        printf(" term %" PRIu64 " vote %" PRIu64, r->term, r->vote);
        break;
    case INSPECT_JOURNAL_SNAPSHOT:
        printf(" %zu bytes", r->snapshot_size);
        break;
    case INSPECT_JOURNAL_FLOOR:
        printf(" index %" PRIu64, r->floor_index);
        break;
    case INSPECT_JOURNAL_DAMAGED:
        fputs(r->emptied ? " yes, disk replaced" : r->damaged ? " yes" : " no", stdout);
        if (r->known_end_index != 0)
            printf(" end term %" PRIu64 " index %" PRIu64 "%s", r->known_end_term, r->known_end_index,
                   r->at_rest ? ", at rest" : "");
        break;
    case INSPECT_JOURNAL_FETCHED:
        printf(" from index %" PRIu64, r->fetched_from);
        break;
    case INSPECT_JOURNAL_FORGET:
        break;
    }
    putchar('\n');
}

static void print_problem(void *data, const struct inspect_problem *p)
{
    const struct printer *printer = data;
    bool damage = p->severity == INSPECT_DAMAGE;
    FILE *out = printer->quiet ? stdout : stderr;
    if (printer->json) {
        print_json(json_pack("{s:s, s:s, s:I, s:s}", "kind", damage ? "damage" : "note", "path", p->path,
                             "position", (json_int_t)p->position, "message", p->message));
        return;
    }
    fprintf(out, "%s%s%s %s at %" PRIu64 ": %s\n", cli_colour(out, damage ? CLI_RED : CLI_YELLOW),
            damage ? "damage" : "note", cli_colour(out, CLI_PLAIN), p->path, p->position, p->message);
}

static void print_summary(const struct printer *p, const struct inspect_summary *s)
{
    char bytes[32];
    if (p->json) {
        printf("{\"kind\":\"summary\",\"segments\":%" PRIu64 ",\"batches\":%" PRIu64
               ",\"control_batches\":%" PRIu64 ",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"journal_records\":%" PRIu64 ",\"notes\":%" PRIu64 ",\"damages\":%" PRIu64 "}\n",
               s->segments, s->batches, s->control_batches, s->records, s->bytes, s->journal_records,
               s->notes, s->damages);
        return;
    }
    printf("%" PRIu64 " segments, %" PRIu64 " batches (%" PRIu64 " of them control), %" PRIu64
           " records, %" PRIu64 " journal records, %s; %s%" PRIu64 " damaged places%s, %" PRIu64 " notes\n",
           s->segments, s->batches, s->control_batches, s->records, s->journal_records,
           cli_bytes(bytes, sizeof(bytes), s->bytes),
           cli_colour(stdout, s->damages > 0 ? CLI_RED : CLI_GREEN), s->damages,
           cli_colour(stdout, CLI_PLAIN), s->notes);
}

static int inspect(const struct cli_command *self, const char *path, struct printer *printer,
                   const struct inspect_callbacks *callbacks)
{
    char message[MESSAGE_SIZE] = "";
    struct inspect_summary summary = {0};
    struct env *env = env_uv_create(0);
    int status = inspect_path(env, path, callbacks, printer, &summary, message, sizeof(message));
    env_destroy(env);
    if (status != 0) {
        cli_error(self, "%s", message[0] != 0 ? message : error_text(status));
        return CLI_FAILED;
    }
    print_summary(printer, &summary);
    return summary.damages > 0 ? CLI_DATA_LOSS : CLI_OK;
}

static int dump(const struct cli_command *self, int argc, char **argv)
{
    struct printer printer = {false, false, false};
    struct cli_option options[] = {
        {"records", 'r', CLI_FLAG, &printer.records, NULL, "every record's key and value too", 0, 0},
        {"json", 0, CLI_FLAG, &printer.json, NULL, "one line of JSON for everything found", 0, 0},
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 2, argc, argv, &rest, 1, &count, 1);
    if (status >= 0) {
        return status;
    }
    struct inspect_callbacks callbacks = {.identity = print_identity,
                                          .segment = print_segment,
                                          .batch = print_batch,
                                          .record = printer.records ? print_record : NULL,
                                          .journal_record = print_journal,
                                          .problem = print_problem};
    return inspect(self, rest[0], &printer, &callbacks);
}

static int verify(const struct cli_command *self, int argc, char **argv)
{
    struct printer printer = {false, false, true};
    struct cli_option options[] = {
        {"json", 0, CLI_FLAG, &printer.json, NULL, "one line of JSON for each problem, and a summary", 0, 0},
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 1, argc, argv, &rest, 1, &count, 1);
    if (status >= 0) {
        return status;
    }
    struct inspect_callbacks callbacks = {.problem = print_problem};
    return inspect(self, rest[0], &printer, &callbacks);
}

const struct cli_command cmd_log_dump = {
    "log dump", "PATH", "Print what a node's files hold: segments, batches, journal",
    "  flotilla log dump /var/lib/flotilla/groups/0000000000000005\n"
    "  flotilla log dump --records .flotilla/node-1/data/groups/0000000000000005",
    dump};
const struct cli_command cmd_log_verify = {
    "log verify", "PATH", "Check every checksum and every link of a node's files; exit 4 on damage",
    "  flotilla log verify .flotilla/node-1/data", verify};
