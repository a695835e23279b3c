/* The verbs that main does itself, for help, completion and the manual. */
#include "canary/cli/options.h"

#define CONFIG                                                                                     \
    {                                                                                              \
        "--config", 'c', "FILE",                                                                   \
            "the configuration (default ./serin.yaml, then "                                       \
            "/etc/serin/serin.yaml)"                                                               \
    }

const struct cli_own_verb cli_own_verbs[] = {
    {"run", "[-c FILE]", "serve in the foreground; SIGHUP reloads, SIGTERM drains", {CONFIG}},
    {"check", "[-c FILE]", "test a configuration: every error with its line and column", {CONFIG}},
    {"demo",
     "[--seconds N]",
     "a canary that breaks and is rolled back, all on this machine",
     {{"--seconds", 0, "N", "give up after N seconds (10 to 3600; default 60)"},
      {"--break-at", 0, "S", "the canary breaks after S seconds"},
      {"--fail-rate", 0, "P", "it answers P % of its requests with 500 (default 30)"},
      {"--persist", 0, NULL, "it fails at any load, not only at the load that broke it"},
      {"--rate", 0, "R", "requests per second (10 to 500; default 200)"},
      {"--look", 0, "S", "stay up for S seconds after the story, for its dashboard"},
      {"--keep", 0, NULL, "stay up after the story, until Ctrl-C"},
      {"--json", 0, NULL, "print only the record, as JSON"}}},
    {"replay",
     "[RECORDING]",
     "what other policies would have done with what was recorded",
     {{"--config", 'c', "FILE", "the policies of this configuration"},
      {"--policy", 'p', "NAME:KEY=VALUE,...", "one more policy; may be repeated"},
      {"--service", 's', "NAME", "which service to fetch, or which one the file must be of"},
      {"--json", 0, NULL, "for programs"},
      {"--admin", 0, "URL",
       "where Serin listens (default SERIN_ADMIN, then " CLI_ADMIN_DEFAULT
       "); https:// and unix:/path too"},
      {"--admin-ca", 0, "FILE",
       "whom to trust for https:// (default SERIN_ADMIN_CA, then the system's authorities)"},
      {"--admin-cert", 0, "FILE",
       "our own certificate for https://, its key in the same file (default SERIN_ADMIN_CERT)"},
      {"--token-file", 0, "FILE", "the token (default SERIN_TOKEN)"},
      {"--timeout", 0, "TIME", "how long to wait for an answer (default 10s)"}}},
    {"version",
     NULL,
     "which Serin this is, what it was built with and what it runs with",
     {{"--json", 0, NULL, "for programs"}}},
    {NULL, NULL, NULL, {{NULL, 0, NULL, NULL}}},
};
