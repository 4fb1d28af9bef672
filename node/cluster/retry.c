#include "node/cluster/retry.h"

static const uint64_t longest_pause_ns = UINT64_C(60) * 1000 * 1000 * 1000;

void retry_note_success(struct retry *r, uint64_t now_ns)
{
    r->worked_ns = now_ns;
}

uint64_t retry_note_failure(struct retry *r, uint64_t now_ns, uint64_t first_pause_ns)
{
    if (r->worked_ns != 0 && now_ns - r->worked_ns > longest_pause_ns) {
        r->failures = 0;
    }
    r->worked_ns = 0;
    uint64_t pause_ns = first_pause_ns;
    for (unsigned i = 0; i < r->failures && pause_ns < longest_pause_ns; i++) {
        pause_ns *= 2;
    }
    r->failures++;
    return pause_ns < longest_pause_ns ? pause_ns : longest_pause_ns;
}
