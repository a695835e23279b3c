#include <stddef.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

#define SECOND               UINT64_C(1000000)
#define HOUR                 (3600 * SECOND)
#define FROM_TO(least, most) .low = (least), .high = (most)
#define KEYS(array)          .keys = (array), .key_count = COUNT_OF(array)

#define ACCOUNT_HELP                                                                               \
    "The account, 32 hexadecimal digits. Left out, the environment variable "                      \
    "`CLOUDFLARE_ACCOUNT_ID` says it."
#define TOKEN_HELP                                                                                 \
    "The environment variable that holds the API token. With neither this nor `token_file` it is " \
    "`CLOUDFLARE_API_TOKEN`."
#define BASE_HELP                                                                                  \
    "Where the API is, with `/client/v4`; https, or http on loopback. Left out, "                  \
    "`CLOUDFLARE_API_BASE_URL` says it, then it is `https://api.cloudflare.com/client/v4`."

static const struct conf_key pages_keys[] = {
    {.name = "project",
     .type = CONF_TYPE_WORD,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_cloudflare, name),
     .help = "The Pages project."},
    {.name = "account",
     .type = CONF_TYPE_WORD,
     .offset = offsetof(struct conf_cloudflare, account),
     .help = ACCOUNT_HELP},
    {.name = "token_env",
     .type = CONF_TYPE_VARIABLE,
     .offset = offsetof(struct conf_cloudflare, token.env),
     .help = TOKEN_HELP},
    {.name = "token_file",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_cloudflare, token.file),
     .help = "The file that holds it; read at the start and on reload."},
    {.name = "api_base",
     .type = CONF_TYPE_URL,
     .offset = offsetof(struct conf_cloudflare, base),
     .help = BASE_HELP},
    {.name = "watch",
     .type = CONF_TYPE_SWITCH,
     .offset = offsetof(struct conf_cloudflare, watch),
     .fallback = "off",
     .help =
         "Whether the project is looked at: a new production deployment begins a rollout (unless "
         "`rollout` is `off`), a failed build is recorded, and both a failed build and another "
         "live deployment that Serin did not make raise an alert. "
         "[More](OPERATING.md#the-watch)."},
    {.name = "watch_every",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_cloudflare, watch_every_us),
     FROM_TO(2 * SECOND, HOUR),
     .fallback = "10s",
     .help =
         "How often. A look takes two requests; all watched services together look at most once "
         "in two seconds."},
};

static const struct conf_section pages_section = {
    .title = "services.platform.pages",
    .help = "Cloudflare Pages. `deployment` of both versions is an id or short id there (or the "
            "endpoint is the deployment's own `*.pages.dev` host): what is live at the project is "
            "rolled back only if it is the canary. The token needs \"Cloudflare Pages: Edit\".",
    KEYS(pages_keys),
    .size = sizeof(struct conf_cloudflare),
};

static const struct conf_key workers_keys[] = {
    {.name = "script",
     .type = CONF_TYPE_WORD,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_cloudflare, name),
     .help = "The Worker."},
    {.name = "account",
     .type = CONF_TYPE_WORD,
     .offset = offsetof(struct conf_cloudflare, account),
     .help = ACCOUNT_HELP},
    {.name = "token_env",
     .type = CONF_TYPE_VARIABLE,
     .offset = offsetof(struct conf_cloudflare, token.env),
     .help = TOKEN_HELP},
    {.name = "token_file",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_cloudflare, token.file),
     .help = "The file that holds it; read at the start and on reload."},
    {.name = "api_base",
     .type = CONF_TYPE_URL,
     .offset = offsetof(struct conf_cloudflare, base),
     .help = BASE_HELP},
};

static const struct conf_section workers_section = {
    .title = "services.platform.workers",
    .help = "Cloudflare Workers with gradual deployments. `deployment` of both versions is a "
            "version id there: a rollback deploys the stable one at 100%.",
    KEYS(workers_keys),
    .size = sizeof(struct conf_cloudflare),
};

static const struct conf_key exec_keys[] = {
    {.name = "command",
     .type = CONF_TYPE_WORD,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_platform_exec, command),
     .count_offset = offsetof(struct conf_platform_exec, command_count),
     .list_min = 1,
     .list_max = CONF_COMMAND_MAX,
     .help = "The program and its arguments, without a shell. It gets the rollback's record as "
             "JSON on standard input. Exit code 0 says that it is done; with any other it is run "
             "again later, so it must bear being run twice."},
};

static const struct conf_section exec_section = {
    .title = "services.platform.exec",
    .help = "A command, in a process group of its own, which is killed after 150 s.",
    KEYS(exec_keys),
    .size = sizeof(struct conf_platform_exec),
};

static const struct conf_key platform_keys[] = {
    {.name = "pages",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_platform, pages),
     .flag_offset = offsetof(struct conf_platform, pages.is_on),
     .section = &pages_section,
     .help = "Cloudflare Pages."},
    {.name = "workers",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_platform, workers),
     .flag_offset = offsetof(struct conf_platform, workers.is_on),
     .section = &workers_section,
     .help = "Cloudflare Workers."},
    {.name = "exec",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_platform, exec),
     .flag_offset = offsetof(struct conf_platform, exec.is_on),
     .section = &exec_section,
     .help = "Any other, by a command."},
};

const struct conf_section conf_schema_platform = {
    .title = "services.platform",
    .help = "Who is told of a rollback when all traffic is back: exactly one of these. It is asked "
            "again until it confirms, and delays nothing. [More](OPERATING.md#the-platform).",
    KEYS(platform_keys),
    .size = sizeof(struct conf_platform),
    .place_offset = offsetof(struct conf_platform, place),
};
