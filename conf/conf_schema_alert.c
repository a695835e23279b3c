#include <stddef.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

#define KEYS(array)          .keys = (array), .key_count = COUNT_OF(array)
#define FROM_TO(least, most) .low = (least), .high = (most)

enum { MS = 1000, SECOND = 1000 * MS, MINUTE = 60 * SECOND };

static const struct conf_key slack_keys[] = {
    {.name = "url_env",
     .type = CONF_TYPE_VARIABLE,
     .offset = offsetof(struct conf_alert_slack, url.env),
     .help = "The environment variable that holds the webhook's URL, which is its secret."},
    {.name = "url_file",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_alert_slack, url.file),
     .help = "The file that holds it; a newline at its end does not count."},
};

static const struct conf_section slack_section = {
    .title = "alerts.slack",
    .help = "An incoming webhook of Slack, or of what understands its messages (Mattermost, "
            "Discord's `/slack`): `{\"text\": ...}`.",
    KEYS(slack_keys),
    .size = sizeof(struct conf_alert_slack),
    .either = {"url_env", "url_file"},
};

static const struct conf_key webhook_keys[] = {
    {.name = "url",
     .type = CONF_TYPE_URL,
     .offset = offsetof(struct conf_alert_webhook, url),
     .flag_offset = offsetof(struct conf_alert_webhook, has_url),
     .help = "Where the JSON is posted to. Redirects are not followed."},
    {.name = "url_env",
     .type = CONF_TYPE_VARIABLE,
     .offset = offsetof(struct conf_alert_webhook, url_secret.env),
     .help = "The environment variable that holds the URL, where the URL is a secret."},
    {.name = "url_file",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_alert_webhook, url_secret.file),
     .help = "The file that holds it."},
    {.name = "secret_env",
     .type = CONF_TYPE_VARIABLE,
     .offset = offsetof(struct conf_alert_webhook, secret.env),
     .help = "The environment variable that holds the key of the signature."},
    {.name = "secret_file",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_alert_webhook, secret.file),
     .help = "The file that holds it. Without a key messages are not signed."},
};

static const struct conf_section webhook_section = {
    .title = "alerts.webhook",
    .help = "A POST of JSON, signed with HMAC-SHA256 where there is a key "
            "([how to verify it](OPERATING.md#alerts)). Exactly one of `url`, `url_env` and "
            "`url_file`.",
    KEYS(webhook_keys),
    .size = sizeof(struct conf_alert_webhook),
};

static const struct conf_key exec_keys[] = {
    {.name = "command",
     .type = CONF_TYPE_WORD,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_alert_exec, command),
     .count_offset = offsetof(struct conf_alert_exec, command_count),
     .list_min = 1,
     .list_max = CONF_COMMAND_MAX,
     .help = "The program and its arguments, without a shell. It gets the JSON of `webhook` on "
             "standard input; exit code 0 says that it was delivered."},
    {.name = "timeout",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_alert_exec, timeout_us),
     FROM_TO(100 * MS, 5 * MINUTE),
     .fallback = "10s",
     .help = "Then it and all it started are killed, and it is tried again."},
};

static const struct conf_section exec_section = {
    .title = "alerts.exec",
    .help = "A command per alert, in a process group of its own.",
    KEYS(exec_keys),
    .size = sizeof(struct conf_alert_exec),
};

static const struct conf_key alert_keys[] = {
    {.name = "alertmanager",
     .type = CONF_TYPE_URL,
     .offset = offsetof(struct conf_alert, alertmanager),
     .flag_offset = offsetof(struct conf_alert, has_alertmanager),
     .help = "The address of an Alertmanager, as in `http://127.0.0.1:9093`; its API v2 is used. "
             "Alerts that are active are sent again each minute."},
    {.name = "slack",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_alert, slack),
     .flag_offset = offsetof(struct conf_alert, slack.is_on),
     .section = &slack_section,
     .help = "A chat."},
    {.name = "webhook",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_alert, webhook),
     .flag_offset = offsetof(struct conf_alert, webhook.is_on),
     .section = &webhook_section,
     .help = "Any receiver of JSON."},
    {.name = "exec",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_alert, exec),
     .flag_offset = offsetof(struct conf_alert, exec.is_on),
     .section = &exec_section,
     .help = "Any command."},
};

const struct conf_section conf_schema_alert = {
    .title = "alerts",
    .help = "Channels that are told when something needs a human, and when it does no longer; each "
            "element is exactly one of these. A channel that fails is tried again and delays "
            "nothing. [More](OPERATING.md#alerts).",
    KEYS(alert_keys),
    .size = sizeof(struct conf_alert),
    .place_offset = offsetof(struct conf_alert, place),
};
