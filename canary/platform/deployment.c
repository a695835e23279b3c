#include "canary/platform/deployment.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "proxy/base/bytes.h"
#include "proxy/base/check.h"

/* ---- texts from outside ---- */

/* How many bytes the character has, and its number; 0 when it is no UTF-8. */
static size_t decode(const unsigned char *text, uint32_t *ret_character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    if (first < 0x80) {
        *ret_character = first;
        return 1;
    }
    size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4) {
        return 0;
    }
    uint32_t character = first & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
        character = character << 6 | (text[i] & 0x3Fu);
    }
    *ret_character = character;
    return character >= least[size] ? size : 0;
}

static bool is_control(uint32_t character)
{
    bool is_old = character < 0x20 || (character >= 0x7F && character < 0xA0);
    bool is_mark = character == 0x200E || character == 0x200F ||
                   (character >= 0x2028 && character <= 0x202E) ||
                   (character >= 0x2066 && character <= 0x2069) || character == 0xFEFF;
    return is_old || is_mark;
}

/* GitHub's runner takes "##[command]" for a command wherever it stands in a line. */
static bool is_runner_command(const char *text, size_t used, uint32_t next)
{
    return next == '[' && used >= 2 && text[used - 1] == '#' && text[used - 2] == '#';
}

void platform_text_copy(char *ret_text, size_t size, const char *text)
{
    const unsigned char *at = (const unsigned char *)(text != NULL ? text : "");
    size_t used = 0;
    while (*at != '\0') {
        uint32_t character = 0;
        size_t step = decode(at, &character);
        bool is_shown =
            step > 0 && !is_control(character) && !is_runner_command(ret_text, used, character);
        if (used + (is_shown ? step : 1) >= size) {
            break;
        }
        if (is_shown) {
            memcpy(ret_text + used, at, step);
            used += step;
        } else {
            ret_text[used++] = '?';
        }
        at += step > 0 ? step : 1;
    }
    ret_text[used] = '\0';
}

/* Digits of a fixed width; false when they are not all there. */
static bool take_digits(const char **at, size_t width, int *ret_value)
{
    int value = 0;
    for (size_t i = 0; i < width; i++) {
        char digit = (*at)[i];
        if (digit < '0' || digit > '9') {
            return false;
        }
        value = value * 10 + (digit - '0');
    }
    *at += width;
    *ret_value = value;
    return true;
}

static bool take_byte(const char **at, const char *any)
{
    bool is_there = **at != '\0' && strchr(any, **at) != NULL;
    *at += is_there ? 1 : 0;
    return is_there;
}

static int64_t take_fraction_us(const char **at)
{
    int64_t fraction_us = 0;
    if (**at != '.') {
        return 0;
    }
    (*at)++;
    for (int64_t unit_us = 100000; **at >= '0' && **at <= '9'; (*at)++, unit_us /= 10) {
        fraction_us += (**at - '0') * unit_us;
    }
    return fraction_us;
}

/* "Z" or "+hh:mm"; false when it is neither. */
static bool take_offset(const char **at, int64_t *ret_offset_s)
{
    int hours = 0;
    int minutes = 0;
    *ret_offset_s = 0;
    if (take_byte(at, "Zz")) {
        return true;
    }
    int64_t sign = **at == '-' ? -1 : 1;
    if (!take_byte(at, "+-") || !take_digits(at, 2, &hours) || !take_byte(at, ":") ||
        !take_digits(at, 2, &minutes)) {
        return false;
    }
    *ret_offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

int64_t platform_time_parse(const char *text)
{
    struct tm date = {0};
    const char *at = text != NULL ? text : "";
    bool is_read = take_digits(&at, 4, &date.tm_year) && take_byte(&at, "-") &&
                   take_digits(&at, 2, &date.tm_mon) && take_byte(&at, "-") &&
                   take_digits(&at, 2, &date.tm_mday) && take_byte(&at, "Tt ") &&
                   take_digits(&at, 2, &date.tm_hour) && take_byte(&at, ":") &&
                   take_digits(&at, 2, &date.tm_min) && take_byte(&at, ":") &&
                   take_digits(&at, 2, &date.tm_sec);
    if (!is_read || date.tm_year < 1970 || date.tm_mon < 1 || date.tm_mon > 12 ||
        date.tm_mday < 1 || date.tm_mday > 31 || date.tm_hour > 23 || date.tm_min > 59 ||
        date.tm_sec > 60) {
        return 0;
    }
    date.tm_year -= 1900;
    date.tm_mon -= 1;
    int64_t fraction_us = take_fraction_us(&at);
    int64_t offset_s = 0;
    if (!take_offset(&at, &offset_s) || *at != '\0') {
        return 0;
    }
    return ((int64_t)timegm(&date) - offset_s) * 1000000 + fraction_us;
}

bool platform_id_is_plain(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t size = text != NULL ? strlen(text) : 0;
    return size > 0 && size < DEPLOYMENT_ID_SIZE && strspn(text, plain) == size;
}

/* ---- what it is ---- */

static bool is_status(const struct platform_deployment *deployment, const char *status)
{
    return strcmp(deployment->status, status) == 0;
}

bool deployment_is_good(const struct platform_deployment *deployment)
{
    return strcmp(deployment->environment, "production") == 0 && !deployment->is_skipped &&
           strcmp(deployment->stage, "deploy") == 0 && is_status(deployment, "success");
}

bool deployment_has_failed(const struct platform_deployment *deployment)
{
    return is_status(deployment, "failure") || is_status(deployment, "canceled");
}

const char *deployment_state(const struct platform_deployment *deployment)
{
    if (deployment->is_skipped || is_status(deployment, "skipped")) {
        return "skipped";
    }
    if (is_status(deployment, "failure")) {
        return "failure";
    }
    if (is_status(deployment, "canceled")) {
        return "canceled";
    }
    if (strcmp(deployment->stage, "deploy") == 0 && is_status(deployment, "success")) {
        return "success";
    }
    return strcmp(deployment->stage, "queued") == 0 ? "queued" : "building";
}

/* ---- names ---- */

static bool is_beginning(const char *whole, const char *text)
{
    size_t size = strlen(text);
    return size >= DEPLOYMENT_MATCH_MIN && size <= strlen(whole) &&
           strncasecmp(whole, text, size) == 0;
}

static struct bytes bare_url(const char *text)
{
    struct bytes url = bytes_of(text);
    const char *scheme_end = strstr(text, "://");
    if (scheme_end != NULL) {
        size_t start = (size_t)(scheme_end - text) + 3;
        url = bytes_slice(url, start, url.size - start);
    }
    return url.size > 0 && url.data[url.size - 1] == '/' ? bytes_slice(url, 0, url.size - 1) : url;
}

bool deployment_is_named(const struct platform_deployment *deployment, const char *text)
{
    struct bytes url = bare_url(text);
    bool is_id = strcasecmp(deployment->id, text) == 0 || is_beginning(deployment->id, text);
    bool is_short_id =
        deployment->short_id[0] != '\0' && strcasecmp(deployment->short_id, text) == 0;
    return is_id || is_short_id ||
           (url.size > 0 && bytes_equal_nocase(bare_url(deployment->url), url));
}

bool deployment_is_of_commit(const struct platform_deployment *deployment, const char *text)
{
    return is_beginning(deployment->commit, text);
}
