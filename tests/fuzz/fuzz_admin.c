/* tests/fuzz/fuzz_admin.c — paths, fields and JSON bodies of the admin API, against a controller
 * that pretends.
 *
 * Input: method byte, then lines: target, authority, fields ("name: value") until an empty line,
 * then the body. Whatever comes in, there is one answer, and a refusal is a problem document. */
#include <stdlib.h>
#include <string.h>

#include "canary/admin/admin.h"
#include "proxy/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct admin_service the_service(void)
{
    return (struct admin_service){.name = "showcase",
                                  .phase = "idle",
                                  .revision = 7,
                                  .verdict = "ok",
                                  .current = {.deployment = "d7a3f2b"},
                                  .previous = {.deployment = "9c2e1a4"}};
}

static bool service_at(void *context, size_t index, struct admin_service *ret_service)
{
    (void)context;
    *ret_service = the_service();
    return index == 0;
}

static bool service_find(void *context, const char *name, struct admin_service *ret_service)
{
    (void)context;
    *ret_service = the_service();
    return strcmp(name, "showcase") == 0;
}

static void process(void *context, struct admin_process *ret_process)
{
    (void)context;
    *ret_process = (struct admin_process){.version = "0"};
}

static size_t conditions(void *context, const char **texts, size_t max)
{
    (void)context;
    (void)texts;
    (void)max;
    return 0;
}

static enum err metrics(void *context, struct buf *out)
{
    (void)context;
    return buf_append(out, BYTES("# none\n"));
}

static void explain(void *context, const struct admin_explain_query *query,
                    struct admin_explanation *ret_explanation)
{
    (void)context;
    CHECK(query->host.size > 0);
    CHECK(query->path.data[0] == '/');
    *ret_explanation = (struct admin_explanation){.service = "showcase"};
}

static void done(struct admin_call *call)
{
    struct admin_reply reply = {.result = ADMIN_DONE, .service = "showcase"};
    admin_reply(call, &reply);
}

static void set_weight(void *context, struct admin_call *call,
                       const struct admin_weight_change *change)
{
    (void)context;
    CHECK(change->weight_ppm <= 1000000);
    done(call);
}

static void rollback(void *context, struct admin_call *call, const struct admin_rollback *rollback)
{
    (void)context;
    CHECK(rollback->reason[0] != '\0');
    done(call);
}

static void rollout(void *context, struct admin_call *call, const struct admin_rollout *rollout)
{
    (void)context;
    CHECK(strcmp(rollout->service, "showcase") == 0);
    done(call);
}

static void release(void *context, struct admin_call *call, const struct admin_release *release)
{
    (void)context;
    CHECK(release->deployment[0] != '\0');
    done(call);
}

static void drill(void *context, struct admin_call *call, const struct admin_drill *drill)
{
    (void)context;
    CHECK(drill->service[0] != '\0');
    CHECK(drill->fingerprint[0] != '\0');
    done(call);
}

static void reload(void *context, struct admin_call *call, const char *actor)
{
    (void)context;
    CHECK(strcmp(actor, "local") == 0);
    done(call);
}

static void config_check(void *context, struct admin_call *call, struct bytes text)
{
    (void)context;
    CHECK(text.size <= ADMIN_CONFIG_MAX);
    done(call);
}

static enum err recording(void *context, const struct admin_recording *page, struct buf *out)
{
    (void)context;
    CHECK(page->service[0] != '\0');
    CHECK(page->since_us >= 0);
    CHECK(page->after <= INT64_MAX);
    CHECK(page->row_max >= 1 && page->row_max <= ADMIN_RECORDING_MAX);
    return buf_append(out, BYTES("{}\n"));
}

static void start(void *context, struct admin_call *call, const struct admin_start *start)
{
    (void)context;
    CHECK(start->url_count > 0 && start->url_count <= CONF_ENDPOINTS_MAX);
    CHECK(start->step_count <= CONF_STEPS_MAX);
    done(call);
}

static json_t *record_find(void *context, const char *id)
{
    (void)context;
    CHECK(id[0] != '\0');
    return NULL;
}

static void incident(void *context, struct admin_call *call, const char *id,
                     enum admin_report report)
{
    (void)context;
    CHECK(strlen(id) <= 4096);
    CHECK(report <= ADMIN_REPORT_CHART);
    admin_reply_text(call, "text/plain", NULL, BYTES("x"));
}

static const struct admin_ops ops = {
    .service_at = service_at,
    .service_find = service_find,
    .process = process,
    .conditions = conditions,
    .metrics = metrics,
    .recording = recording,
    .incident = incident,
    .explain = explain,
    .record_find = record_find,
    .set_weight = set_weight,
    .rollback = rollback,
    .rollout = rollout,
    .start = start,
    .drill = drill,
    .release = release,
    .reload = reload,
    .config_check = config_check,
};

static void on_answer(void *context, const struct admin_answer *answer)
{
    unsigned *answers = context;
    (*answers)++;
    CHECK(answer->status >= 200 && answer->status < 600);
    bool is_refusal = answer->status >= 400 && answer->content_type != NULL &&
                      strncmp(answer->content_type, "text/", 5) != 0;
    if (is_refusal) {
        CHECK(strcmp(answer->content_type, "application/problem+json") == 0);
        json_t *problem = json_loadb(answer->body.data, answer->body.size, 0, NULL);
        CHECK(json_is_object(problem));
        json_decref(problem);
    }
}

static struct admin *make_admin(void)
{
    static const char *hosts[] = {"admin.example"};
    struct conf_admin conf = {.hosts = hosts, .host_count = 1};
    conf.address.socket.any.sa_family = AF_UNIX;
    conf.address.text = "unix:/admin";
    struct admin_options options = {.ops = &ops, .clock = clock_system(), .conf = &conf};
    struct admin *admin = NULL;
    struct note note = {""};
    CHECK(admin_create(&options, &admin, &note) == OK);
    return admin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { FIELDS_MAX = 16 };
    static const enum method methods[] = {METHOD_GET, METHOD_PUT, METHOD_POST, METHOD_HEAD};
    static struct admin *admin;
    if (admin == NULL) {
        admin = make_admin();
    }
    if (size == 0) {
        return 0;
    }
    struct bytes rest = bytes_make((const char *)data + 1, size - 1);
    struct bytes target = BYTES("");
    struct bytes authority = BYTES("");
    struct bytes line;
    (void)bytes_next(&rest, '\n', &target);
    (void)bytes_next(&rest, '\n', &authority);
    struct field items[FIELDS_MAX];
    struct fields fields = {items, 0};
    while (fields.count < FIELDS_MAX && bytes_next(&rest, '\n', &line) && line.size > 0) {
        size_t cut = bytes_find(line, ':');
        size_t after = cut < line.size ? cut + 1 : cut;
        struct bytes name = bytes_slice(line, 0, cut);
        items[fields.count++] = (struct field){
            name, bytes_trim(bytes_slice(line, after, line.size - after)), field_id_of(name)};
    }
    struct admin_request request = {
        .method = methods[data[0] % COUNT_OF(methods)],
        .target = target,
        .authority = authority,
        .fields = &fields,
        .body = rest,
    };
    unsigned answers = 0;
    CHECK(admin_handle(admin, &request, on_answer, &answers) == NULL);
    CHECK(answers == 1);
    return 0;
}
