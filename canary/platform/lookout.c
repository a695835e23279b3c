#include "canary/platform/lookout.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/bytes.h"

static void copy(char ret_id[DEPLOYMENT_ID_SIZE], const char *id)
{
    (void)snprintf(ret_id, DEPLOYMENT_ID_SIZE, "%s", id != NULL ? id : "");
}

static bool is(const char *id, const struct platform_deployment *deployment)
{
    return deployment != NULL && strcmp(id, deployment->id) == 0;
}

static bool is_named(const struct platform_deployment *deployment, const char *name)
{
    return name != NULL && deployment_is_named(deployment, name);
}

bool lookout_is_known(const struct platform_deployment *deployment,
                      const struct lookout_service *service)
{
    return is_named(deployment, service->current) || is_named(deployment, service->previous);
}

const char *lookout_name(const struct platform_deployment *deployment)
{
    size_t size = strlen(deployment->short_id);
    bool is_beginning = size > 0 && strncmp(deployment->id, deployment->short_id, size) == 0;
    return is_beginning ? deployment->short_id : deployment->id;
}

static void add(struct lookout_events *events, enum lookout_kind kind,
                const struct platform_deployment *deployment)
{
    if (events->count < LOOKOUT_EVENTS_MAX) {
        events->list[events->count++] = (struct lookout_event){kind, deployment};
    }
}

/* ---- builds ---- */

static bool has_failed(const struct platform_deployment *deployment)
{
    return !deployment->is_skipped && strcmp(deployment->status, "failure") == 0;
}

/* Good, failed, canceled or skipped: nothing more comes of it. */
static bool has_ended(const struct platform_deployment *deployment)
{
    return deployment->is_skipped || deployment_has_failed(deployment) ||
           strcmp(deployment->status, "skipped") == 0 ||
           (strcmp(deployment->stage, "deploy") == 0 && strcmp(deployment->status, "success") == 0);
}

static bool was_ended(const struct lookout *lookout, const struct platform_deployment *deployment)
{
    for (size_t i = 0; i < lookout->ended_count; i++) {
        if (is(lookout->ended[i].id, deployment)) {
            return true;
        }
    }
    return deployment->created_us <= lookout->ended_us;
}

/* All until then have ended: they need not be known one by one. */
static void raise_ended(struct lookout *lookout, int64_t ended_us)
{
    size_t kept = 0;
    lookout->ended_us = ended_us > lookout->ended_us ? ended_us : lookout->ended_us;
    for (size_t i = 0; i < lookout->ended_count; i++) {
        if (lookout->ended[i].created_us > lookout->ended_us) {
            lookout->ended[kept++] = lookout->ended[i];
        }
    }
    lookout->ended_count = kept;
}

void lookout_note_ended(struct lookout *lookout, const struct platform_deployment *deployment)
{
    if (was_ended(lookout, deployment)) {
        return;
    }
    if (lookout->ended_count == LOOKOUT_ENDED_MAX) {
        raise_ended(lookout, lookout->ended[0].created_us);
    }
    size_t at = lookout->ended_count;
    while (at > 0 && lookout->ended[at - 1].created_us > deployment->created_us) {
        lookout->ended[at] = lookout->ended[at - 1];
        at--;
    }
    copy(lookout->ended[at].id, deployment->id);
    lookout->ended[at].created_us = deployment->created_us;
    lookout->ended_count++;
}

/* Forgets the single ones before the oldest that has not ended, or is not told yet. */
static void tidy(struct lookout *lookout, const struct lookout_view *view)
{
    int64_t newest_us = 0;
    int64_t open_us = INT64_MAX;
    for (size_t i = 0; i < view->deployment_count; i++) {
        const struct platform_deployment *one = &view->deployments[i];
        newest_us = one->created_us > newest_us ? one->created_us : newest_us;
        if (!was_ended(lookout, one) && one->created_us < open_us) {
            open_us = one->created_us;
        }
    }
    raise_ended(lookout, open_us == INT64_MAX ? newest_us : open_us - 1);
}

