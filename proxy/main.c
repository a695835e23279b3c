/* proxy/main.c — the front door: a verb, the rooms it needs, and how it ends. The only file that
 * knows every room. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "canary/about/about.h"
#include "canary/cli/cli.h"
#include "canary/cli/demo.h"
#include "canary/cli/options.h"
#include "canary/controller/controller.h"
#include "canary/replay/replay_verb.h"
#include "conf/conf_load.h"
#include "proxy/base/log.h"
#include "proxy/snapshot/snapshot.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, LOG_WAIT_MS = 2000 };

/* ---- signals ---- */

struct signals {
    uv_signal_t hangup, terminate, interrupt, reopen;
    struct loop *loop;
    struct controller *controller;
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct signals *signals = handle->data;
    loop_enter(signals->loop);
    switch (number) {
    case SIGHUP:
        controller_reload(signals->controller, "signal");
        break;
    case SIGUSR1:
        controller_reopen_logs(signals->controller);
        break;
    default:
        controller_drain(signals->controller);
    }
    loop_leave(signals->loop);
}

/* Waiting for a signal keeps no loop alive. */
static void watch(struct signals *signals, uv_signal_t *handle, int number)
{
    (void)uv_signal_init(&signals->loop->uv, handle);
    handle->data = signals;
    (void)uv_signal_start(handle, on_signal, number);
    uv_unref((uv_handle_t *)handle);
}

static void watch_all(struct signals *signals)
{
    watch(signals, &signals->hangup, SIGHUP);
    watch(signals, &signals->terminate, SIGTERM);
    watch(signals, &signals->interrupt, SIGINT);
    watch(signals, &signals->reopen, SIGUSR1);
}

/* From here on nothing is left to be asked for: a signal that comes late must not end the process
 * before its state is written. */
static void unwatch_all(struct signals *signals)
{
    static const int ours[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR1};
    uv_close((uv_handle_t *)&signals->hangup, NULL);
    uv_close((uv_handle_t *)&signals->terminate, NULL);
    uv_close((uv_handle_t *)&signals->interrupt, NULL);
    uv_close((uv_handle_t *)&signals->reopen, NULL);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        (void)signal(ours[i], SIG_IGN);
    }
}

/* ---- run ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What the service manager left in the environment; children are not to find it there. */
static enum err find_manager(struct notify *notify, struct inherited **ret_inherited,
                             struct note *note)
{
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};
    struct notify_words whom = {getenv(names[0]), getenv(names[1]), getenv(names[2])};
    struct inherited_words what = {getenv(names[3]), getenv(names[4]), getenv(names[5])};
    if (notify_init(notify, &whom, note) != OK) {
        log_warn("the service manager is not told how this process is: %s", note->text);
        note->text[0] = '\0';
    }
    enum err err = inherited_create(&what, INHERITED_FIRST, note, ret_inherited);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)unsetenv(names[i]);
    }
    return err;
}

static int serve(struct conf *conf, const char *path, struct notify *notify,
                 struct inherited *inherited)
{
    struct loop loop;
    struct note note = {{0}};
    if (loop_init(&loop) != OK) {
        conf_destroy(conf);
        log_error("cannot start: out of memory");
        return EXIT_FAILED;
    }
    struct controller_options options = {.loop = &loop,
                                         .conf = conf,
                                         .conf_path = path,
                                         .version = about_version(),
                                         .commit = about_commit(),
                                         .inherited = inherited,
                                         .notify = notify};
    struct signals signals = {.loop = &loop};
    enum err err = controller_create(&options, &note, &signals.controller);
    if (err == OK) {
        watch_all(&signals);
        log_info("serin %s serves (process %d)", about_version(), (int)getpid());
        loop_run(&loop);
        unwatch_all(&signals);
    } else {
        log_error("cannot start: %s", note.text[0] != '\0' ? note.text : err_text(err));
    }
    controller_destroy(signals.controller);
    loop_shutdown(&loop);
    loop_run(&loop);
    loop_finish(&loop);
    if (err == OK) {
        log_info("ended");
    }
    return err == OK ? EXIT_DONE : EXIT_FAILED;
}

static bool is_readable(const char *path)
{
    return access(path, R_OK) == 0;
}

