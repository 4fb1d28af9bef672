/* What the checks found, for people and for scripts. */
#include "client/cli/doctor/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

struct doctor_finding *doctor_add(struct doctor_report *r, enum doctor_state state, const char *check,
                                  const char *format, ...)
{
    va_list arguments;
    r->findings = realloc(r->findings, (r->count + 1) * sizeof(*r->findings));
    if (r->findings == NULL) {
        abort();
    }
    struct doctor_finding *f = &r->findings[r->count++];
    *f = (struct doctor_finding){.state = state};
    snprintf(f->check, sizeof(f->check), "%s", check);
    va_start(arguments, format);
    vsnprintf(f->found, sizeof(f->found), format, arguments);
    va_end(arguments);
    return f;
}

void doctor_advise(struct doctor_finding *f, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->advice, sizeof(f->advice), format, arguments);
    va_end(arguments);
}

enum doctor_state doctor_worst(const struct doctor_report *r)
{
    enum doctor_state worst = DOCTOR_FINE;
    for (size_t i = 0; i < r->count; i++) {
        worst = r->findings[i].state > worst ? r->findings[i].state : worst;
    }
    return worst;
}

static const char *const state_names[] = {"ok", "consider", "change"};
static const enum cli_colour state_colours[] = {CLI_GREEN, CLI_YELLOW, CLI_RED};

static void print_text(const struct doctor_report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct doctor_finding *f = &r->findings[i];
        printf("%s%-8s%s  %-10s  %s\n", cli_colour(stdout, state_colours[f->state]), state_names[f->state],
               cli_colour(stdout, CLI_PLAIN), f->check, f->found);
        if (f->advice[0] != 0) {
            printf("%-8s  %-10s  -> %s\n", "", "", f->advice);
        }
    }
}

static void print_json(const struct doctor_report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct doctor_finding *f = &r->findings[i];
        json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "check", f->check, "state", state_names[f->state],
                                 "found", f->found, "advice", f->advice);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    }
}

void doctor_print(const struct doctor_report *r, bool json)
{
    (json ? print_json : print_text)(r);
}

void doctor_close(struct doctor_report *r)
{
    free(r->findings);
    *r = (struct doctor_report){NULL, 0};
}
