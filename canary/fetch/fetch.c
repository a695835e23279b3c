/* libcurl's multi interface driven by the loop: curl names its sockets and its next timeout,
 * uv_poll and uv_timer wake it up. QUICK_EXIT keeps curl from joining its resolver thread when a
 * call ends before its name is resolved: with a silent DNS server that join stands still for as
 * long as the resolver does. */
#include "canary/fetch/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "canary/fetch/libcurl.h"
#include "proxy/base/buf.h"
#include "proxy/base/check.h"
#include "proxy/base/list.h"

enum {
    FETCH_TAG = TAG('f', 't', 'c', 'h'),
    HEADER_VALUE_MAX = 256,
    CONNECT_TIMEOUT_MS = 5000,
    CONNECTIONS_MAX = 16,
};

struct fetch {
    unsigned tag;
    uv_loop_t *loop;
    struct libcurl curl;
    CURLM *multi;       /* NULL until the first call is prepared */
    uv_timer_t timer;   /* curl's timeout */
    uv_check_t settler; /* runs after polling while calls wait to be told */
    uv_idle_t waker;    /* keeps the loop from sleeping then */
    struct list calls;  /* of struct fetch_call: under way */
    struct list ended;  /* done, to be told on the loop's next turn */
    size_t sockets;     /* uv_poll handles not yet closed */
    unsigned open_handles;
    bool is_closing;
    bool is_inside; /* curl is on the stack */
    void (*on_closed)(void *context);
    void *closed_context;
};

/* A socket of curl's that the loop watches. */
struct fetch_socket {
    uv_poll_t poll;
    struct fetch *fetch;
    curl_socket_t number;
};

struct fetch_call {
    struct list link;
    struct fetch *fetch;
    CURL *easy;
    struct curl_slist *headers;
    char *request_body;
    struct buf body;
    bool (*on_data)(void *context, struct bytes data);
    fetch_on_done *on_done;
    void *context;
    uint64_t started_us;
    CURLcode code;
    bool is_attached;
    bool is_cancelled;
    bool is_stopped; /* on_data said enough */
    char etag[HEADER_VALUE_MAX];
    char retry_after[HEADER_VALUE_MAX];
    char ratelimit[HEADER_VALUE_MAX];
    char ray[HEADER_VALUE_MAX];
    char error[CURL_ERROR_SIZE];
};

static struct fetch *fetch_of(void *context)
{
    struct fetch *fetch = context;
    CHECK(fetch->tag == FETCH_TAG);
    return fetch;
}

/* ---- telling ---- */

static void call_destroy(struct fetch_call *call)
{
    if (call == NULL) {
        return;
    }
    const struct libcurl *curl = &call->fetch->curl;
    list_remove(&call->link);
    if (call->is_attached) {
        (void)curl->multi_remove_handle(call->fetch->multi, call->easy);
    }
    curl->easy_cleanup(call->easy);
    curl->slist_free_all(call->headers);
    free(call->request_body);
    buf_finish(&call->body);
    free(call);
}

static enum err outcome_of(const struct fetch_call *call)
{
    if (call->is_cancelled || call->is_stopped) {
        return ERR_CLOSED;
    }
    if (call->body.is_failed) {
        return ERR_LIMIT;
    }
    switch (call->code) {
    case CURLE_OK:
        return OK;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return ERR_LIMIT;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static const char *error_text_of(const struct fetch_call *call, enum err err)
{
    if (err == OK) {
        return "";
    }
    if (err == ERR_LIMIT) {
        return "the answer is too large";
    }
    if (err == ERR_CLOSED) {
        return "the call was ended";
    }
    return call->error[0] != '\0' ? call->error : call->fetch->curl.easy_strerror(call->code);
}

static const char *kept(const char *value)
{
    return value[0] != '\0' ? value : NULL;
}

static void call_tell(struct fetch_call *call)
{
    long status = 0;
    char *content_type = NULL;
    (void)call->fetch->curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)call->fetch->curl.easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &content_type);
    enum err err = outcome_of(call);
    struct fetch_answer answer = {
        .err = err,
        .status = status > 0 ? (unsigned)status : 0,
        .body = buf_bytes(&call->body),
        .content_type = content_type,
        .etag = kept(call->etag),
        .retry_after = kept(call->retry_after),
        .ratelimit = kept(call->ratelimit),
        .ray = kept(call->ray),
        .error = error_text_of(call, err),
        .elapsed_us = uv_hrtime() / 1000 - call->started_us,
    };
    call->on_done(call->context, &answer);
}

