#include "canary/incident/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_DIGITS_MIN = 8 };

struct writer {
    char *text; /* borrowed; TALLY_ROUTE_SIZE */
    size_t used;
    bool is_cut;
};

static void put(struct writer *writer, struct bytes piece)
{
    size_t room = TALLY_ROUTE_SIZE - sizeof "..." - writer->used;
    if (writer->is_cut || piece.size > room) {
        writer->is_cut = true;
        piece = bytes_slice(piece, 0, writer->is_cut && piece.size > room ? room : 0);
    }
    if (piece.size > 0) {
        memcpy(writer->text + writer->used, piece.data, piece.size);
        writer->used += piece.size;
    }
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_hex(char byte)
{
    char lower = byte_lower(byte);
    return is_digit(byte) || (lower >= 'a' && lower <= 'f');
}

/* What a segment stands for. */
static struct bytes shape_of(struct bytes segment)
{
    size_t digits = 0;
    size_t hex = 0;
    size_t dashes = 0;
    for (size_t i = 0; i < segment.size; i++) {
        digits += is_digit(segment.data[i]);
        hex += is_hex(segment.data[i]);
        dashes += segment.data[i] == '-';
    }
    if (segment.size > 0 && digits == segment.size) {
        return BYTES("{n}");
    }
    bool is_id = hex >= ID_DIGITS_MIN && hex + dashes == segment.size && digits > 0;
    return is_id ? BYTES("{id}") : segment;
}

void tally_route_of(struct bytes path, char ret_text[TALLY_ROUTE_SIZE])
{
    struct writer writer = {ret_text, 0, false};
    struct bytes rest = path;
    struct bytes segment;
    bool is_first = true;
    while (bytes_next(&rest, '/', &segment)) {
        if (!is_first) {
            put(&writer, BYTES("/"));
        }
        is_first = false;
        put(&writer, shape_of(segment));
    }
    if (path.size > 0 && path.data[path.size - 1] == '/' && writer.used == 0) {
        put(&writer, BYTES("/"));
    }
    for (size_t i = 0; i < writer.used; i++) {
        ret_text[i] = ret_text[i] != '\0' ? ret_text[i] : '?';
    }
    (void)snprintf(ret_text + writer.used, TALLY_ROUTE_SIZE - writer.used, "%s",
                   writer.is_cut ? "..." : "");
}

void tally_failure_of(const struct failure_record *record, int64_t wall_us,
                      struct tally_failure *ret_failure)
{
    *ret_failure = (struct tally_failure){
        .wall_us = wall_us,
        .status = record->canary.status,
        .kind = record->kind,
        .is_rescued = record->is_rescued,
        .is_from_cache = record->is_from_cache,
        .is_bad_for_client = record->is_bad_for_client,
        .has_bucket = record->has_bucket,
        .bucket = record->bucket,
    };
    tally_route_of(record->path, ret_failure->route);
    (void)snprintf(ret_failure->method, sizeof ret_failure->method, "%.*s",
                   BYTES_ARGS(record->method));
}

/* ---- routes ---- */

static struct tally_route *find(struct tally *tally, const char *route)
{
    for (size_t i = 0; i < tally->route_count; i++) {
        if (strcmp(tally->routes[i].route, route) == 0) {
            return &tally->routes[i];
        }
    }
    return NULL;
}

static struct tally_route *least(struct tally *tally)
{
    struct tally_route *found = &tally->routes[0];
    for (size_t i = 1; i < tally->route_count; i++) {
        found = tally->routes[i].failed < found->failed ? &tally->routes[i] : found;
    }
    return found;
}

static struct tally_route *make(struct tally *tally, const struct tally_failure *failure)
{
    struct tally_route *route;
    if (tally->route_count < TALLY_ROUTES_MAX) {
        route = &tally->routes[tally->route_count++];
    } else {
        route = least(tally);
        tally->other_routes += route->failed;
    }
    *route = (struct tally_route){.status = failure->status};
    memcpy(route->route, failure->route, sizeof route->route);
    memcpy(route->method, failure->method, sizeof route->method);
    return route;
}

static void add_route(struct tally *tally, const struct tally_failure *failure)
{
    struct tally_route *route = find(tally, failure->route);
    if (route == NULL) {
        route = make(tally, failure);
    }
    route->failed++;
    route->rescued += failure->is_rescued;
    route->client_bad += failure->is_bad_for_client;
}

/* ---- the rest ---- */

static void add_status(struct tally *tally, unsigned status)
{
    for (size_t i = 0; i < tally->status_count; i++) {
        if (tally->statuses[i].status == status) {
            tally->statuses[i].count++;
            return;
        }
    }
    if (tally->status_count < TALLY_STATUSES_MAX) {
        tally->statuses[tally->status_count++] = (struct tally_status){status, 1};
    } else {
        tally->other_statuses++;
    }
}

/* Buckets are spread evenly already, so they are their own hash. */
static void add_bucket(struct tally *tally, uint32_t bucket)
{
    size_t at = bucket & (TALLY_BUCKETS_MAX - 1);
    while (tally->buckets[at] != 0 && tally->buckets[at] != bucket + 1) {
        at = (at + 1) & (TALLY_BUCKETS_MAX - 1);
    }
    if (tally->buckets[at] != 0) {
        return;
    }
    if (tally->bucket_count >= TALLY_BUCKETS_MAX / 2) {
        tally->has_more_buckets = true;
        return;
    }
    tally->buckets[at] = bucket + 1;
    tally->bucket_count++;
}

void tally_add(struct tally *tally, const struct tally_failure *failure)
{
    tally->failed++;
    tally->rescued += failure->is_rescued;
    tally->stale += failure->is_from_cache;
    tally->client_bad += failure->is_bad_for_client;
    if (failure->kind < METRIC_FAILURE_COUNT) {
        tally->kinds[failure->kind]++;
    }
    add_route(tally, failure);
    add_status(tally, failure->status);
    if (failure->has_bucket) {
        add_bucket(tally, failure->bucket);
    } else {
        tally->without_bucket++;
    }
}

static int by_failed(const void *a, const void *b)
{
    const struct tally_route *first = a;
    const struct tally_route *second = b;
    if (first->failed != second->failed) {
        return first->failed < second->failed ? 1 : -1;
    }
    return strcmp(first->route, second->route);
}

void tally_sort(struct tally *tally)
{
    qsort(tally->routes, tally->route_count, sizeof tally->routes[0], by_failed);
}
