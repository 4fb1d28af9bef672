/* The journal of votes and snapshots from a disk that may have done anything to it: it is opened or refused
 * with a reason, and what was opened once opens again. */
#include "node/base/assert.h"
#include "node/storage/journal.h"
#include "tests/fuzz/scratch.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_durable(void *data, uint64_t sequence)
{
    (void)data;
    (void)sequence;
}

static void on_failed(void *data, int status)
{
    (void)data;
    ASSERT(status < 0);
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static bool open_and_close(struct scratch *s, const char *path)
{
    struct journal_options options = {
        .env = s->env, .path = path, .durable = on_durable, .failed = on_failed};
    struct journal *journal = NULL;
    char message[256] = "";
    bool closed = false;
    if (journal_open(&options, &journal, message, sizeof(message)) != 0) {
        ASSERT(message[0] != '\0');
        return false;
    }
    journal_close(journal, on_closed, &closed);
    while (!closed)
        env_run_once(s->env, false);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scratch *s = scratch_get();
    char path[128];
    scratch_clear(s);
    scratch_write(s, "journal", data, size);
    scratch_path(s, "journal", path, sizeof(path));
    if (open_and_close(s, path))
        ASSERT(open_and_close(s, path));
    return 0;
}
