/* The man page, printed from the same tables as --help; docs/man/flotilla.1 is this output, which a test
 * checks. */
#ifndef CLI_MAN_H
#define CLI_MAN_H

#include "client/cli/cli.h"

void man_print(void);
/* One command's section; cli_parse calls it for MAN_FLAG, since only the command itself knows its options. */
#define MAN_FLAG "--man"
void man_print_command(const struct cli_command *command, const struct cli_option *options, size_t count);

#endif
