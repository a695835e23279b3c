#include "canary/cli/demo_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/check.h"

enum {
    FOLDER_SIZE = 512,
    PATH_SIZE = 1024,
    CONFIG_MAX = 8192,
    LOG_TAIL = 2048,
    EXIT_NO_PROGRAM = 127,
    WALK_DESCRIPTORS = 8,
};

const char DEMO_SERVICE[] = "demo";

struct demo_proxy {
    pid_t pid; /* 0: none, or it was reaped */
    unsigned port, admin_port;
    char folder[FOLDER_SIZE]; /* "" until it exists */
};

/* ---- configuration ---- */

enum err demo_proxy_configure(const struct demo_proxy_options *options, const char *folder,
                              unsigned port, unsigned admin_port, struct buf *out)
{
    char state[PATH_SIZE];
    char access[PATH_SIZE];
    (void)snprintf(state, sizeof state, "%s/serin.db", folder);
    (void)snprintf(access, sizeof access, "%s/access.log", folder);
    /* One worker: the split is then exact over all requests, and the story the same each time. */
    (void)buf_printf(out, "workers: 1\nlisten: [{address: \"127.0.0.1:%u\"}]\n", port);
    (void)buf_printf(out, "admin: {address: \"127.0.0.1:%u\"}\nstate: ", admin_port);
    (void)buf_append_json(out, bytes_of(state));
    (void)buf_append(out, BYTES("\naccess_log: {path: "));
    (void)buf_append_json(out, bytes_of(access));
    (void)buf_printf(out,
                     ", format: json}\n"
                     "timeouts: {drain: 1s}\n"
                     "services:\n"
                     "  - name: %s\n"
                     "    previous: {deployment: %s, url: \"http://127.0.0.1:%u\"}\n"
                     "    current: {deployment: %s, url: \"http://127.0.0.1:%u\"}\n"
                     "    weight: %g%%\n"
                     "    health: {path: /healthz, interval: 1s, timeout: 1s}\n"
                     "    rollback: {every: %ums}\n",
                     DEMO_SERVICE, options->stable_name, options->stable_port, options->canary_name,
                     options->canary_port, options->weight_percent, options->every_ms);
    return out->is_failed ? ERR_NOMEM : OK;
}

static enum err write_config(const struct demo_proxy *proxy,
                             const struct demo_proxy_options *options)
{
    struct buf text;
    buf_init(&text, CONFIG_MAX);
    enum err err =
        demo_proxy_configure(options, proxy->folder, proxy->port, proxy->admin_port, &text);
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/serin.yaml", proxy->folder);
    FILE *file = err == OK ? fopen(path, "we") : NULL;
    if (err == OK && file == NULL) {
        err = ERR_IO;
    }
    if (file != NULL) {
        struct bytes bytes = buf_bytes(&text);
        bool is_written = fwrite(bytes.data, 1, bytes.size, file) == bytes.size;
        is_written &= fclose(file) == 0;
        err = is_written ? OK : ERR_IO;
    }
    buf_finish(&text);
    return err;
}

/* ---- ports ---- */

/* Two ports that nobody listens on; both are held until both are found, so that they differ. */
static enum err find_ports(unsigned ret_ports[2])
{
    int sockets[2] = {-1, -1};
    unsigned ports[2] = {0, 0};
    enum err err = OK;
    for (size_t i = 0; i < 2 && err == OK; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof address;
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_bound = sockets[i] >= 0 &&
                        bind(sockets[i], (struct sockaddr *)&address, size) == 0 &&
                        getsockname(sockets[i], (struct sockaddr *)&address, &size) == 0;
        err = is_bound ? OK : ERR_IO;
        ports[i] = ntohs(address.sin_port);
    }
    for (size_t i = 0; i < 2; i++) {
        if (sockets[i] >= 0) {
            (void)close(sockets[i]);
        }
    }
    if (err == OK) {
        memcpy(ret_ports, ports, sizeof ports);
    }
    return err;
}

/* ---- the child ---- */

/* Between fork and exec: system calls only. */
static void become_proxy(const char *self_path, char *const *arguments, int log_fd, pid_t parent)
{
    int null_fd = open("/dev/null", O_RDONLY);
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setpgid(0, 0);
    bool is_bound = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
    bool is_wired = null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 &&
                    dup2(log_fd, STDOUT_FILENO) >= 0 && dup2(log_fd, STDERR_FILENO) >= 0;
    if (is_bound && is_wired) {
        (void)execv(self_path, arguments);
        static const char TEXT[] = "serin demo: the program could not be started again\n";
        (void)!write(STDERR_FILENO, TEXT, sizeof TEXT - 1);
    }
    _exit(EXIT_NO_PROGRAM);
}