static void finish_closing(struct fetch *fetch);

static void settle(struct fetch *fetch)
{
    struct list told;
    list_init(&told);
    while (!list_is_empty(&fetch->ended)) {
        list_push_back(&told, list_pop_front(&fetch->ended));
    }
    while (!list_is_empty(&told)) {
        struct fetch_call *call = CONTAINER_OF(list_pop_front(&told), struct fetch_call, link);
        call_tell(call);
        call_destroy(call);
    }
    if (list_is_empty(&fetch->ended)) {
        (void)uv_idle_stop(&fetch->waker);
        (void)uv_check_stop(&fetch->settler);
    }
    if (fetch->is_closing && list_is_empty(&fetch->calls)) {
        finish_closing(fetch);
    }
}

static void on_settle(uv_check_t *settler)
{
    settle(fetch_of(settler->data));
}

static void on_wake(uv_idle_t *waker)
{
    (void)fetch_of(waker->data);
}

/* Told on the loop's next turn, so that no callback runs inside curl or inside fetch_start. */
static void call_end(struct fetch_call *call)
{
    struct fetch *fetch = call->fetch;
    list_remove(&call->link);
    list_push_back(&fetch->ended, &call->link);
    (void)uv_idle_start(&fetch->waker, on_wake);
    (void)uv_check_start(&fetch->settler, on_settle);
}

/* ---- curl on the loop ---- */

static void collect_done(struct fetch *fetch)
{
    int left = 0;
    for (CURLMsg *message = fetch->curl.multi_info_read(fetch->multi, &left); message != NULL;
         message = fetch->curl.multi_info_read(fetch->multi, &left)) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        char *owner = NULL;
        (void)fetch->curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        struct fetch_call *call = (struct fetch_call *)(void *)owner;
        call->code = message->data.result;
        (void)fetch->curl.multi_remove_handle(fetch->multi, call->easy);
        call->is_attached = false;
        call_end(call);
    }
}

static void drive(struct fetch *fetch, curl_socket_t number, int events)
{
    int running = 0;
    fetch->is_inside = true;
    (void)fetch->curl.multi_socket_action(fetch->multi, number, events, &running);
    fetch->is_inside = false;
    collect_done(fetch);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct fetch_socket *watched = poll->data;
    int action = status < 0 ? CURL_CSELECT_ERR : 0;
    action |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    action |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    drive(fetch_of(watched->fetch), watched->number, action);
}

static void on_timeout(uv_timer_t *timer)
{
    drive(fetch_of(timer->data), CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *context)
{
    struct fetch *fetch = fetch_of(context);
    (void)multi;
    if (fetch->is_closing && uv_is_closing((uv_handle_t *)&fetch->timer)) {
        return 0;
    }
    if (timeout_ms < 0) {
        (void)uv_timer_stop(&fetch->timer);
        return 0;
    }
    /* curl must not be entered from here: at the earliest on the loop's next turn. */
    uv_update_time(fetch->loop);
    return uv_timer_start(&fetch->timer, on_timeout, (uint64_t)timeout_ms, 0) == 0 ? 0 : -1;
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct fetch_socket *watched = handle->data;
    struct fetch *fetch = watched->fetch;
    free(watched);
    CHECK(fetch->sockets > 0);
    fetch->sockets--;
    if (fetch->is_closing) {
        finish_closing(fetch);
    }
}

static struct fetch_socket *watch(struct fetch *fetch, curl_socket_t number)
{
    struct fetch_socket *watched = calloc(1, sizeof *watched);
    if (watched == NULL) {
        return NULL;
    }
    watched->fetch = fetch;
    watched->number = number;
    if (uv_poll_init_socket(fetch->loop, &watched->poll, number) != 0) {
        free(watched);
        return NULL;
    }
    watched->poll.data = watched;
    fetch->sockets++;
    (void)fetch->curl.multi_assign(fetch->multi, number, watched);
    return watched;
}

static void unwatch(struct fetch *fetch, struct fetch_socket *watched)
{
    (void)uv_poll_stop(&watched->poll);
    (void)fetch->curl.multi_assign(fetch->multi, watched->number, NULL);
    uv_close((uv_handle_t *)&watched->poll, on_socket_closed);
}

static int on_curl_socket(CURL *easy, curl_socket_t number, int what, void *context,
                          void *socket_context)
{
    struct fetch *fetch = fetch_of(context);
    struct fetch_socket *watched = socket_context;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL) {
            unwatch(fetch, watched);
        }
        return 0;
    }
    if (watched == NULL) {
        watched = watch(fetch, number);
    }
    if (watched == NULL) {
        return -1;
    }
    int events = 0;
    events |= (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    return uv_poll_start(&watched->poll, events, on_poll) == 0 ? 0 : -1;
}

