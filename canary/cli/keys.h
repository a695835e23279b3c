/* canary/cli/keys.h — what a terminal sends when keys are pressed, as keys.
 *
 * Fed byte by byte. An escape that nothing follows is the key Escape: whoever waits says when it is
 * late (keys_expire). Sequences of keys that are not used here are swallowed whole. Embedded,
 * starts zeroed; pure. */
#pragma once
#include <stdbool.h>

enum key_kind {
    KEY_TEXT, /* one byte of it: a letter, or a part of a UTF-8 character */
    KEY_ENTER,
    KEY_ESCAPE,
    KEY_BACKSPACE,
    KEY_CLEAR,  /* Ctrl-U */
    KEY_REDRAW, /* Ctrl-L */
    KEY_UP,
    KEY_DOWN,
    KEY_END_OF_INPUT, /* Ctrl-D */
    KEY_OTHER,
};

struct key {
    enum key_kind kind;
    char text; /* of KEY_TEXT */
};

struct keys {
    enum { KEYS_PLAIN, KEYS_ESCAPE, KEYS_SEQUENCE, KEYS_SINGLE } state;
};

/* Takes the next byte; true when it completes a key. */
bool keys_take(struct keys *keys, char byte, struct key *ret_key);
/* Is it an escape so far? Then what follows must come soon. */
bool keys_is_waiting(const struct keys *keys);
/* Nothing followed: true when that makes a key. */
bool keys_expire(struct keys *keys, struct key *ret_key);
