/* flotillad's man page, printed from the table of settings. */
#include "node/server/config.h"
#include "node/server/settings.h"
#include <stdio.h>

static const char head[] =
    ".TH FLOTILLAD 8 \"\" \"Flotilla " FLOTILLA_VERSION "\" \"System Administration\"\n"
    ".SH NAME\n"
    "flotillad \\- one node of a Flotilla cluster, a replicated log\n"
    ".SH SYNOPSIS\n"
    "\\fBflotillad\\fR [\\fB\\-\\-config\\fR \\fIFILE\\fR] [\\fB\\-\\-\\fISETTING\\fR \\fIVALUE\\fR]...\n"
    ".SH DESCRIPTION\n"
    "Keeps replicas of partitions, elects their leaders with the other nodes, and serves clients. A record "
    "is "
    "acknowledged once\n"
    "a majority of its partition\\(aqs replicas has it on disk. The node runs in the foreground and logs to "
    "standard error.\n"
    ".PP\n"
    "Each setting is read from the file (node\\-id: 1), then the environment (FLOTILLA_NODE_ID=1), then the "
    "command line\n"
    "(\\-\\-node\\-id 1); the later one counts. Sizes take KiB, MiB, GiB; durations ms, s, min, h, d.\n"
    ".SH OPTIONS\n"
    ".TP\n\\fB\\-\\-config\\fR \\fIFILE\\fR\nYAML file of settings.\n"
    ".TP\n\\fB\\-\\-print\\-defaults\\fR\nPrint a configuration file with every setting at its default.\n"
    ".TP\n\\fB\\-\\-version\\fR, \\fB\\-V\\fR\nPrint the version.\n"
    ".TP\n\\fB\\-\\-help\\fR, \\fB\\-h\\fR\nPrint the settings.\n"
    ".SH SETTINGS\n";

static const char tail[] =
    ".SH SIGNALS\n"
    ".TP\nSIGTERM, SIGINT\nHand leadership to the other nodes, then stop; a second one stops at once.\n"
    ".SH EXIT STATUS\n"
    ".TP\n0\nStopped as asked.\n"
    ".TP\n1\nCould not start; the message says why.\n"
    ".TP\n2\nThe configuration is wrong.\n"
    ".TP\n3\nStopped because the disk failed under the node\\(aqs journal.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBFLOTILLA_CONFIG\\fR\nThe configuration file, as with \\fB\\-\\-config\\fR.\n"
    ".TP\n\\fBFLOTILLA_\\fISETTING\\fR\nA setting in capitals, with underscores.\n"
    ".SH EXAMPLES\n"
    "One of three nodes on machines of their own:\n"
    ".PP\n.nf\n"
    "  flotillad \\-\\-node\\-id 1 \\-\\-peers 1@ten:9292,2@eleven:9292,3@twelve:9292 \\-\\-data\\-dir "
    "/var/lib/flotilla\n"
    ".fi\n"
    ".SH SEE ALSO\n"
    "\\fBflotilla\\fR(1)\n";

/* A minus that can be copied into a shell. */
static void put(int fd, const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c == '-')
            dprintf(fd, "\\-");
        else
            dprintf(fd, "%c", *c);
}

void config_print_man(int fd)
{
    size_t count;
    const struct setting *table = settings_table(&count);
    dprintf(fd, "%s", head);
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];
        char range[96];
        setting_range(s, range, sizeof(range));
        dprintf(fd, ".TP\n\\fB\\-\\-");
        put(fd, s->name);
        dprintf(fd, "\\fR\n");
        put(fd, s->help);
        dprintf(fd, " [");
        put(fd, range);
        dprintf(fd, "; default: ");
        put(fd, s->standard[0] != '\0' ? s->standard : s->derived);
        dprintf(fd, "]\n");
    }
    dprintf(fd, "%s", tail);
}
