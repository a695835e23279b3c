/* bench/load/handshakes.c — connects again and again: one TLS handshake and one request each.
 *
 *     handshakes PORT SECONDS full|resumed
 *
 * CLIENTS processes with one connection at a time each, TLS 1.3, every answer read to its end.
 * `resumed` offers the newest ticket and counts a connection that was not resumed as failed. Prints
 * one line of JSON as harness/report.lua does for wrk. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 16, ANSWER_MAX = 8192, TIMES_MAX = 1 << 16 };

struct run {
    SSL_CTX *context;
    struct sockaddr_in address;
    bool is_resumed;
    SSL_SESSION *session; /* the newest ticket's */
    uint64_t requests;
    uint64_t failed;
    uint64_t bytes;
    uint32_t times_us[TIMES_MAX]; /* of connections, as they came */
};

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct run *run = SSL_get_app_data(ssl);
    SSL_SESSION_free(run->session);
    run->session = session;
    return 1;
}

/* The size of a whole answer that begins here, or 0 while its head is not complete. */
static size_t whole_size(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strcasestr(answer, "content-length:");
    if (end == NULL || length == NULL || length > end) {
        return 0;
    }
    return (size_t)(end + 4 - answer) + strtoul(length + sizeof "content-length:" - 1, NULL, 10);
}

/* False when the answer is not a whole 200. */
static bool ask(struct run *run, SSL *ssl)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    char answer[ANSWER_MAX + 1] = "";
    size_t size = 0;
    if (SSL_write(ssl, request, sizeof request - 1) != sizeof request - 1) {
        return false;
    }
    while (whole_size(answer) == 0 || size < whole_size(answer)) {
        int part = size < ANSWER_MAX ? SSL_read(ssl, answer + size, (int)(ANSWER_MAX - size)) : -1;
        if (part <= 0) {
            return false;
        }
        size += (size_t)part;
        answer[size] = '\0';
    }
    run->bytes += size;
    return strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

static bool shake_hands_and_ask(struct run *run, SSL *ssl, int fd)
{
    bool is_offered = run->is_resumed && run->session != NULL;
    /* A copy: OpenSSL takes what was resumed out of use, and not every server sends a new ticket.
     */
    SSL_SESSION *offer = is_offered ? SSL_SESSION_dup(run->session) : NULL;
    SSL_set_app_data(ssl, run);
    bool is_ready = SSL_set_fd(ssl, fd) == 1 && (offer == NULL || SSL_set_session(ssl, offer) == 1);
    SSL_SESSION_free(offer);
    if (!is_ready || SSL_connect(ssl) != 1) {
        return false;
    }
    bool is_as_wished = (SSL_session_reused(ssl) == 1) == is_offered;
    bool is_answered = ask(run, ssl);
    (void)SSL_shutdown(ssl);
    return is_as_wished && is_answered;
}

static void connect_once(struct run *run)
{
    uint64_t began_us = now_us();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *ssl = SSL_new(run->context);
    bool is_connected =
        fd >= 0 && ssl != NULL &&
        connect(fd, (const struct sockaddr *)&run->address, sizeof run->address) == 0;
    if (!is_connected || !shake_hands_and_ask(run, ssl, fd)) {
        run->failed++;
    }
    SSL_free(ssl);
    if (fd >= 0) {
        (void)close(fd);
    }
    run->times_us[run->requests % TIMES_MAX] = (uint32_t)(now_us() - began_us);
    run->requests++;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* All that the clients did, in one. */
static void report(const struct run *runs, uint64_t duration_us)
{
    static uint32_t times_us[CLIENTS * TIMES_MAX + 1];
    struct run sum = {.requests = 0};
    size_t count = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        size_t kept = runs[i].requests < TIMES_MAX ? runs[i].requests : TIMES_MAX;
        memcpy(times_us + count, runs[i].times_us, kept * sizeof times_us[0]);
        count += kept;
        sum.requests += runs[i].requests;
        sum.failed += runs[i].failed;
        sum.bytes += runs[i].bytes;
    }
    qsort(times_us, count, sizeof times_us[0], compare);
    printf("{\"requests\":%llu,\"duration_us\":%llu,\"bytes\":%llu,\"failed\":%llu,\"p50_us\":%u,"
           "\"p99_us\":%u,\"p999_us\":%u}\n",
           (unsigned long long)sum.requests, (unsigned long long)duration_us,
           (unsigned long long)sum.bytes, (unsigned long long)sum.failed, times_us[count / 2],
           times_us[count - 1 - count / 100], times_us[count - 1 - count / 1000]);
}

/* One client's process. */
static int perform(struct run *run, uint64_t end_us)
{
    run->context = SSL_CTX_new(TLS_client_method());
    if (run->context == NULL || SSL_CTX_set_min_proto_version(run->context, TLS1_3_VERSION) != 1) {
        return 1;
    }
    (void)SSL_CTX_set_session_cache_mode(run->context,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(run->context, on_session);
    while (now_us() < end_us) {
        connect_once(run);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: handshakes PORT SECONDS full|resumed\n");
        return 2;
    }
    struct run *runs = mmap(NULL, CLIENTS * sizeof *runs, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (runs == MAP_FAILED) {
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    uint64_t began_us = now_us();
    uint64_t end_us = began_us + (uint64_t)atoi(argv[2]) * 1000000;
    for (size_t i = 0; i < CLIENTS; i++) {
        runs[i].is_resumed = strcmp(argv[3], "resumed") == 0;
        runs[i].address = (struct sockaddr_in){.sin_family = AF_INET,
                                               .sin_port = htons((uint16_t)atoi(argv[1])),
                                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (fork() == 0) {
            _exit(perform(&runs[i], end_us));
        }
    }
    int failures = 0;
    int status = 0;
    while (wait(&status) > 0) {
        failures += status != 0;
    }
    report(runs, now_us() - began_us);
    return failures > 0;
}
