#include "client/cli/shares.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct share *find(const struct shares *s, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->list[i].partition == partition && strcmp(s->list[i].topic, topic) == 0) {
            return &s->list[i];
        }
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

void shares_add(struct shares *s, const char *topic, int32_t partition)
{
    if (find(s, topic, partition) != NULL) {
        return;
    }
    s->list = realloc(s->list, (s->count + 1) * sizeof(*s->list));
    if (s->list == NULL) {
        abort();
    }
    struct share *share = &s->list[s->count++];
    *share = (struct share){.partition = partition};
    snprintf(share->topic, sizeof(share->topic), "%s", topic);
    qsort(s->list, s->count, sizeof(*s->list), compare);
}

void shares_remove(struct shares *s, const char *topic, int32_t partition)
{
    struct share *share = find(s, topic, partition);
    if (share == NULL) {
        return;
    }
    size_t at = (size_t)(share - s->list);
    memmove(share, share + 1, (--s->count - at) * sizeof(*share));
}

void shares_set_at_end(struct shares *s, const char *topic, int32_t partition, bool at_end)
{
    struct share *share = find(s, topic, partition);
    if (share != NULL) {
        share->at_end = at_end;
    }
}

bool shares_all_at_end(const struct shares *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (!s->list[i].at_end) {
            return false;
        }
    }
    return true;
}

/* Whether `b` is the partition after `a`. */
static bool follows(const struct share *a, const struct share *b)
{
    return strcmp(a->topic, b->topic) == 0 && b->partition == a->partition + 1;
}

void shares_print(const struct shares *s, const char *group, FILE *out)
{
    fprintf(out, "group %s reads", group);
    for (size_t i = 0; i < s->count; i++) {
        bool same = i > 0 && strcmp(s->list[i].topic, s->list[i - 1].topic) == 0;
        size_t last = i;
        while (last + 1 < s->count && follows(&s->list[last], &s->list[last + 1])) {
            last++;
        }
        fprintf(out, same ? "," : " %s ", s->list[i].topic);
        fprintf(out, last > i ? "%" PRId32 "-%" PRId32 : "%" PRId32, s->list[i].partition,
                s->list[last].partition);
        i = last;
    }
    fprintf(out, s->count == 0 ? " nothing: every partition has a reader\n" : "\n");
}

void shares_close(struct shares *s)
{
    free(s->list);
    *s = (struct shares){NULL, 0};
}
