/* flotilla completion: a script for bash, zsh or fish, made from the table of commands; options come from
 * each command's own --help. */
#include "client/cli/commands.h"

#include <string.h>

/* ---- bash ---- */

static void print_bash(void)
{
    printf("# bash completion for flotilla: eval \"$(flotilla completion)\"\n"
           "_flotilla() {\n"
           "  local commands=(\n");
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        printf("    \"%s\"\n", cli_commands[i]->name);
    }
    fputs("  )\n"
          "  local word=${COMP_WORDS[COMP_CWORD]} typed=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" command next=\n"
          "  COMPREPLY=()\n"
          "  if [[ $word == -* ]]; then\n"
          "    for command in \"${commands[@]}\"; do\n"
          "      if [[ \"$typed \" == \"$command \"* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" $command --help | grep -oE -- "
          "'--[a-z0-9-]+')\" -- \"$word\"))\n"
          "        return\n"
          "      fi\n"
          "    done\n"
          "  fi\n"
          "  for command in \"${commands[@]}\"; do\n"
          "    if [[ -z $typed && \" $next \" != *\" ${command%% *} \"* ]]; then next+=\" ${command%% *}\"\n"
          "    elif [[ -n $typed && $command == \"$typed \"* ]]; then next+=\" ${command#\"$typed \"}\"; fi\n"
          "  done\n"
          "  COMPREPLY=($(compgen -W \"$next\" -- \"$word\"))\n"
          "}\n"
          "complete -o default -F _flotilla flotilla\n",
          stdout);
}

/* ---- what zsh and fish show beside each word ---- */

/* A line: what was typed before, the next word, what that does; between tabs. */
static void print_line(const char *typed, const char *word, size_t size, const char *summary, bool quoted)
{
    printf("%s\t%.*s\t", typed, (int)size, word);
    for (const char *at = summary; *at != 0; at++) {
        fputs(quoted && *at == '\'' ? "\\'" : (char[]){*at, 0}, stdout);
    }
    putchar('\n');
}

/* Commands have two words at most. */
static void print_table(bool quoted)
{
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        const struct cli_command *c = cli_commands[i];
        size_t first = strcspn(c->name, " ");
        char group[32];
        snprintf(group, sizeof(group), "%.*s", (int)first, c->name);
        if (c->name[first] == 0) {
            print_line("", c->name, first, c->summary, quoted);
            continue;
        }
        if (i == 0 || strncmp(cli_commands[i - 1]->name, c->name, first + 1) != 0) {
            print_line("", c->name, first, "has commands of its own", quoted);
        }
        print_line(group, c->name + first + 1, strlen(c->name) - first - 1, c->summary, quoted);
    }
}

static void print_names(void)
{
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        printf("%s'%s'", i > 0 ? " " : "", cli_commands[i]->name);
    }
}

#define OPTIONS_OF_HELP                                                                                      \
    "awk '/^  (-., |    )--[a-z]/ { match($0, /--[a-z0-9-]+/); print substr($0, RSTART, RLENGTH) \"%s\" "    \
    "substr($0, 40) }'"

static void print_zsh(void)
{
    printf("#compdef flotilla\n"
           "# zsh completion for flotilla: eval \"$(flotilla completion zsh)\", or as _flotilla in $fpath\n"
           "_flotilla() {\n"
           "  local typed=\"${(j: :)words[2,CURRENT-1]}\" name line\n"
           "  local -a names offered fields\n"
           "  names=(");
    print_names();
    printf(")\n"
           "  if [[ $words[CURRENT] == -* ]]; then\n"
           "    for name in $names; do\n"
           "      [[ \"$typed \" == \"$name \"* ]] || continue\n"
           "      offered=(${(f)\"$($words[1] ${=name} --help | " OPTIONS_OF_HELP ")\"})\n"
           "      _describe option offered\n"
           "      return\n"
           "    done\n"
           "  fi\n"
           "  while IFS= read -r line; do\n"
           "    fields=(\"${(@s:\t:)line}\")\n"
           "    [[ $fields[1] == \"$typed\" ]] && offered+=(\"$fields[2]:$fields[3]\")\n"
           "  done <<'TABLE'\n",
           ":");
    print_table(false);
    fputs("TABLE\n"
          "  if (( $#offered )); then _describe command offered; else _files; fi\n"
          "}\n"
          "if [[ $funcstack[1] == _flotilla ]]; then _flotilla \"$@\"; else compdef _flotilla flotilla; fi\n",
          stdout);
}

static void print_fish(void)
{
    printf("# fish completion for flotilla: flotilla completion fish | source\n"
           "function __flotilla_offer\n"
           "  set -l words (commandline -opc)\n"
           "  set -l typed \"$words[2..-1]\"\n"
           "  if string match -q -- '-*' (commandline -ct)\n"
           "    for name in ");
    print_names();
    printf("\n"
           "      string match -q -- \"$name *\" \"$typed \"; or continue\n"
           "      $words[1] (string split ' ' $name) --help | " OPTIONS_OF_HELP "\n"
           "      return\n"
           "    end\n"
           "  end\n"
           "  for line in (__flotilla_table)\n"
           "    set -l fields (string split -m 1 \\t -- $line)\n"
           "    test \"$fields[1]\" = \"$typed\"; and echo $fields[2]\n"
           "  end\n"
           "end\n"
           "function __flotilla_table\n"
           "  echo '",
           "\\t");
    print_table(true);
    fputs("'\n"
          "end\n"
          "complete -c flotilla -n 'count (__flotilla_offer) >/dev/null' -f -a '(__flotilla_offer)'\n",
          stdout);
}

/* ---- the command ---- */

static int run(const struct cli_command *self, int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, NULL, 0, argc, argv, &rest, 0, &count, 1);
    if (status >= 0) {
        return status;
    }
    const char *shell = count == 1 ? rest[0] : "bash";
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print();
            return CLI_OK;
        }
    }
    cli_error(self, "there is completion for bash, zsh and fish, not for \"%s\"", shell);
    return CLI_USAGE;
}

const struct cli_command cmd_completion = {"completion", "[bash|zsh|fish]",
                                           "Print a completion script for the shell",
                                           "  eval \"$(flotilla completion)\"\n"
                                           "  eval \"$(flotilla completion zsh)\"\n"
                                           "  flotilla completion fish | source",
                                           run};
