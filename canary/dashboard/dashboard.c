#include "canary/dashboard/dashboard.h"

#include <string.h>

#define HTML   "text/html; charset=utf-8"
#define CSS    "text/css; charset=utf-8"
#define ICON   "image/svg+xml"
#define SCRIPT "text/javascript; charset=utf-8"

/* X(symbol, name, type) */
#define DASHBOARD_FILES(X)                                                                         \
    X(index_html, "", HTML)                                                                        \
    X(style_css, "style.css", CSS)                                                                 \
    X(icon_svg, "icon.svg", ICON)                                                                  \
    X(app_js, "app.js", SCRIPT)                                                                    \
    X(api_js, "api.js", SCRIPT)                                                                    \
    X(model_js, "model.js", SCRIPT)                                                                \
    X(rates_js, "rates.js", SCRIPT)                                                                \
    X(charts_js, "charts.js", SCRIPT)                                                              \
    X(page_js, "page.js", SCRIPT)                                                                  \
    X(report_js, "report.js", SCRIPT)                                                              \
    X(actions_js, "actions.js", SCRIPT)                                                            \
    X(format_js, "format.js", SCRIPT)                                                              \
    X(dygraph_js, "dygraph.js", SCRIPT)                                                            \
    X(dygraph_css, "dygraph.css", CSS)

/* Embedded at build. */
#define DECLARE(symbol, name, type)                                                                \
    extern const char dashboard_##symbol[];                                                        \
    extern const size_t dashboard_##symbol##_size;
DASHBOARD_FILES(DECLARE)
#undef DECLARE

enum file_id {
#define FILE_ID(symbol, name, type) FILE_##symbol,
    DASHBOARD_FILES(FILE_ID)
#undef FILE_ID
        FILE_COUNT
};

static const struct {
    const char *name;
    const char *type;
    const char *content;
    const size_t *size;
} embedded[FILE_COUNT] = {
#define ROW(symbol, name, type)                                                                    \
    [FILE_##symbol] = {name, type, dashboard_##symbol, &dashboard_##symbol##_size},
    DASHBOARD_FILES(ROW)
#undef ROW
};

bool dashboard_find(const char *name, struct dashboard_file *ret_file)
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        if (strcmp(embedded[i].name, name) == 0) {
            *ret_file = (struct dashboard_file){
                .name = embedded[i].name,
                .content_type = embedded[i].type,
                .content = bytes_make(embedded[i].content, *embedded[i].size),
            };
            return true;
        }
    }
    return false;
}
