/* Runs a fuzz target without libFuzzer, so that it is an ordinary test everywhere: replays every file of a
 * corpus, then random mutations of them.
 *
 *     fuzz_batch CORPUS_DIRECTORY [MUTATIONS]        SEED=<number> in the environment replays a run
 *
 * On a crash, the input stands in the file that is named at start; give its directory as corpus to replay it.
 */
#include "node/base/prng.h"
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILES = 256, MAX_INPUT_SIZE = 256 * 1024, DEFAULT_MUTATIONS = 20000, MAX_CHANGES = 6 };

struct input {
    uint8_t *data;
    size_t size;
};

struct corpus {
    struct input files[MAX_FILES];
    size_t count;
};

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "fuzz: %s: %s\n", what, name);
    exit(2);
}

static struct input input_load(const char *path)
{
    struct input in = {malloc(MAX_INPUT_SIZE), 0};
    FILE *file = fopen(path, "rb");

    if (file == NULL || in.data == NULL)
        fail("cannot read", path);
    in.size = fread(in.data, 1, MAX_INPUT_SIZE, file);
    fclose(file);
    return in;
}

static void corpus_load(struct corpus *c, const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;

    if (dir == NULL)
        fail("cannot open", directory);
    while ((entry = readdir(dir)) != NULL && c->count < MAX_FILES) {
        char path[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        c->files[c->count++] = input_load(path);
    }
    closedir(dir);
    if (c->count == 0)
        fail("no corpus files in", directory);
}

static void corpus_free(struct corpus *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->files[i].data);
}

/* ---- mutations ---- */

static void mutate_number(struct input *in, struct prng *p)
{
    static const uint64_t interesting[] = {0,      1,      0x7f,       0x80,       0xff,       0x7fff,
                                           0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX};
    uint64_t value = interesting[prng_below(p, sizeof(interesting) / sizeof(interesting[0]))];
    size_t width = (size_t)1 << prng_below(p, 4);
    bool big_endian = prng_below(p, 2) == 0;

    if (in->size < width)
        return;
    uint8_t *at = in->data + prng_below(p, in->size - width + 1);
    for (size_t i = 0; i < width; i++)
        at[big_endian ? width - 1 - i : i] = (uint8_t)(value >> (8 * i));
}

static void mutate_remove(struct input *in, struct prng *p)
{
    if (in->size < 2)
        return;
    size_t from = prng_below(p, in->size);
    size_t size = prng_below(p, in->size - from) + 1;
    memmove(in->data + from, in->data + from + size, in->size - from - size);
    in->size -= size;
}

/* A piece of a corpus file, put in or written over. */
static void mutate_splice(struct input *in, struct prng *p, const struct corpus *c)
{
    const struct input *other = &c->files[prng_below(p, c->count)];
    if (other->size == 0 || in->size == 0)
        return;
    size_t from = prng_below(p, other->size);
    size_t size = prng_below(p, other->size - from) + 1;
    size_t to = prng_below(p, in->size);
    if (in->size + size > MAX_INPUT_SIZE)
        return;
    memmove(in->data + to + size, in->data + to, in->size - to);
    memcpy(in->data + to, other->data + from, size);
    in->size += size;
}

static void mutate(struct input *in, struct prng *p, const struct corpus *c)
{
    switch (prng_below(p, 6)) {
    case 0:
        if (in->size > 0)
            in->data[prng_below(p, in->size)] ^= (uint8_t)(1u << prng_below(p, 8));
        break;
    case 1:
        if (in->size > 0)
            in->data[prng_below(p, in->size)] = (uint8_t)prng_next(p);
        break;
    case 2:
        mutate_number(in, p);
        break;
    case 3:
        if (prng_below(p, 8) == 0)
            in->size = prng_below(p, in->size + 1);
        break;
    case 4:
        mutate_remove(in, p);
        break;
    default:
        mutate_splice(in, p, c);
        break;
    }
}

/* Each input is run from memory of its own size, so that a sanitizer sees the first byte read too far. The
 * file that `crash` maps keeps it if the target dies. */
static void run_one(const struct input *in, uint8_t *crash, int crash_fd)
{
    uint8_t *copy = malloc(in->size + 1);

    if (copy == NULL || ftruncate(crash_fd, (off_t)in->size) != 0)
        fail("cannot prepare", "an input");
    memcpy(crash, in->data, in->size);
    memcpy(copy + 1, in->data, in->size); /* unaligned on purpose */
    LLVMFuzzerTestOneInput(copy + 1, in->size);
    free(copy);
}

static void run_all(const struct corpus *c, struct prng *p, uint64_t mutations, uint8_t *crash, int crash_fd)
{
    struct input in = {malloc(MAX_INPUT_SIZE), 0};

    if (in.data == NULL)
        fail("out of", "memory");
    for (size_t i = 0; i < c->count; i++)
        run_one(&c->files[i], crash, crash_fd);
    for (uint64_t i = 0; i < mutations; i++) {
        const struct input *base = &c->files[prng_below(p, c->count)];
        uint64_t changes = 1 + prng_below(p, MAX_CHANGES);
        memcpy(in.data, base->data, base->size);
        in.size = base->size;
        while (changes-- > 0)
            mutate(&in, p, c);
        run_one(&in, crash, crash_fd);
    }
    free(in.data);
}

int main(int argc, char **argv)
{
    static struct corpus corpus;
    char crash_path[] = "/tmp/fuzz-XXXXXX";
    const char *seed_text = getenv("SEED");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 0) : (uint64_t)time(NULL) * 1000003;
    uint64_t mutations = argc > 2 ? strtoull(argv[2], NULL, 0) : DEFAULT_MUTATIONS;
    struct prng p;

    if (argc < 2)
        fail("usage", "CORPUS_DIRECTORY [MUTATIONS]");
    corpus_load(&corpus, argv[1]);
    int crash_fd = mkstemp(crash_path);
    uint8_t *crash = mmap(NULL, MAX_INPUT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, crash_fd, 0);
    if (crash_fd < 0 || crash == MAP_FAILED)
        fail("cannot map", crash_path);
    printf("SEED=%llu files=%zu mutations=%llu input=%s\n", (unsigned long long)seed, corpus.count,
           (unsigned long long)mutations, crash_path);
    fflush(stdout);
    prng_init(&p, seed);
    run_all(&corpus, &p, mutations, crash, crash_fd);
    munmap(crash, MAX_INPUT_SIZE);
    close(crash_fd);
    unlink(crash_path);
    corpus_free(&corpus);
    return 0;
}
