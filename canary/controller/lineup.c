#include "canary/controller/lineup.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "canary/controller/progress.h"
#include "proxy/base/buf.h"
#include "proxy/base/check.h"

enum { VERSIONS_TEXT_MAX = 128 * 1024 };

static const char *const role_names[ROLE_COUNT] = {
    [ROLE_CURRENT] = "current", [ROLE_PREVIOUS] = "previous"};

void lineup_finish(struct lineup *lineup)
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        conf_version_destroy(lineup->versions[role]);
    }
    free(lineup->detail);
    *lineup = (struct lineup){.is_started = false};
}

static const struct conf_version *filed_version(const struct conf_service *conf, size_t role)
{
    if (role == ROLE_PREVIOUS) {
        return &conf->previous;
    }
    return conf->has_current ? &conf->current : NULL;
}

static const char *name_of(const struct conf_version *version)
{
    return version != NULL ? version->deployment : "";
}

static const struct conf_version *find_filed(const struct conf_service *conf,
                                             const char *deployment)
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        const struct conf_version *version = filed_version(conf, role);
        if (version != NULL && strcmp(version->deployment, deployment) == 0) {
            return version;
        }
    }
    return NULL;
}

/* ---- what the state file keeps ---- */

/* Names and URLs hold neither quotes nor backslashes nor controls: conf saw to that. */
static void append_version(const struct conf_version *version, struct buf *out)
{
    (void)buf_printf(out, "{\"deployment\":\"%s\",\"endpoints\":[", version->deployment);
    for (size_t i = 0; i < version->endpoint_count; i++) {
        (void)buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", version->endpoints[i].url);
    }
    (void)buf_append(out, BYTES("]}"));
}

static void append_versions(const struct lineup *lineup, struct buf *out)
{
    (void)buf_append(out, BYTES("\"versions\":{"));
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        if (lineup->versions[role] != NULL) {
            (void)buf_printf(out, "\"%s\":", role_names[role]);
            append_version(lineup->versions[role], out);
            (void)buf_append_byte(out, ',');
        }
    }
    (void)buf_printf(out, "\"configured\":{\"current\":\"%s\",\"previous\":\"%s\"}}",
                     lineup->filed[ROLE_CURRENT], lineup->filed[ROLE_PREVIOUS]);
}

/* The last step of making one: from here on it can be written down without memory. */
static enum err seal(struct lineup *lineup)
{
    struct buf text;
    buf_init(&text, VERSIONS_TEXT_MAX);
    (void)buf_append_byte(&text, '{');
    if (lineup->is_started) {
        append_versions(lineup, &text);
    }
    struct bytes bytes = buf_bytes(&text);
    lineup->detail_size = bytes.size + PROGRESS_TEXT_SIZE + sizeof ",}";
    lineup->versions_size = bytes.size;
    lineup->detail = text.is_failed ? NULL : malloc(lineup->detail_size);
    if (lineup->detail != NULL) {
        memcpy(lineup->detail, bytes.data, bytes.size);
    }
    buf_finish(&text);
    return lineup->detail != NULL ? OK : ERR_NOMEM;
}

const char *lineup_detail(const struct lineup *lineup, const struct rollout_journal *journal)
{
    char progress[PROGRESS_TEXT_SIZE];
    bool has_progress = progress_to_text(journal, progress);
    if (!has_progress && !lineup->is_started) {
        return NULL;
    }
    bool has_both = has_progress && lineup->is_started;
    int size = snprintf(lineup->detail + lineup->versions_size,
                        lineup->detail_size - lineup->versions_size, "%s%s}", has_both ? "," : "",
                        has_progress ? progress : "");
    CHECK(size > 0);
    CHECK((size_t)size < lineup->detail_size - lineup->versions_size);
    return lineup->detail;
}

static enum err read_version(const json_t *json, struct conf_version **ret_version)
{
    const char *urls[CONF_ENDPOINTS_MAX];
    const char *deployment = json_string_value(json_object_get(json, "deployment"));
    const json_t *endpoints = json_object_get(json, "endpoints");
    struct note note = {""};
    size_t index;
    json_t *endpoint;
    if (deployment == NULL || json_array_size(endpoints) > CONF_ENDPOINTS_MAX) {
        return ERR_SYNTAX;
    }
    json_array_foreach(endpoints, index, endpoint)
    {
        urls[index] = json_is_string(endpoint) ? json_string_value(endpoint) : "";
    }
    enum err err = conf_deployment_check(deployment, &note);
    if (err == OK) {
        err = conf_version_create(deployment, urls, json_array_size(endpoints), &note, ret_version);
    }
    return err == OK || err == ERR_NOMEM ? err : ERR_SYNTAX;
}