static enum err spawn(struct demo_proxy *proxy, const char *self_path)
{
    char config_path[PATH_SIZE];
    char log_path[PATH_SIZE];
    (void)snprintf(config_path, sizeof config_path, "%s/serin.yaml", proxy->folder);
    (void)snprintf(log_path, sizeof log_path, "%s/serin.log", proxy->folder);
    char name[] = "serin";
    char verb[] = "run";
    char option[] = "-c";
    char *arguments[] = {name, verb, option, config_path, NULL};
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        return ERR_IO;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_proxy(self_path, arguments, log_fd, parent);
    }
    (void)close(log_fd);
    if (pid < 0) {
        return ERR_IO;
    }
    proxy->pid = pid;
    return OK;
}

static enum err make_folder(struct demo_proxy *proxy)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] != '/') {
        base = "/tmp";
    }
    int size = snprintf(proxy->folder, sizeof proxy->folder, "%s/serin-demo-XXXXXX", base);
    if (size < 0 || (size_t)size >= sizeof proxy->folder || mkdtemp(proxy->folder) == NULL) {
        proxy->folder[0] = '\0';
        return ERR_IO;
    }
    return OK;
}

static enum err start(struct demo_proxy *proxy, const struct demo_proxy_options *options,
                      struct note *note)
{
    enum err err = make_folder(proxy);
    if (err != OK) {
        note_set(note, "no folder could be made under TMPDIR or /tmp: %s", strerror(errno));
        return err;
    }
    unsigned ports[2];
    err = find_ports(ports);
    if (err != OK) {
        note_set(note, "no free port was found on 127.0.0.1: %s", strerror(errno));
        return err;
    }
    proxy->port = ports[0];
    proxy->admin_port = ports[1];
    err = write_config(proxy, options);
    if (err != OK) {
        note_set(note, "the configuration could not be written to %s", proxy->folder);
        return err;
    }
    err = spawn(proxy, options->self_path);
    if (err != OK) {
        note_set(note, "the proxy could not be started: %s", strerror(errno));
    }
    return err;
}

enum err demo_proxy_start(const struct demo_proxy_options *options, struct demo_proxy **ret_proxy,
                          struct note *note)
{
    struct demo_proxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL) {
        note_set(note, "out of memory");
        return ERR_NOMEM;
    }
    enum err err = start(proxy, options, note);
    if (err != OK) {
        demo_proxy_destroy(proxy);
        return err;
    }
    *ret_proxy = proxy;
    return OK;
}

unsigned demo_proxy_port(const struct demo_proxy *proxy)
{
    return proxy->port;
}

unsigned demo_proxy_admin_port(const struct demo_proxy *proxy)
{
    return proxy->admin_port;
}

const char *demo_proxy_folder(const struct demo_proxy *proxy)
{
    return proxy->folder;
}

bool demo_proxy_reap(struct demo_proxy *proxy)
{
    if (proxy->pid != 0 && waitpid(proxy->pid, NULL, WNOHANG) == proxy->pid) {
        proxy->pid = 0;
    }
    return proxy->pid == 0;
}

void demo_proxy_stop(struct demo_proxy *proxy, bool is_at_once)
{
    if (proxy != NULL && proxy->pid != 0) {
        (void)kill(proxy->pid, is_at_once ? SIGKILL : SIGTERM);
    }
}

void demo_proxy_log_tail(const struct demo_proxy *proxy, struct buf *out)
{
    char path[PATH_SIZE];
    char tail[LOG_TAIL];
    (void)snprintf(path, sizeof path, "%s/serin.log", proxy->folder);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    if (fseek(file, -(long)sizeof tail, SEEK_END) != 0) {
        rewind(file);
    }
    size_t size = fread(tail, 1, sizeof tail, file);
    (void)fclose(file);
    (void)buf_append(out, bytes_make(tail, size));
}

static int remove_entry(const char *path, const struct stat *state, int kind, struct FTW *place)
{
    (void)state, (void)kind, (void)place;
    (void)remove(path);
    return 0;
}

static void remove_folder(const char *folder)
{
    (void)nftw(folder, remove_entry, WALK_DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void demo_proxy_destroy(struct demo_proxy *proxy)
{
    if (proxy == NULL) {
        return;
    }
    if (!demo_proxy_reap(proxy)) {
        demo_proxy_stop(proxy, true);
        while (waitpid(proxy->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (proxy->folder[0] != '\0') {
        remove_folder(proxy->folder);
    }
    free(proxy);
}
