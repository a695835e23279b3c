/* Every verb is a row of words: its options, which of them take a value of which kind, and the
 * words that may be its argument. The scripts hold those rows and a few lines that look them up.
 * Names of services are asked of the Serin that runs, within a second, and only harmless ones are
 * used: what a shell completes it may evaluate. */
#include "canary/cli/completion.h"

#include <string.h>

#include "proxy/base/check.h"

enum { OPTIONS_MAX = 32, LIST_SIZE = 1024 };

struct verb_words {
    const char *name;
    const char *argument; /* or NULL */
    const char *summary;
    struct cli_option_text options[OPTIONS_MAX + 1]; /* the one after the last has no name */
};

/* ---- the tables, seen as one ---- */

static struct verb_words words_of_own(const struct cli_own_verb *verb)
{
    struct verb_words words = {verb->name, verb->argument, verb->summary, {{NULL, 0, NULL, NULL}}};
    memcpy(words.options, verb->options, sizeof verb->options);
    return words;
}

static struct verb_words words_of(const struct cli_verb *verb)
{
    struct verb_words words = {verb->name, verb->argument, verb->summary, {{NULL, 0, NULL, NULL}}};
    const struct cli_option_text *option;
    for (size_t i = 0; (option = cli_verb_option_at(verb, i)) != NULL; i++) {
        CHECK(i < OPTIONS_MAX);
        words.options[i] = *option;
    }
    return words;
}

static void for_each_verb(void (*visit)(const struct verb_words *words, struct buf *out),
                          struct buf *out)
{
    for (const struct cli_own_verb *verb = cli_own_verbs; verb->name != NULL; verb++) {
        struct verb_words words = words_of_own(verb);
        visit(&words, out);
    }
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        struct verb_words words = words_of(verb);
        visit(&words, out);
    }
}

static bool is_joined(const struct cli_option_text *option)
{
    return option->value != NULL && option->value[0] == '[';
}

static bool takes_word(const struct cli_option_text *option)
{
    return option->value != NULL && !is_joined(option);
}

static bool takes_file(const struct cli_option_text *option)
{
    return takes_word(option) && strcmp(option->value, "FILE") == 0;
}

static bool takes_service(const struct cli_option_text *option)
{
    return strcmp(option->name, "--service") == 0;
}

/* The words that a value may be, or NULL. */
static const char *choices_of(const struct cli_option_text *option)
{
    static const struct {
        const char *name;
        const char *words;
    } choices[] = {{"--summary", "day week month"}, {"--environment", "production preview"}};
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        if (strcmp(choices[i].name, option->name) == 0) {
            return choices[i].words;
        }
    }
    return NULL;
}

/* "list|rollback" as words; others stand for something, and are none. */
static void append_argument_words(const char *argument, struct buf *out)
{
    if (argument == NULL || strchr(argument, '|') == NULL) {
        return;
    }
    for (; *argument != '\0'; argument++) {
        (void)buf_append_byte(out, *argument == '|' ? ' ' : *argument);
    }
}

/* Text in single quotes of a shell; `also` are more characters that need a backslash there. */
static void append_quoted(const char *text, const char *also, struct buf *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)buf_append(out, BYTES("'\\''"));
            continue;
        }
        if (strchr(also, *text) != NULL) {
            (void)buf_append_byte(out, '\\');
        }
        (void)buf_append_byte(out, *text);
    }
}

/* ---- bash ---- */

static const char BASH_HEAD[] =
    "# bash completion of serin; written by `serin completion bash`\n"
    "_serin_services() {\n"
    "    serin weight --timeout 1s 2>/dev/null | sed -n 's/^\\([A-Za-z0-9._-]*\\): .*/\\1/p'\n"
    "}\n"
    "_serin() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word\n"
    "    local flags= files= services= values= words= choices=\n"
    "    COMPREPLY=()\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$_serin_verbs\" -- \"$cur\")\n"
    "        return\n"
    "    fi\n"
    "    case ${COMP_WORDS[1]} in\n";
