#include "conf/conf_policy.h"

#include "conf/conf_value.h"
#include "proxy/base/check.h"

struct conf_policy conf_policy_own(const struct conf_rollback *rollback)
{
    return (struct conf_policy){
        .name = CONF_POLICY_OWN,
        .error_rate_ppm = rollback->error_rate_ppm,
        .relative = rollback->relative,
        .is_latency_judged = rollback->is_latency_judged,
        .false_alarm_ppm = rollback->false_alarm_ppm,
        .instant_above_ppm = rollback->instant_above_ppm,
    };
}

void conf_policy_complete(struct conf_policy *policy, const struct conf_policy *own)
{
    if (!policy->has_error_rate) {
        policy->error_rate_ppm = own->error_rate_ppm;
    }
    if (!policy->has_relative) {
        policy->relative = own->relative;
    }
    if (!policy->has_latency) {
        policy->is_latency_judged = own->is_latency_judged;
    }
    if (!policy->has_false_alarm) {
        policy->false_alarm_ppm = own->false_alarm_ppm;
    }
    if (!policy->has_instant_above) {
        policy->instant_above_ppm = own->instant_above_ppm;
    }
}

/* ---- as text ---- */

enum { SHOWN_MAX = 64 };

struct parser {
    struct conf_value_context context;
    struct conf_policy policy;
    uint64_t seen; /* one bit for each key of the section */
    struct note *note;
};

static int shown_size(struct bytes text)
{
    return (int)(text.size < SHOWN_MAX ? text.size : SHOWN_MAX);
}

static enum err read_value(struct parser *parser, const struct conf_key *key, struct bytes text)
{
    struct note why = {""};
    char *object = (char *)&parser->policy;
    bool is_given = true;
    uint64_t bit = UINT64_C(1) << (key - conf_schema_policy.keys);
    if ((parser->seen & bit) != 0) {
        note_set(parser->note, "%s is given twice", key->name);
        return ERR_SYNTAX;
    }
    parser->seen |= bit;
    enum err err = conf_value_parse(&parser->context, key, text, &why, object + key->offset);
    if (err == ERR_NOMEM) {
        return err;
    }
    if (err != OK) {
        note_set(parser->note, "%s: \"%.*s\" %s", key->name, shown_size(text), text.data, why.text);
        return ERR_SYNTAX;
    }
    if (key->flag_offset > 0) {
        memcpy(object + key->flag_offset, &is_given, sizeof is_given);
    }
    return OK;
}

static enum err read_pair(struct parser *parser, struct bytes pair)
{
    size_t cut = bytes_find(pair, '=');
    struct bytes name = bytes_trim(bytes_slice(pair, 0, cut));
    const struct conf_key *key = conf_section_find(&conf_schema_policy, name);
    if (cut == pair.size || key == NULL) {
        note_set(parser->note,
                 "\"%.*s\" is not key=value with one of error_rate, relative, latency, "
                 "false_alarm, instant_above",
                 shown_size(pair), pair.data);
        return ERR_SYNTAX;
    }
    return read_value(parser, key, bytes_trim(bytes_slice(pair, cut + 1, pair.size - cut - 1)));
}

enum err conf_policy_parse(struct bytes text, struct arena *arena, struct note *note,
                           struct conf_policy *ret_policy)
{
    struct parser parser = {.context = {arena, BYTES("")}, .note = note};
    const struct conf_key *name = conf_section_find(&conf_schema_policy, BYTES("name"));
    CHECK(name != NULL);
    size_t cut = bytes_find(text, ':');
    enum err err = read_value(&parser, name, bytes_trim(bytes_slice(text, 0, cut)));
    size_t start = cut < text.size ? cut + 1 : text.size;
    struct bytes rest = bytes_slice(text, start, text.size - start);
    struct bytes pair;
    while (err == OK && rest.size > 0 && bytes_next(&rest, ',', &pair)) {
        err = read_pair(&parser, pair);
    }
    if (err == OK) {
        *ret_policy = parser.policy;
    }
    return err;
}
