#include "canary/cli/guard_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/check.h"

enum { CODE_SIGNAL = 128, CODE_NOT_EXECUTABLE = 126, CODE_NOT_FOUND = 127 };

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

static void fill_held(sigset_t *set, bool has_child)
{
    (void)sigemptyset(set);
    for (size_t i = 0; i < COUNT_OF(passed_on); i++) {
        (void)sigaddset(set, passed_on[i]);
    }
    if (has_child) {
        (void)sigaddset(set, SIGCHLD);
    }
}

void child_hold_signals(sigset_t *ret_before)
{
    sigset_t held;
    fill_held(&held, true);
    (void)signal(SIGCHLD, SIG_DFL); /* ignored, its exit code would be lost */
    CHECK(sigprocmask(SIG_BLOCK, &held, ret_before) == 0);
}

int child_take_signal(void)
{
    sigset_t held;
    fill_held(&held, false);
    int number = sigtimedwait(&held, NULL, &(struct timespec){0});
    return number > 0 ? number : 0;
}

/* In the new process: only what is safe after fork. */
static void become(char *const *argv, const sigset_t *mask, int trouble)
{
    (void)signal(SIGPIPE, SIG_DFL); /* ignored here, and that would be inherited */
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)execvp(argv[0], argv);
    int why = errno;
    ssize_t written = write(trouble, &why, sizeof why);
    (void)written;
    _exit(CODE_NOT_FOUND);
}

/* Until it ends. What the terminal sends has reached the whole process group already. */
static int watch(pid_t child)
{
    sigset_t held;
    fill_held(&held, true);
    for (;;) {
        siginfo_t info;
        int status = 0;
        int number = sigwaitinfo(&held, &info);
        if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL) {
            (void)kill(child, number);
        }
        if (waitpid(child, &status, WNOHANG) == child) {
            return status;
        }
    }
}

static void read_status(int status, struct child_end *ret_end)
{
    bool was_killed = WIFSIGNALED(status);
    *ret_end = (struct child_end){
        .code = was_killed ? CODE_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status),
        .signal = was_killed ? WTERMSIG(status) : 0,
    };
}

enum err child_run(char *const *argv, const sigset_t *mask, struct child_end *ret_end)
{
    int trouble[2];
    int why = 0;
    if (pipe2(trouble, O_CLOEXEC) != 0) {
        return ERR_IO;
    }
    pid_t child = fork();
    if (child == 0) {
        become(argv, mask, trouble[1]);
    }
    (void)close(trouble[1]);
    if (child < 0) {
        (void)close(trouble[0]);
        return ERR_NOMEM;
    }
    ssize_t size = 0;
    do {
        size = read(trouble[0], &why, sizeof why);
    } while (size < 0 && errno == EINTR);
    (void)close(trouble[0]);
    read_status(watch(child), ret_end);
    if (size == (ssize_t)sizeof why) {
        bool is_missing = why == ENOENT || why == ENOTDIR;
        *ret_end = (struct child_end){.code = is_missing ? CODE_NOT_FOUND : CODE_NOT_EXECUTABLE,
                                      .start_errno = why};
    }
    return OK;
}

void child_say_end(const struct child_end *end, struct note *ret_note)
{
    if (end->start_errno != 0) {
        note_set(ret_note, "could not be started: %s", strerror(end->start_errno));
    } else if (end->signal != 0) {
        note_set(ret_note, "was ended by signal %d (%s)", end->signal, strsignal(end->signal));
    } else {
        note_set(ret_note, "ended with exit code %d", end->code);
    }
}