/* Oldest first. */
static void look_at_builds(struct lookout *lookout, const struct lookout_view *view,
                           struct lookout_events *events)
{
    for (size_t i = view->deployment_count; i > 0; i--) {
        const struct platform_deployment *one = &view->deployments[i - 1];
        if (!has_ended(one) || was_ended(lookout, one)) {
            continue;
        }
        if (lookout->has_looked && has_failed(one)) {
            add(events, LOOKOUT_BUILD_FAILED, one);
            continue;
        }
        if (lookout->has_looked && deployment_is_good(one)) {
            add(events, LOOKOUT_BUILT, one);
        }
        lookout_note_ended(lookout, one);
    }
    tidy(lookout, view);
}

/* ---- what is live ---- */

static bool is_where_service_is(const struct platform_deployment *live,
                                const struct lookout_service *service)
{
    return is_named(live, service->is_on_current ? service->current : service->previous);
}

static void begin(struct lookout *lookout, const struct lookout_view *view,
                  struct lookout_events *events)
{
    for (size_t i = 0; i < view->deployment_count; i++) {
        const struct platform_deployment *one = &view->deployments[i];
        bool is_newer = deployment_is_good(one) && one->created_us > lookout->live_us;
        lookout->live_us = is_newer ? one->created_us : lookout->live_us;
    }
    lookout->has_looked = true;
    if (view->live != NULL) {
        copy(lookout->live, view->live->id);
        bool is_newer = view->live->created_us > lookout->live_us;
        lookout->live_us = is_newer ? view->live->created_us : lookout->live_us;
        add(events, LOOKOUT_FIRST, view->live);
    }
}

static void end_move(struct lookout *lookout, const struct platform_deployment *live,
                     struct lookout_events *events)
{
    if (lookout->moved[0] != '\0') {
        lookout->moved[0] = '\0';
        add(events, LOOKOUT_SETTLED, live);
    }
}

static void move(struct lookout *lookout, const struct platform_deployment *live,
                 struct lookout_events *events)
{
    copy(lookout->moved, live->id);
    add(events, LOOKOUT_MOVED, live);
}

/* Another one is live than at the last look. */
static void take_live(struct lookout *lookout, const struct platform_deployment *live,
                      const struct lookout_service *service, bool is_new,
                      struct lookout_events *events)
{
    bool is_back = lookout->moved[0] != '\0' && is(lookout->before, live);
    lookout->wanted[0] = '\0';
    if (lookout->moved[0] == '\0') {
        copy(lookout->before, lookout->live);
    }
    copy(lookout->live, live->id);
    lookout->live_us = live->created_us > lookout->live_us ? live->created_us : lookout->live_us;
    if (is_new) {
        end_move(lookout, live, events);
        if (!lookout_is_known(live, service)) {
            copy(lookout->wanted, live->id);
            add(events, LOOKOUT_NEW, live);
        }
    } else if (is_back || is_where_service_is(live, service)) {
        end_move(lookout, live, events);
    } else {
        move(lookout, live, events);
    }
}

static void pursue(struct lookout *lookout, const struct platform_deployment *live,
                   const struct lookout_service *service, struct lookout_events *events)
{
    if (lookout_is_known(live, service)) {
        lookout->wanted[0] = '\0';
    } else if (!service->follows) {
        lookout->wanted[0] = '\0';
        move(lookout, live, events);
    } else if (service->may_start) {
        add(events, LOOKOUT_START, live);
    }
}

void lookout_give_up(struct lookout *lookout)
{
    copy(lookout->moved, lookout->wanted);
    lookout->wanted[0] = '\0';
}

void lookout_look(struct lookout *lookout, const struct lookout_view *view,
                  const struct lookout_service *service, struct lookout_events *ret_events)
{
    const struct platform_deployment *live = view->live;
    ret_events->count = 0;
    /* Before this look's builds are taken in: one that was being built then is new, whatever went
     * live meanwhile. */
    bool is_new =
        live != NULL && (live->created_us > lookout->live_us || !was_ended(lookout, live));
    look_at_builds(lookout, view, ret_events);
    if (!lookout->has_looked) {
        begin(lookout, view, ret_events);
        return;
    }
    if (live == NULL) {
        return;
    }
    if (!is(lookout->live, live)) {
        take_live(lookout, live, service, is_new, ret_events);
    } else if (is(lookout->moved, live) && is_where_service_is(live, service)) {
        end_move(lookout, live, ret_events);
    }
    if (is(lookout->wanted, live)) {
        pursue(lookout, live, service, ret_events);
    }
}

