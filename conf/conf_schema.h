/* conf/conf_schema.h — every key of the configuration, declared once.
 *
 * A section is a mapping of the file and a struct of conf.h; its keys say type, place in the
 * struct, default, bounds and help. The loader, the differ and the reference page all walk these
 * tables, so that a key cannot be accepted in one and forgotten in another. A default is written as
 * a user would write it and parsed by the same code. Static, never freed; any thread. */
#pragma once
#include "conf/conf.h"

enum conf_type {
    CONF_TYPE_COUNT,      /* uint64_t: a plain whole number */
    CONF_TYPE_DURATION,   /* uint64_t microseconds: 250ms, 10s, 1.5h */
    CONF_TYPE_SIZE,       /* uint64_t bytes: 8KiB */
    CONF_TYPE_RATE,       /* uint32_t parts per million: 0.25% */
    CONF_TYPE_STEP,       /* uint32_t: a rate, or the word pause (CONF_STEP_PAUSE) */
    CONF_TYPE_SWITCH,     /* bool: on, off */
    CONF_TYPE_CHOICE,     /* an enum: the number of the word in `choices` */
    CONF_TYPE_NAME,       /* const char *: letters, digits and ._- */
    CONF_TYPE_DEPLOYMENT, /* const char *: also :@+~ */
    CONF_TYPE_FIELD,      /* const char *: the name of a header field, made lower case */
    CONF_TYPE_VARIABLE,   /* const char *: the name of an environment variable */
    CONF_TYPE_FILE,       /* const char *: a path, from the file's folder on */
    CONF_TYPE_URL_PATH,   /* const char *: begins with "/", no query */
    CONF_TYPE_PREFIX,     /* const char *: the same, as the beginning of paths */
    CONF_TYPE_GLOB,       /* const char *: the same, where `*` stands for any bytes */
    CONF_TYPE_HOST,       /* const char *: as in a Host field without port, lower case */
    CONF_TYPE_PATTERN,    /* const char *: the same, or *.name, or * */
    CONF_TYPE_LISTEN,     /* struct conf_address: address:port */
    CONF_TYPE_ADDRESS,    /* struct conf_address: address:port or unix:/path */
    CONF_TYPE_RANGE,      /* struct ip_range */
    CONF_TYPE_ENDPOINT,   /* struct conf_endpoint: http://host:port */
    CONF_TYPE_URL,        /* const char *: http:// or https://, with path and query */
    CONF_TYPE_WORD,       /* const char *: a word of a command, any text */
    CONF_TYPE_STATUSES,   /* struct conf_statuses: 204, 200-399 or 4xx */
    CONF_TYPE_SECTION,    /* the struct of `section` */
    CONF_TYPE_UNBUILT,    /* known, and an error until its feature exists */
    CONF_TYPE_TOTAL
};

enum {
    CONF_KEY_REQUIRED = 1 << 0,
    CONF_KEY_NONE = 1 << 1,    /* `none` is legal and is 0; in a section: `off` leaves zeros */
    CONF_KEY_AUTO = 1 << 2,    /* `auto` is legal and is 0 */
    CONF_KEY_RESTART = 1 << 3, /* a reload cannot change it */
    CONF_KEY_SINGLE = 1 << 4,  /* a list of one, written without brackets */
    CONF_KEY_SHORT = 1 << 5    /* a section that may be written as the value of its first key */
};

struct conf_section;

/* Offsets count from the section's struct; 0 means "no such member" in all but `offset`. */
struct conf_key {
    const char *name;
    enum conf_type type;
    unsigned flags;
    size_t offset;              /* the value, or the pointer to a list's first element */
    size_t count_offset;        /* size_t: elements of the list */
    size_t flag_offset;         /* bool: the key was given, or the section is not off */
    size_t place_offset;        /* struct conf_place of the value */
    size_t list_min, list_max;  /* list_max > 0 makes it a list of `type` */
    uint64_t low, high;         /* bounds of numbers, both inside, in the unit of the struct */
    const char *fallback;       /* the default as one would write it; NULL: required, or left out */
    const char *const *choices; /* ends with NULL */
    const struct conf_section *section; /* for CONF_TYPE_SECTION */
    const char *help;                   /* one or two sentences of Markdown */
};

struct conf_section {
    const char *title; /* heading of the reference page */
    const char *help;
    const struct conf_key *keys;
    size_t key_count;    /* at most 64 */
    size_t size;         /* of the struct */
    size_t place_offset; /* struct conf_place of the mapping, or 0 */
    const char
        *either[2]; /* exactly one of these two must be given; NULLs when there is no such pair */
};

/* One element of `services`: struct conf_service. */
extern const struct conf_section conf_schema_service;
/* `services.failures`: struct conf_failures. */
extern const struct conf_section conf_schema_failures;
/* One element of `services.observe`: struct conf_policy. */
extern const struct conf_section conf_schema_policy;
/* `services.platform`: struct conf_platform. */
extern const struct conf_section conf_schema_platform;
/* One element of `error_pages`: struct conf_error_page. */
extern const struct conf_section conf_schema_error_page;
/* `listen.redirect_https`, `acme`, `services.hsts`, `.rate_limit`, `.circuit`, `.affinity`,
 * `.cache`: the structs of these names. */
extern const struct conf_section conf_schema_rate_limit;
extern const struct conf_section conf_schema_circuit;
extern const struct conf_section conf_schema_cache;
extern const struct conf_section conf_schema_affinity;
extern const struct conf_section conf_schema_redirect_https;
extern const struct conf_section conf_schema_acme;
extern const struct conf_section conf_schema_hsts;
/* One element of `alerts`: struct conf_alert. */
extern const struct conf_section conf_schema_alert;
/* The file itself: struct conf. */
const struct conf_section *conf_schema(void);
/* Bytes of one value of that key (of one element in a list). */
size_t conf_key_size(const struct conf_key *key);
/* What a user writes for it: "duration", "list of hosts". */
const char *conf_type_text(enum conf_type type);
/* The key of that name, or NULL. */
const struct conf_key *conf_section_find(const struct conf_section *section, struct bytes name);
/* The key whose name is nearest to a mistyped one, or NULL when none is near. */
const struct conf_key *conf_section_nearest(const struct conf_section *section, struct bytes name);