/* ---- a call ---- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct fetch_call *call = context;
    struct bytes piece = bytes_make(data, size * count);
    long status = 0;
    (void)call->fetch->curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->on_data != NULL && status >= 200 && status < 300) {
        call->is_stopped = !call->on_data(call->context, piece);
        return call->is_stopped ? CURL_WRITEFUNC_ERROR : piece.size;
    }
    return buf_append(&call->body, piece) == OK ? piece.size : CURL_WRITEFUNC_ERROR;
}

static void keep_header(struct bytes line, struct bytes name, char value[HEADER_VALUE_MAX])
{
    if (line.size <= name.size || line.data[name.size] != ':' ||
        !bytes_equal_nocase(bytes_slice(line, 0, name.size), name)) {
        return;
    }
    size_t start = name.size + 1;
    struct bytes text = bytes_slice(line, start, line.size - start);
    while (text.size > 0 &&
           (text.data[text.size - 1] == '\r' || text.data[text.size - 1] == '\n')) {
        text.size--;
    }
    text = bytes_trim(text);
    if (text.size < HEADER_VALUE_MAX) {
        memcpy(value, text.data, text.size);
        value[text.size] = '\0';
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct fetch_call *call = context;
    struct bytes line = bytes_make(data, size * count);
    keep_header(line, BYTES("etag"), call->etag);
    keep_header(line, BYTES("retry-after"), call->retry_after);
    keep_header(line, BYTES("ratelimit"), call->ratelimit);
    keep_header(line, BYTES("cf-ray"), call->ray);
    return line.size;
}

/* curl's own is inherited: every command that runs meanwhile would hold the connection open. */
static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    (void)context;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static bool set_options(struct fetch_call *call, const struct fetch_request *request)
{
    const struct libcurl *curl = &call->fetch->curl;
    CURL *easy = call->easy;
    uint64_t deadline_ms =
        request->deadline_ms != 0 ? request->deadline_ms : FETCH_DEADLINE_DEFAULT_MS;
    deadline_ms = deadline_ms > INT32_MAX ? INT32_MAX : deadline_ms;
    bool is_set = curl->easy_setopt(easy, CURLOPT_PRIVATE, (void *)call) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)deadline_ms) == CURLE_OK;
    is_set &=
        curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK;
    is_set &= curl->easy_setopt(easy, CURLOPT_USERAGENT, "serin") == CURLE_OK;
    return is_set;
}

