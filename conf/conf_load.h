/* conf/conf_load.h — from a YAML file to a checked `struct conf`, or to every error in it.
 *
 * The file is read as a libyaml document whose nodes keep their marks, walked along the schema,
 * then checked across its fields. What it may cost is bounded before it is believed: CONF_FILE_MAX
 * bytes, CONF_DEPTH_MAX levels, CONF_NODES_MAX nodes visited (aliases count each time),
 * CONF_ARENA_MAX bytes of result. Relative paths in it start at its folder. Blocking; control only,
 * off the path of any request. */
#pragma once
#include "conf/conf.h"
#include "conf/conf_errors.h"

enum {
    CONF_FILE_MAX = 256 << 10,
    CONF_NODES_MAX = 100000,
    CONF_DEPTH_MAX = 32,
    CONF_ARENA_MAX = 32 << 20
};

/* Reads and loads `path`. Gives the conf to the caller. ERR_SYNTAX: `errors` has them all; ERR_IO
 * or ERR_NOT_FOUND: it cannot be read, which is the one error; ERR_LIMIT: it is too large;
 * ERR_NOMEM. `ret_conf` is untouched on failure, `errors` says why in every case (initialised by
 * the caller, empty on success). */
MUST_USE enum err conf_load_file(const char *path, struct conf_errors *errors,
                                 struct conf **ret_conf);
/* The same from memory; `name` stands before each error and its folder is where relative paths
 * start. */
MUST_USE enum err conf_load_memory(const char *name, struct bytes text, struct conf_errors *errors,
                                   struct conf **ret_conf);