static enum err read_role(const json_t *versions, size_t role, struct lineup *lineup)
{
    const json_t *configured = json_object_get(versions, "configured");
    const char *filed = json_string_value(json_object_get(configured, role_names[role]));
    if (filed == NULL || strlen(filed) > CONF_DEPLOYMENT_MAX) {
        return ERR_SYNTAX;
    }
    (void)snprintf(lineup->filed[role], sizeof lineup->filed[role], "%s", filed);
    const json_t *version = json_object_get(versions, role_names[role]);
    if (version == NULL && role == ROLE_CURRENT) {
        return OK;
    }
    return read_version(version, &lineup->versions[role]);
}

static enum err read_versions(const json_t *versions, struct lineup *ret_lineup)
{
    struct lineup lineup = {.is_started = true};
    enum err err = OK;
    for (size_t role = 0; role < ROLE_COUNT && err == OK; role++) {
        err = read_role(versions, role, &lineup);
    }
    if (err == OK) {
        err = seal(&lineup);
    }
    if (err != OK) {
        lineup_finish(&lineup);
        return err;
    }
    *ret_lineup = lineup;
    return OK;
}

enum err lineup_from_detail(const char *detail, struct lineup *ret_lineup)
{
    json_error_t error = {0};
    json_t *json = detail != NULL ? json_loads(detail, 0, &error) : NULL;
    if (json == NULL) {
        return detail == NULL ? ERR_NOT_FOUND : error.text[0] != '\0' ? ERR_SYNTAX : ERR_NOMEM;
    }
    const json_t *versions = json_object_get(json, "versions");
    enum err err = versions == NULL ? ERR_NOT_FOUND : read_versions(versions, ret_lineup);
    json_decref(json);
    return err;
}

/* ---- making one ---- */

/* Copies of what is given, with what the configuration names now. */
static enum err make(const struct conf_version *const versions[ROLE_COUNT],
                     const struct conf_service *conf, bool is_started, struct lineup *ret_lineup)
{
    struct lineup lineup = {.is_started = is_started};
    enum err err = OK;
    for (size_t role = 0; role < ROLE_COUNT && err == OK; role++) {
        (void)snprintf(lineup.filed[role], sizeof lineup.filed[role], "%s",
                       name_of(filed_version(conf, role)));
        if (versions[role] != NULL) {
            err = conf_version_copy(versions[role], &lineup.versions[role]);
        }
    }
    if (err == OK) {
        err = seal(&lineup);
    }
    if (err != OK) {
        lineup_finish(&lineup);
        return err;
    }
    *ret_lineup = lineup;
    return OK;
}

enum err lineup_of_file(const struct conf_service *conf, struct lineup *ret_lineup)
{
    const struct conf_version *versions[ROLE_COUNT] = {
        [ROLE_CURRENT] = filed_version(conf, ROLE_CURRENT),
        [ROLE_PREVIOUS] = filed_version(conf, ROLE_PREVIOUS),
    };
    return make(versions, conf, false, ret_lineup);
}

bool lineup_holds(const struct lineup *lineup, const struct conf_service *conf)
{
    return lineup->is_started &&
           strcmp(lineup->filed[ROLE_CURRENT], name_of(filed_version(conf, ROLE_CURRENT))) == 0 &&
           strcmp(lineup->filed[ROLE_PREVIOUS], name_of(filed_version(conf, ROLE_PREVIOUS))) == 0;
}

/* The same two names as the configuration's need no keeping. */
static bool is_as_filed(const struct conf_version *const versions[ROLE_COUNT],
                        const struct conf_service *conf)
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        if (strcmp(name_of(versions[role]), name_of(filed_version(conf, role))) != 0) {
            return false;
        }
    }
    return true;
}

static enum err make_started(const struct conf_version *versions[ROLE_COUNT],
                             const struct conf_service *conf, struct lineup *ret_lineup)
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        const struct conf_version *filed = find_filed(conf, name_of(versions[role]));
        versions[role] = filed != NULL ? filed : versions[role];
    }
    return make(versions, conf, !is_as_filed(versions, conf), ret_lineup);
}

enum err lineup_follow(const struct lineup *before, const struct conf_service *conf,
                       struct lineup *ret_lineup)
{
    if (!lineup_holds(before, conf)) {
        return lineup_of_file(conf, ret_lineup);
    }
    const struct conf_version *versions[ROLE_COUNT] = {
        [ROLE_CURRENT] = before->versions[ROLE_CURRENT],
        [ROLE_PREVIOUS] = before->versions[ROLE_PREVIOUS],
    };
    return make_started(versions, conf, ret_lineup);
}

enum err lineup_start(const struct lineup *before, const struct conf_service *conf,
                      const struct conf_version *canary, bool is_takeover,
                      struct lineup *ret_lineup)
{
    const struct conf_version *versions[ROLE_COUNT] = {
        [ROLE_CURRENT] = canary,
        [ROLE_PREVIOUS] = before->versions[is_takeover ? ROLE_CURRENT : ROLE_PREVIOUS],
    };
    CHECK(versions[ROLE_PREVIOUS] != NULL);
    return make_started(versions, conf, ret_lineup);
}