/* Verification is on by default. The system's folder of authorities would count beside `ca`. */
static bool set_trust(struct fetch_call *call, const struct fetch_request *request)
{
    const struct libcurl *curl = &call->fetch->curl;
    bool is_set = true;
    if (request->ca != NULL) {
        is_set &= curl->easy_setopt(call->easy, CURLOPT_CAINFO, request->ca) == CURLE_OK;
        is_set &= curl->easy_setopt(call->easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    if (request->certificate != NULL) {
        is_set &= curl->easy_setopt(call->easy, CURLOPT_SSLCERT, request->certificate) == CURLE_OK;
    }
    return is_set;
}

static bool set_target(struct fetch_call *call, const struct fetch_request *request)
{
    const struct libcurl *curl = &call->fetch->curl;
    bool is_set = curl->easy_setopt(call->easy, CURLOPT_URL, request->url) == CURLE_OK;
    if (request->unix_path != NULL) {
        is_set &=
            curl->easy_setopt(call->easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_path) == CURLE_OK;
    }
    const char *method = request->method != NULL ? request->method : "GET";
    if (strcmp(method, "HEAD") == 0) {
        return is_set && curl->easy_setopt(call->easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    }
    /* When a connection that was used before ends without an answer, curl asks again by itself.
     * What changes something is asked once, so it gets a connection of its own. */
    bool is_change = strcmp(method, "GET") != 0;
    is_set &= curl->easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, is_change ? 1L : 0L) == CURLE_OK;
    return is_set && curl->easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static bool set_body(struct fetch_call *call, struct bytes body)
{
    const struct libcurl *curl = &call->fetch->curl;
    if (body.data == NULL) {
        return true;
    }
    call->request_body = malloc(body.size + 1);
    if (call->request_body == NULL) {
        return false;
    }
    memcpy(call->request_body, body.data, body.size);
    return curl->easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size) ==
               CURLE_OK &&
           curl->easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->request_body) == CURLE_OK;
}

static bool set_headers(struct fetch_call *call, const struct fetch_request *request)
{
    const struct libcurl *curl = &call->fetch->curl;
    /* No `Expect: 100-continue`: our bodies are small and the wait is a second. */
    call->headers = curl->slist_append(NULL, "Expect:");
    for (size_t i = 0; call->headers != NULL && i < request->header_count; i++) {
        struct curl_slist *longer = curl->slist_append(call->headers, request->headers[i]);
        if (longer == NULL) {
            return false;
        }
        call->headers = longer;
    }
    return call->headers != NULL &&
           curl->easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK;
}

static bool is_acceptable(const struct fetch_request *request)
{
    if (request->header_count > FETCH_HEADERS_MAX) {
        return false;
    }
    for (size_t i = 0; i < request->header_count; i++) {
        if (strpbrk(request->headers[i], "\r\n") != NULL ||
            strchr(request->headers[i], ':') == NULL) {
            return false;
        }
    }
    bool has_scheme =
        strncmp(request->url, "http://", 7) == 0 || strncmp(request->url, "https://", 8) == 0;
    return has_scheme && strpbrk(request->url, "\r\n") == NULL;
}

static enum err call_create(struct fetch *fetch, const struct fetch_request *request,
                            struct fetch_call **ret_call)
{
    struct fetch_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return ERR_NOMEM;
    }
    list_init(&call->link);
    call->fetch = fetch;
    call->on_data = request->on_data;
    call->started_us = uv_hrtime() / 1000;
    buf_init(&call->body, request->body_max != 0 ? request->body_max : FETCH_BODY_DEFAULT);
    call->easy = fetch->curl.easy_init();
    if (call->easy == NULL || !set_options(call, request) || !set_trust(call, request) ||
        !set_target(call, request) || !set_body(call, request->body) ||
        !set_headers(call, request)) {
        call_destroy(call);
        return ERR_NOMEM;
    }
    *ret_call = call;
    return OK;
}

enum err fetch_start(struct fetch *fetch, const struct fetch_request *request,
                     fetch_on_done *on_done, void *context, struct fetch_call **ret_call)
{
    if (fetch->is_closing) {
        return ERR_CLOSED;
    }
    if (!is_acceptable(request)) {
        return ERR_SYNTAX;
    }
    struct fetch_call *call = NULL;
    enum err err = fetch_prepare(fetch, NULL);
    if (err == OK) {
        err = call_create(fetch, request, &call);
    }
    if (err != OK) {
        return err;
    }
    call->on_done = on_done;
    call->context = context;
    if (fetch->curl.multi_add_handle(fetch->multi, call->easy) != CURLM_OK) {
        call_destroy(call);
        return ERR_NOMEM;
    }
    call->is_attached = true;
    list_push_back(&fetch->calls, &call->link);
    if (ret_call != NULL) {
        *ret_call = call;
    }
    return OK;
}

