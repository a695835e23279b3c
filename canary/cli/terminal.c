#include "canary/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "proxy/base/check.h"

/* The alternate screen, no cursor, no wrapping; and back. */
static const char ENTER[] = "\033[?1049h\033[?25l\033[?7l\033[H\033[2J";
static const char LEAVE[] = "\033[0m\033[?7h\033[?25h\033[?1049l";

static const int CRASHES[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

/* A signal handler is given no context. */
static struct {
    volatile sig_atomic_t is_taken;
    volatile sig_atomic_t has_keys;
    struct termios before;
    int flags_before; /* of the descriptor, which the shell has too: a loop makes it non-blocking */
} taken;

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

bool terminal_is_capable(void)
{
    return is_set("TERM") && strcmp(getenv("TERM"), "dumb") != 0 && isatty(STDOUT_FILENO) == 1;
}

bool terminal_is_coloured(void)
{
    return !is_set("NO_COLOR");
}

/* The first of these that is set decides. */
bool terminal_is_unicode(void)
{
    static const char *const NAMES[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        if (is_set(NAMES[i])) {
            const char *value = getenv(NAMES[i]);
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
        }
    }
    return false;
}

bool terminal_size(unsigned *ret_columns, unsigned *ret_rows)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
        return false;
    }
    *ret_columns = size.ws_col;
    *ret_rows = size.ws_row;
    return true;
}

/* A terminal whose descriptor others have made non-blocking (they share it) is waited for. */
static bool wait_writable(void)
{
    struct pollfd poll_set = {.fd = STDOUT_FILENO, .events = POLLOUT};
    int count = poll(&poll_set, 1, -1);
    return count > 0 ? (poll_set.revents & POLLOUT) != 0 : count < 0 && errno == EINTR;
}

bool terminal_write(struct bytes bytes)
{
    while (bytes.size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes.data, bytes.size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0 && errno == EAGAIN && wait_writable()) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        bytes = bytes_slice(bytes, (size_t)written, bytes.size - (size_t)written);
    }
    return true;
}

/* Ends as it would have without us: the signal waits until the handler returns. */
static void on_crash(int number)
{
    terminal_leave();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

bool terminal_enter(void)
{
    CHECK(!taken.is_taken);
    struct termios raw;
    bool has_keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &taken.before) == 0;
    taken.has_keys = has_keys;
    taken.flags_before = fcntl(STDIN_FILENO, F_GETFL);
    taken.is_taken = 1;
    for (size_t i = 0; i < COUNT_OF(CRASHES); i++) {
        (void)signal(CRASHES[i], on_crash);
    }
    if (has_keys) {
        raw = taken.before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
        raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    (void)terminal_write(bytes_make(ENTER, sizeof ENTER - 1));
    return has_keys;
}

void terminal_leave(void)
{
    if (!taken.is_taken) {
        return;
    }
    taken.is_taken = 0;
    (void)terminal_write(bytes_make(LEAVE, sizeof LEAVE - 1));
    if (taken.has_keys) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &taken.before);
        (void)fcntl(STDIN_FILENO, F_SETFL, taken.flags_before);
    }
    for (size_t i = 0; i < COUNT_OF(CRASHES); i++) {
        (void)signal(CRASHES[i], SIG_DFL);
    }
}
