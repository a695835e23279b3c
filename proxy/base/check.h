/* proxy/base/check.h — asserts that stay in release builds.
 *
 * CHECK is for our own mistakes, never for input: a failed one prints the place and aborts, because
 * going on with a broken invariant in front of somebody's site is worse. Split `a && b` in two. Any
 * thread. */
#pragma once

#define CHECK(condition)                                                                           \
    (__builtin_expect(!!(condition), 1) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

__attribute__((noreturn, cold)) void check_failed(const char *condition, const char *file,
                                                  int line);

/* A tag in the first field of every object that travels through a `void *`: the callback that
 * recovers it checks the tag, and destroy spoils it. */
#define TAG(a, b, c, d)                                                                            \
    ((unsigned)(a) | (unsigned)(b) << 8 | (unsigned)(c) << 16 | (unsigned)(d) << 24)

#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