/* ---- where it is ---- */

enum err lookout_origin(const struct platform_deployment *deployment, const char **ret_url,
                        struct note *note)
{
    struct bytes url = bytes_of(deployment->url);
    struct bytes short_id = bytes_of(deployment->short_id);
    bool is_secure = bytes_starts_with(url, BYTES("https://"));
    struct bytes host = is_secure ? bytes_slice(url, 8, url.size - 8) : url;
    bool is_pinned = is_secure && short_id.size > 0 && host.size > short_id.size &&
                     bytes_equal_nocase(bytes_slice(host, 0, short_id.size), short_id) &&
                     host.data[short_id.size] == '.';
    bool is_local = bytes_starts_with(url, BYTES("http://127.0.0.1:")) ||
                    bytes_starts_with(url, BYTES("http://[::1]:"));
    if (!is_pinned && !is_local) {
        note_set(note, "the platform says that %s is at \"%s\", which is no host of its own",
                 lookout_name(deployment), deployment->url);
        return ERR_SYNTAX;
    }
    *ret_url = deployment->url;
    return OK;
}

/* ---- over a restart ---- */

char *lookout_to_text(const struct lookout *lookout, const char *project)
{
    json_t *ended = json_array();
    for (size_t i = 0; i < lookout->ended_count; i++) {
        (void)json_array_append_new(ended, json_pack("[s, I]", lookout->ended[i].id,
                                                     (json_int_t)lookout->ended[i].created_us));
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "project", project, "live",
                             lookout->live, "before", lookout->before, "wanted", lookout->wanted,
                             "moved", lookout->moved, "live_us", (json_int_t)lookout->live_us,
                             "ended_us", (json_int_t)lookout->ended_us, "ended", ended);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static bool read_id(const json_t *json, const char *name, char ret_id[DEPLOYMENT_ID_SIZE])
{
    const char *text = json_string_value(json_object_get(json, name));
    bool is_fit = text != NULL && (text[0] == '\0' || platform_id_is_plain(text));
    if (is_fit) {
        copy(ret_id, text);
    }
    return is_fit;
}

static bool read_ended(const json_t *ended, struct lookout *lookout)
{
    for (size_t i = 0; i < json_array_size(ended) && i < LOOKOUT_ENDED_MAX; i++) {
        const json_t *row = json_array_get(ended, i);
        const char *id = json_string_value(json_array_get(row, 0));
        if (id == NULL || !platform_id_is_plain(id) || !json_is_integer(json_array_get(row, 1))) {
            return false;
        }
        copy(lookout->ended[i].id, id);
        lookout->ended[i].created_us = json_integer_value(json_array_get(row, 1));
        lookout->ended_count = i + 1;
    }
    return json_is_array(ended);
}

static enum err read_lookout(const json_t *json, const char *project, struct lookout *ret_lookout)
{
    struct lookout lookout = {.has_looked = true};
    const char *of = json_string_value(json_object_get(json, "project"));
    lookout.live_us = json_integer_value(json_object_get(json, "live_us"));
    lookout.ended_us = json_integer_value(json_object_get(json, "ended_us"));
    bool is_whole = of != NULL && read_id(json, "live", lookout.live) &&
                    read_id(json, "before", lookout.before) &&
                    read_id(json, "wanted", lookout.wanted) &&
                    read_id(json, "moved", lookout.moved) &&
                    read_ended(json_object_get(json, "ended"), &lookout);
    if (!is_whole) {
        return ERR_SYNTAX;
    }
    if (strcmp(of, project) != 0) {
        return ERR_NOT_FOUND;
    }
    *ret_lookout = lookout;
    return OK;
}

enum err lookout_from_text(const char *text, const char *project, struct lookout *ret_lookout)
{
    json_t *json = json_loads(text, 0, NULL);
    enum err err = json != NULL ? read_lookout(json, project, ret_lookout) : ERR_SYNTAX;
    json_decref(json);
    return err;
}
