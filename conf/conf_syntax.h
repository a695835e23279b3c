/* conf/conf_syntax.h — why a text is no YAML, in words that say what to do about it.
 *
 * libyaml names what its grammar missed ("did not find expected '-' indicator"). For the mistakes
 * that people make this says which mistake it is, and where it was begun; for all others libyaml's
 * words stand. Pure; any thread. */
#pragma once
#include <yaml.h>

#include "conf/conf_errors.h"
#include "proxy/base/bytes.h"

/* Adds the error at which `parser`, reading `text`, stopped. The parser's error is neither none nor
 * want of memory. */
void conf_syntax_report(const yaml_parser_t *parser, struct bytes text, struct conf_errors *errors);
