/* ECMA-48 section 5.4: a control sequence is ESC [, parameters and intermediates, and a final byte
 * from 0x40 on. Terminals in application mode send ESC O and one byte instead. */
#include "canary/cli/keys.h"

static enum key_kind key_of_control(unsigned char byte)
{
    switch (byte) {
    case '\r':
    case '\n':
        return KEY_ENTER;
    case 0x7F:
    case '\b':
        return KEY_BACKSPACE;
    case 0x04:
        return KEY_END_OF_INPUT;
    case 0x0C:
        return KEY_REDRAW;
    case 0x15:
        return KEY_CLEAR;
    default:
        return KEY_OTHER;
    }
}

static enum key_kind key_of_final(char byte)
{
    return byte == 'A' ? KEY_UP : byte == 'B' ? KEY_DOWN : KEY_OTHER;
}

static bool take_plain(struct keys *keys, unsigned char byte, struct key *ret_key)
{
    if (byte == 0x1B) {
        keys->state = KEYS_ESCAPE;
        return false;
    }
    bool is_text = byte >= 0x20 && byte != 0x7F;
    *ret_key = is_text ? (struct key){KEY_TEXT, (char)byte} : (struct key){key_of_control(byte), 0};
    return true;
}

/* Alt and a key come as ESC and that key: taken together they are none of ours. A second escape
 * makes the first one a key. */
static bool take_after_escape(struct keys *keys, unsigned char byte, struct key *ret_key)
{
    if (byte == 0x1B) {
        *ret_key = (struct key){KEY_ESCAPE, 0};
        return true;
    }
    if (byte == '[' || byte == 'O') {
        keys->state = byte == '[' ? KEYS_SEQUENCE : KEYS_SINGLE;
        return false;
    }
    keys->state = KEYS_PLAIN;
    *ret_key = (struct key){KEY_OTHER, 0};
    return true;
}

bool keys_take(struct keys *keys, char byte, struct key *ret_key)
{
    switch (keys->state) {
    case KEYS_PLAIN:
        return take_plain(keys, (unsigned char)byte, ret_key);
    case KEYS_ESCAPE:
        return take_after_escape(keys, (unsigned char)byte, ret_key);
    case KEYS_SEQUENCE:
        if (byte >= 0x20 && byte < 0x40) {
            return false;
        }
        break;
    case KEYS_SINGLE:
        break;
    }
    keys->state = KEYS_PLAIN;
    *ret_key = (struct key){key_of_final(byte), 0};
    return true;
}

bool keys_is_waiting(const struct keys *keys)
{
    return keys->state != KEYS_PLAIN;
}

bool keys_expire(struct keys *keys, struct key *ret_key)
{
    bool is_escape = keys->state == KEYS_ESCAPE;
    keys->state = KEYS_PLAIN;
    if (is_escape) {
        *ret_key = (struct key){KEY_ESCAPE, 0};
    }
    return is_escape;
}