void fetch_cancel(struct fetch_call *call)
{
    CHECK(!call->fetch->is_inside);
    if (!call->is_attached) {
        return;
    }
    call->is_cancelled = true;
    (void)call->fetch->curl.multi_remove_handle(call->fetch->multi, call->easy);
    call->is_attached = false;
    call_end(call);
}

/* ---- life ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct fetch *fetch = fetch_of(handle->data);
    CHECK(fetch->open_handles > 0);
    fetch->open_handles--;
    finish_closing(fetch);
}

static void close_handles(struct fetch *fetch)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&fetch->timer, (uv_handle_t *)&fetch->settler,
                              (uv_handle_t *)&fetch->waker};
    for (size_t i = 0; i < COUNT_OF(handles); i++) {
        uv_close(handles[i], on_handle_closed);
    }
}

/* Called whenever one more thing is gone; the last one frees. */
static void finish_closing(struct fetch *fetch)
{
    if (!list_is_empty(&fetch->calls) || !list_is_empty(&fetch->ended)) {
        return;
    }
    if (!uv_is_closing((uv_handle_t *)&fetch->timer)) {
        close_handles(fetch);
    }
    if (fetch->multi != NULL) {
        /* Closes pooled connections, which may unwatch their sockets. */
        (void)fetch->curl.multi_cleanup(fetch->multi);
        fetch->multi = NULL;
    }
    if (fetch->sockets > 0 || fetch->open_handles > 0) {
        return;
    }
    void (*on_closed)(void *) = fetch->on_closed;
    void *context = fetch->closed_context;
    fetch->tag = 0;
    free(fetch);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

static void init_handles(struct fetch *fetch)
{
    int failed = uv_timer_init(fetch->loop, &fetch->timer);
    failed |= uv_check_init(fetch->loop, &fetch->settler);
    failed |= uv_idle_init(fetch->loop, &fetch->waker);
    CHECK(failed == 0);
    fetch->timer.data = fetch;
    fetch->settler.data = fetch;
    fetch->waker.data = fetch;
    fetch->open_handles = 3;
}

static bool init_multi(struct fetch *fetch, CURLM *multi)
{
    const struct libcurl *curl = &fetch->curl;
    bool is_set = curl->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) == CURLM_OK;
    is_set &= curl->multi_setopt(multi, CURLMOPT_SOCKETDATA, fetch) == CURLM_OK;
    is_set &= curl->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) == CURLM_OK;
    is_set &= curl->multi_setopt(multi, CURLMOPT_TIMERDATA, fetch) == CURLM_OK;
    is_set &= curl->multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX) == CURLM_OK;
    return is_set;
}

enum err fetch_create(uv_loop_t *loop, struct fetch **ret_fetch)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        return ERR_NOMEM;
    }
    fetch->tag = FETCH_TAG;
    fetch->loop = loop;
    list_init(&fetch->calls);
    list_init(&fetch->ended);
    init_handles(fetch);
    *ret_fetch = fetch;
    return OK;
}

enum err fetch_prepare(struct fetch *fetch, struct note *note)
{
    CHECK(!fetch->is_closing);
    if (fetch->multi != NULL) {
        return OK;
    }
    enum err err = libcurl_load(&fetch->curl, note);
    if (err != OK) {
        return err;
    }
    CURLM *multi = fetch->curl.multi_init();
    if (multi == NULL || !init_multi(fetch, multi)) {
        (void)fetch->curl.multi_cleanup(multi);
        return ERR_NOMEM;
    }
    fetch->multi = multi;
    return OK;
}

void fetch_close(struct fetch *fetch, void (*on_closed)(void *context), void *context)
{
    CHECK(!fetch->is_closing);
    CHECK(!fetch->is_inside);
    fetch->is_closing = true;
    fetch->on_closed = on_closed;
    fetch->closed_context = context;
    while (!list_is_empty(&fetch->calls)) {
        struct fetch_call *call = CONTAINER_OF(fetch->calls.next, struct fetch_call, link);
        fetch_cancel(call);
    }
    /* With nobody left to tell, nothing else would come by to finish. */
    (void)uv_idle_start(&fetch->waker, on_wake);
    (void)uv_check_start(&fetch->settler, on_settle);
}