static const char BASH_TAIL[] =
    "    esac\n"
    "    for word in \"${COMP_WORDS[@]:2:COMP_CWORD-2}\"; do\n"
    "        if [ \"$word\" = -- ]; then\n"
    "            mapfile -t COMPREPLY < <(compgen -c -f -- \"$cur\")\n"
    "            return\n"
    "        fi\n"
    "    done\n"
    "    case \" $services \" in *\" $prev \"*)\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_serin_services)\" -- \"$cur\"); return ;;\n"
    "    esac\n"
    "    case \" $files \" in *\" $prev \"*) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); "
    "return ;; "
    "esac\n"
    "    case $prev in\n"
    "    --summary) choices='day week month' ;;\n"
    "    --environment) choices='production preview' ;;\n"
    "    esac\n"
    "    case \" $values \" in *\" $prev \"*)\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$cur\"); return ;;\n"
    "    esac\n"
    "    case $cur in\n"
    "    -*) mapfile -t COMPREPLY < <(compgen -W \"$flags --help\" -- \"$cur\") ;;\n"
    "    *) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\") ;;\n"
    "    esac\n"
    "}\n"
    "complete -o bashdefault -o filenames -F _serin serin\n";

static void append_name(const struct verb_words *words, struct buf *out)
{
    (void)buf_printf(out, " %s", words->name);
}

/* "name='--one -o'" of the options for which `is_one` holds. */
static void append_options(const struct verb_words *words, const char *name,
                           bool (*is_one)(const struct cli_option_text *), struct buf *out)
{
    (void)buf_printf(out, " %s='", name);
    for (const struct cli_option_text *option = words->options; option->name != NULL; option++) {
        if (!is_one(option)) {
            continue;
        }
        (void)buf_printf(out, " %s", option->name);
        if (option->letter != 0) {
            (void)buf_printf(out, " -%c", option->letter);
        }
    }
    (void)buf_append_byte(out, '\'');
}

static bool is_any(const struct cli_option_text *option)
{
    return option->name != NULL;
}

static void append_bash_row(const struct verb_words *words, struct buf *out)
{
    (void)buf_printf(out, "    %s)", words->name);
    append_options(words, "flags", is_any, out);
    append_options(words, "values", takes_word, out);
    append_options(words, "files", takes_file, out);
    append_options(words, "services", takes_service, out);
    (void)buf_append(out, BYTES(" words='"));
    append_argument_words(words->argument, out);
    (void)buf_append(out, BYTES("' ;;\n"));
}

static void append_bash(struct buf *out)
{
    (void)buf_append(out, BYTES("_serin_verbs='"));
    for_each_verb(append_name, out);
    (void)buf_append(out, BYTES("'\n"));
    (void)buf_append(out, bytes_of(BASH_HEAD));
    for_each_verb(append_bash_row, out);
    (void)buf_append(out, bytes_of(BASH_TAIL));
}

/* ---- zsh ---- */

static void append_zsh_name(const struct verb_words *words, struct buf *out)
{
    (void)buf_printf(out, "        '%s:", words->name);
    append_quoted(words->summary, ":", out);
    (void)buf_append(out, BYTES("'\n"));
}

static void append_zsh_value(const struct cli_option_text *option, struct buf *out)
{
    const char *choices = choices_of(option);
    if (!takes_word(option)) {
        return;
    }
    (void)buf_append_byte(out, ':');
    append_quoted(option->value, ":[]()", out);
    (void)buf_append_byte(out, ':');
    if (takes_service(option)) {
        (void)buf_append(out, BYTES("_serin_services"));
    } else if (takes_file(option)) {
        (void)buf_append(out, BYTES("_files"));
    } else if (choices != NULL) {
        (void)buf_printf(out, "(%s)", choices);
    }
}

static void append_zsh_option(const struct cli_option_text *option, const char *spelling,
                              struct buf *out)
{
    (void)buf_printf(out, " \\\n            '%s[", spelling);
    append_quoted(option->help, ":[]", out);
    (void)buf_append_byte(out, ']');
    append_zsh_value(option, out);
    (void)buf_append_byte(out, '\'');
}

static void append_zsh_row(const struct verb_words *words, struct buf *out)
{
    char letter[] = "-x";
    (void)buf_printf(out, "    %s)\n        _arguments '--help[say more]'", words->name);
    for (const struct cli_option_text *option = words->options; option->name != NULL; option++) {
        append_zsh_option(option, option->name, out);
        if (option->letter != 0) {
            letter[1] = option->letter;
            append_zsh_option(option, letter, out);
        }
    }
    if (words->argument != NULL && strcmp(words->argument, "-- COMMAND...") == 0) {
        (void)buf_append(out, BYTES(" \\\n            '*::command:_normal'"));
    } else if (words->argument != NULL && strchr(words->argument, '|') != NULL) {
        (void)buf_append(out, BYTES(" \\\n            '1:what:("));
        append_argument_words(words->argument, out);
        (void)buf_append(out, BYTES(")'"));
    }
    (void)buf_append(out, BYTES(" ;;\n"));
}

