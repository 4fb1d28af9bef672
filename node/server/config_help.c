/* What is printed from the table of settings: --help, --print-defaults and docs/configuration.md. */
#include "node/server/config.h"
#include "node/server/settings.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char help_head[] =
    "flotillad: one node of a Flotilla cluster, a replicated log.\n"
    "\n"
    "Usage: flotillad [--config FILE] [--SETTING VALUE]...\n"
    "\n"
    "A cluster of three nodes on this machine, one command per terminal:\n"
    "\n"
    "  P=1@127.0.0.1:9292,2@127.0.0.1:9293,3@127.0.0.1:9294\n"
    "  flotillad --node-id 1 --peers $P --data-dir /tmp/f1\n"
    "  flotillad --node-id 2 --peers $P --data-dir /tmp/f2 \\\n"
    "            --client-port 9193 --http-port 9393 --kafka-port 9093\n"
    "  flotillad --node-id 3 --peers $P --data-dir /tmp/f3 \\\n"
    "            --client-port 9194 --http-port 9394 --kafka-port 9094\n"
    "\n"
    "A node of a cluster on three machines:\n"
    "\n"
    "  flotillad --node-id 1 --data-dir /var/lib/flotilla \\\n"
    "            --peers 1@ten:9292,2@eleven:9292,3@twelve:9292\n"
    "\n"
    "Each setting is read from the file (node-id: 1), then the environment\n"
    "(FLOTILLA_NODE_ID=1), then the command line (--node-id 1); the later one counts.\n"
    "Sizes take KiB, MiB, GiB; durations ms, s, min, h, d.\n"
    "\n"
    "  --config FILE      YAML file of settings (or FLOTILLA_CONFIG)\n"
    "  --print-defaults   a configuration file with every setting at its default\n"
    "  --version, -V      version\n"
    "  --help, -h         this text\n"
    "\n"
    "Settings:\n";

static const char help_tail[] =
    "\n"
    "SIGTERM or SIGINT hands leadership to the other nodes and stops; a second one\n"
    "stops at once.\n"
    "Exit status: 0 stopped as asked; 1 could not start (the message says why);\n"
    "             2 bad configuration; 3 stopped because the disk failed under the\n"
    "             node's journal.\n";

static const char table_head[] =
    "# Configuration of flotillad\n"
    "\n"
    "Each setting can stand in a YAML file (`--config FILE` or `FLOTILLA_CONFIG`), in the environment and on "
    "the command\n"
    "line; a later one of these overrules an earlier one. The name is the file's key; `--name` is the flag, "
    "and `FLOTILLA_` with\n"
    "the name in capitals and underscores is the variable: `node-id: 1`, `FLOTILLA_NODE_ID=1`, `--node-id "
    "1`. A name that\n"
    "is not in this table is refused with the nearest one; so are a setting given twice in one place and a "
    "value out of range.\n"
    "Variables that Kubernetes sets for a service called flotilla (`FLOTILLA_SERVICE_HOST`, "
    "`FLOTILLA_PORT=tcp://...`) are\n"
    "passed over, as are the tool's own `FLOTILLA_BOOTSTRAP` and `FLOTILLA_HTTP`.\n"
    "\n"
    "Sizes are bytes or take `KiB`, `MiB`, `GiB`; durations take `ms`, `s`, `min`, `h`, `d`. This page is "
    "printed from the\n"
    "program's own table; a test keeps the two in step.\n"
    "\n"
    "```yaml\n"
    "node-id: 2\n"
    "data-dir: /var/lib/flotilla\n"
    "peers:\n"
    "  - 1@ten:9292\n"
    "  - 2@eleven:9292\n"
    "  - 3@twelve:9292\n"
    "```\n"
    "\n"
    "| Setting | Default | Range | Meaning |\n"
    "|---|---|---|---|\n";

static void print_wrapped(int fd, const char *text, const char *indent, int width)
{
    int column = 0;
    while (*text != '\0') {
        int word = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + word > width) {
            dprintf(fd, "\n");
            column = 0;
        }
        if (column == 0)
            dprintf(fd, "%s%.*s", indent, word, text);
        else
            dprintf(fd, " %.*s", word, text);
        column += word + (column > 0);
        text += word;
        text += strspn(text, " ");
    }
    dprintf(fd, "\n");
}

static void print_default(const struct setting *s, char *out, size_t out_size)
{
    snprintf(out, out_size, "%s", s->standard[0] != '\0' ? s->standard : s->derived);
}

void config_print_help(int fd)
{
    size_t count;
    const struct setting *table = settings_table(&count);
    dprintf(fd, "%s", help_head);
    for (size_t i = 0; i < count; i++) {
        char range[96], standard[160], text[800];
        setting_range(&table[i], range, sizeof(range));
        print_default(&table[i], standard, sizeof(standard));
        snprintf(text, sizeof(text), "%s [%s; default: %s]", table[i].help, range, standard);
        dprintf(fd, "  --%s\n", table[i].name);
        print_wrapped(fd, text, "      ", 74);
    }
    dprintf(fd, "%s", help_tail);
}

void config_print_table(int fd)
{
    size_t count;
    const struct setting *table = settings_table(&count);
    dprintf(fd, "%s", table_head);
    for (size_t i = 0; i < count; i++) {
        char range[96], standard[160];
        setting_range(&table[i], range, sizeof(range));
        print_default(&table[i], standard, sizeof(standard));
        const char *quote = table[i].standard[0] != '\0' ? "`" : "";
        dprintf(fd, "| `%s` | %s%s%s | %s | %s |\n", table[i].name, quote, standard, quote, range,
                table[i].help);
    }
}

void config_print_defaults(int fd)
{
    size_t count;
    const struct setting *table = settings_table(&count);
    for (size_t i = 0; i < count; i++) {
        char standard[160];
        print_default(&table[i], standard, sizeof(standard));
        print_wrapped(fd, table[i].help, "# ", 96);
        if (table[i].standard[0] != '\0')
            dprintf(fd, "%s: %s\n\n", table[i].name, standard);
        else
            dprintf(fd, "# %s: (%s)\n\n", table[i].name, standard);
    }
}
