#include "canary/cli/figure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

enum { TIME_SECONDS_SIZE = 20, TIME_END = 19 };

static const char *percent(const json_t *value, int decimals, char text[FIGURE_SIZE])
{
    if (!json_is_number(value)) {
        return "-";
    }
    (void)snprintf(text, FIGURE_SIZE, "%.*f", decimals, json_number_value(value));
    size_t size = strlen(text);
    while (text[size - 1] == '0') {
        size--;
    }
    size -= text[size - 1] == '.' ? 1 : 0;
    (void)snprintf(text + size, FIGURE_SIZE - size, " %%");
    return text;
}

const char *figure_percent(const json_t *value, char text[FIGURE_SIZE])
{
    return percent(value, 4, text);
}

const char *figure_measured(const json_t *value, char text[FIGURE_SIZE])
{
    double measured = json_number_value(value);
    int decimals = measured >= 10 ? 1 : 3;
    return percent(value, measured >= 1 && measured < 10 ? 2 : decimals, text);
}

const char *figure_seconds(const json_t *value, char text[FIGURE_SIZE])
{
    if (!json_is_number(value)) {
        return "-";
    }
    double seconds = json_number_value(value);
    if (seconds < 10) {
        (void)snprintf(text, FIGURE_SIZE, "%.1f s", seconds);
    } else if (seconds < 120) {
        (void)snprintf(text, FIGURE_SIZE, "%.0f s", seconds);
    } else {
        long whole = lround(seconds);
        (void)snprintf(text, FIGURE_SIZE, "%ld min %ld s", whole / 60, whole % 60);
    }
    return text;
}

const char *figure_time(const char *timestamp, char text[FIGURE_SIZE])
{
    if (strlen(timestamp) < TIME_END) {
        return timestamp;
    }
    (void)snprintf(text, TIME_SECONDS_SIZE, "%s", timestamp);
    text[10] = ' ';
    return text;
}

const char *figure_label(const char *name, char text[FIGURE_LABEL_SIZE])
{
    (void)snprintf(text, FIGURE_LABEL_SIZE, "%s", name);
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '_' ? ' ' : *at;
    }
    if (text[0] >= 'a' && text[0] <= 'z') {
        text[0] = (char)(text[0] - 'a' + 'A');
    }
    return text;
}

const char *figure_trigger(const char *trigger)
{
    static const struct {
        const char *name;
        const char *text;
    } triggers[] = {
        {"error_rate", "Error rate"},
        {"latency", "Latency"},
        {"connect", "Connect failure"},
        {"health", "Health check failure"},
        {"build", "Build failure"},
        {"manual", "Manual"},
        {"drill", "Drill"},
    };
    for (size_t i = 0; i < COUNT_OF(triggers); i++) {
        if (strcmp(triggers[i].name, trigger) == 0) {
            return triggers[i].text;
        }
    }
    return trigger;
}
