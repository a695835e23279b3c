/* tests/unit/conf/conf_play.h — a configuration in a string, loaded or refused. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "conf/conf_load.h"
#include "proxy/base/check.h"

/* A file that loads; what a test adds stands before or behind it. */
#define PLAY_LISTEN  "listen: [{address: 127.0.0.1:8080}]\n"
#define PLAY_SERVICE "services: [{name: a, previous: {url: http://127.0.0.1:3001}}]\n"
#define PLAY_BOTH(rest)                                                                            \
    PLAY_LISTEN                                                                                    \
    "services:\n- name: a\n  previous: {deployment: one, url: http://127.0.0.1:3001}\n"            \
    "  current: {deployment: two, url: http://127.0.0.1:3002}\n" rest

/* Loads what must load; the caller destroys it. */
static inline struct conf *play_load(const char *text)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = conf_load_memory("play.yaml", bytes_of(text), &errors, &conf);
    conf_errors_print(&errors, stderr);
    assert_int_equal(err, OK);
    assert_true(conf_errors_are_none(&errors));
    conf_errors_finish(&errors);
    return conf;
}

/* Loads what must not load and compares all that is said, without the file's name before each line.
 */
static inline void play_refuse(const char *text, const char *wanted)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    struct buf said;
    conf_errors_init(&errors);
    buf_init(&said, 1 << 16);
    enum err err = conf_load_memory("", bytes_of(text), &errors, &conf);
    assert_int_equal(err, ERR_SYNTAX);
    assert_null(conf);
    conf_errors_append(&errors, &said);
    assert_int_equal(buf_append_byte(&said, '\0'), OK);
    assert_string_equal(said.data, wanted);
    buf_finish(&said);
    conf_errors_finish(&errors);
}