/* NULL: there is none. A file that is there and cannot be read is told as one that was named. */
static const char *default_path(void)
{
    static const char here[] = "./serin.yaml";
    static const char system[] = "/etc/serin/serin.yaml";
    if (is_readable(here)) {
        return here;
    }
    if (access(system, F_OK) == 0) {
        return system;
    }
    return access(here, F_OK) == 0 ? here : NULL;
}

/* Reads `[-c FILE]`; false after telling how it is used, with what it ends. */
static bool read_path(int argc, char **argv, const char **ret_path, int *ret_exit)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    *ret_path = NULL;
    *ret_exit = EXIT_USAGE;
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'h') {
            cli_print_own_help(stdout, argv[0]);
            *ret_exit = EXIT_DONE;
            return false;
        }
        if (option != 'c') {
            (void)fprintf(stderr, "usage: serin %s [-c FILE]\n", argv[0]);
            return false;
        }
        *ret_path = optarg;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "serin: a configuration is named by -c: serin %s -c %s\n", argv[0],
                      argv[optind]);
        return false;
    }
    if (*ret_path == NULL) {
        *ret_path = default_path();
    }
    if (*ret_path == NULL) {
        (void)fprintf(stderr, "serin: there is neither ./serin.yaml nor /etc/serin/serin.yaml; "
                              "-c FILE names another configuration\n");
        *ret_exit = EXIT_FAILED;
    }
    return *ret_path != NULL;
}

static struct conf *load(const char *path)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = conf_load_file(path, &errors, &conf);
    if (err != OK) {
        conf_errors_print(&errors, stderr);
    }
    conf_errors_finish(&errors);
    return err == OK ? conf : NULL;
}

static int run(struct conf *conf, const char *path)
{
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    struct notify notify;
    struct inherited *inherited = NULL;
    struct note note = {{0}};
    enum err err = find_manager(&notify, &inherited, &note);
    if (log_start() != OK) {
        log_warn("the log has no thread of its own and may wait for its reader");
    }
    int status = EXIT_FAILED;
    if (err == OK) {
        status = serve(conf, path, &notify, inherited);
    } else {
        conf_destroy(conf);
        log_error("cannot start: %s", note.text[0] != '\0' ? note.text : err_text(err));
    }
    inherited_destroy(inherited);
    notify_finish(&notify);
    log_stop(LOG_WAIT_MS);
    return status;
}

/* What stands in other files, certificates, is read as `run` would. */
static int check(struct conf *conf, const char *path)
{
    struct tls_ticket_keys *tickets = NULL;
    struct snapshot_base *base = NULL;
    struct note note = {""};
    enum err err = tls_ticket_keys_create(&tickets);
    if (err != OK) {
        conf_destroy(conf);
    } else {
        err = snapshot_base_create(conf, tickets, &note, &base);
    }
    if (err == OK) {
        (void)printf("%s: ok\n", path);
    } else {
        (void)fprintf(stderr, "%s: %s\n", path, note.text[0] != '\0' ? note.text : err_text(err));
    }
    snapshot_base_unref(base);
    tls_ticket_keys_destroy(tickets);
    return err == OK ? EXIT_DONE : EXIT_FAILED;
}

/* Both verbs begin with the same file, read in the same way; `do_it` takes the configuration. */
static int with_configuration(int argc, char **argv,
                              int (*do_it)(struct conf *conf, const char *path))
{
    const char *path;
    int exit;
    if (!read_path(argc, argv, &path, &exit)) {
        return exit;
    }
    struct conf *conf = load(path);
    return conf != NULL ? do_it(conf, path) : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "run") == 0) {
        return with_configuration(argc - 1, argv + 1, run);
    }
    if (argc >= 2 && strcmp(argv[1], "check") == 0) {
        return with_configuration(argc - 1, argv + 1, check);
    }
    if (argc >= 2 && strcmp(argv[1], "demo") == 0) {
        return demo_run(argc - 1, argv + 1, "/proc/self/exe");
    }
    if (argc >= 2 && strcmp(argv[1], "replay") == 0) {
        return replay_run(argc - 1, argv + 1);
    }
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        return about_run(argc - 1, argv + 1);
    }
    return cli_run(argc, argv);
}
