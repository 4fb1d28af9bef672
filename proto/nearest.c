#include "proto/nearest.h"
#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { NAME_MAX_SIZE = 128 }; /* longer ones are cut: no name of ours comes near */

static char folded(char c)
{
    return c == '_' || c == '.' ? '-' : (char)tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* Wagner and Fischer's table, one row at a time. */
static unsigned edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    unsigned row[NAME_MAX_SIZE + 1];
    for (unsigned j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= a_size; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned above = row[j];
            unsigned replaced = diagonal + (folded(a[i - 1]) != folded(b[j - 1]));
            row[j] = least(replaced, above + 1, row[j - 1] + 1);
            diagonal = above;
        }
    }
    return row[b_size];
}

const char *nearest_name(const char *name, const char *const *names, size_t count)
{
    size_t size = strnlen(name, NAME_MAX_SIZE);
    const char *best = NULL;
    unsigned best_distance = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t other = strnlen(names[i], NAME_MAX_SIZE);
        unsigned distance = edit_distance(name, size, names[i], other);
        /* Up to a third of the letters may be wrong; a very short name still allows for one slip. */
        size_t longer = size > other ? size : other;
        if (distance < best_distance && distance <= (longer < 3 ? 1 : longer / 3 + 1) && distance < longer) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}
