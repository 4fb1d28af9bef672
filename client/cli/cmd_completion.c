/* flotilla completion: a bash script made from the table of commands; options come from each command's own
 * --help. */
#include "client/cli/commands.h"

#include <string.h>

static void print_words(void)
{
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        printf("    \"%s\"\n", cli_commands[i]->name);
    }
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, NULL, 0, argc, argv, &rest, 0, &count, 1);
    if (status >= 0) {
        return status;
    }
    if (count == 1 && strcmp(rest[0], "bash") != 0) {
        cli_error(self,
                  "there is completion for bash only (zsh: `autoload bashcompinit; bashcompinit` first)");
        return CLI_USAGE;
    }
    printf("# bash completion for flotilla: eval \"$(flotilla completion)\"\n"
           "_flotilla() {\n"
           "  local commands=(\n");
    print_words();
    printf(
        "  )\n"
        "  local word=${COMP_WORDS[COMP_CWORD]} typed=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" command next=\n"
        "  COMPREPLY=()\n"
        "  if [[ $word == -* ]]; then\n"
        "    for command in \"${commands[@]}\"; do\n"
        "      if [[ \"$typed \" == \"$command \"* ]]; then\n"
        "        COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" $command --help | grep -oE -- "
        "'--[a-z-]+')\" -- \"$word\"))\n"
        "        return\n"
        "      fi\n"
        "    done\n"
        "  fi\n"
        "  for command in \"${commands[@]}\"; do\n"
        "    if [[ -z $typed && \" $next \" != *\" ${command%%%% *} \"* ]]; then next+=\" ${command%%%% "
        "*}\"\n"
        "    elif [[ -n $typed && $command == \"$typed \"* ]]; then next+=\" ${command#\"$typed \"}\"; fi\n"
        "  done\n"
        "  COMPREPLY=($(compgen -W \"$next\" -- \"$word\"))\n"
        "}\n"
        "complete -o default -F _flotilla flotilla\n");
    return CLI_OK;
}

const struct cli_command cmd_completion = {"completion", "[bash]", "Print a completion script for the shell",
                                           "  eval \"$(flotilla completion)\"", run};