static void append_zsh(struct buf *out)
{
    (void)buf_append(
        out, BYTES("#compdef serin\n# zsh completion of serin; written by `serin completion zsh`\n"
                   "_serin_services() {\n    local -a names\n"
                   "    names=(${(f)\"$(serin weight --timeout 1s 2>/dev/null |\n"
                   "        sed -n 's/^\\([A-Za-z0-9._-]*\\): .*/\\1/p')\"})\n"
                   "    compadd -a names\n}\n"
                   "_serin() {\n    local -a verbs\n    verbs=(\n"));
    for_each_verb(append_zsh_name, out);
    (void)buf_append(out, BYTES("    )\n    if (( CURRENT == 2 )); then\n"
                                "        _describe verb verbs\n        return\n    fi\n"
                                "    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n"));
    for_each_verb(append_zsh_row, out);
    (void)buf_append(out, BYTES("    esac\n}\nif [ \"$funcstack[1]\" = _serin ]; then\n"
                                "    _serin \"$@\"\nelse\n    compdef _serin serin\nfi\n"));
}

/* ---- fish ---- */

static void append_fish_option(const struct verb_words *words, const struct cli_option_text *option,
                               struct buf *out)
{
    const char *choices = choices_of(option);
    (void)buf_printf(out, "complete -c serin -n '__fish_seen_subcommand_from %s' -l %s",
                     words->name, option->name + 2);
    if (option->letter != 0) {
        (void)buf_printf(out, " -s %c", option->letter);
    }
    if (takes_file(option)) {
        (void)buf_append(out, BYTES(" -r -F"));
    } else if (takes_service(option)) {
        (void)buf_append(out, BYTES(" -x -a '(__serin_services)'"));
    } else if (takes_word(option)) {
        (void)buf_printf(out, " -x%s%s%s", choices != NULL ? " -a '" : "",
                         choices != NULL ? choices : "", choices != NULL ? "'" : "");
    }
    (void)buf_append(out, BYTES(" -d '"));
    append_quoted(option->help, "\\", out);
    (void)buf_append(out, BYTES("'\n"));
}

static void append_fish_row(const struct verb_words *words, struct buf *out)
{
    (void)buf_printf(out, "complete -c serin -n __fish_use_subcommand -a %s -d '", words->name);
    append_quoted(words->summary, "\\", out);
    (void)buf_append(out, BYTES("'\n"));
    for (const struct cli_option_text *option = words->options; option->name != NULL; option++) {
        append_fish_option(words, option, out);
    }
    if (words->argument != NULL && strchr(words->argument, '|') != NULL) {
        (void)buf_printf(out, "complete -c serin -n '__fish_seen_subcommand_from %s' -a '",
                         words->name);
        append_argument_words(words->argument, out);
        (void)buf_append(out, BYTES("'\n"));
    }
}

static void append_fish(struct buf *out)
{
    (void)buf_append(out, BYTES("# fish completion of serin; written by `serin completion fish`\n"
                                "function __serin_services\n"
                                "    serin weight --timeout 1s 2>/dev/null |\n"
                                "        string replace -rf '^([A-Za-z0-9._-]+): .*' '$1'\nend\n"
                                "complete -c serin -f\n"));
    for_each_verb(append_fish_row, out);
}

enum err completion_script(const char *shell, struct buf *out)
{
    static const struct {
        const char *name;
        void (*append)(struct buf *out);
    } shells[] = {{"bash", append_bash}, {"zsh", append_zsh}, {"fish", append_fish}};
    for (size_t i = 0; i < COUNT_OF(shells); i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].append(out);
            return out->is_failed ? ERR_NOMEM : OK;
        }
    }
    return ERR_NOT_FOUND;
}

int completion_run(const struct cli_options *options)
{
    struct buf out;
    buf_init(&out, COMPLETION_MAX);
    enum err err = completion_script(options->argument, &out);
    int exit = err == OK ? CLI_DONE : err == ERR_NOT_FOUND ? CLI_USAGE : CLI_FAILED;
    struct bytes bytes = buf_bytes(&out);
    if (err == ERR_NOT_FOUND) {
        (void)fprintf(stderr, "serin: completion is for bash, zsh or fish\n");
    } else if (err != OK || fwrite(bytes.data, 1, bytes.size, stdout) != bytes.size ||
               fflush(stdout) != 0) {
        (void)fprintf(stderr, "serin: cannot write the completion\n");
        exit = CLI_FAILED;
    }
    buf_finish(&out);
    return exit;
}
