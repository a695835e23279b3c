/* The search goes line by line: a run of text up to CR, then LF, then the finished line is vetted
 * as what it stands for. Both limits cut the run short before a byte is looked at, so that the
 * outcome does not depend on how the bytes were cut. */
#include "proxy/base/check.h"
#include "proxy/http/framing.h"
#include "proxy/http/scan.h"

enum { EMPTY_LINES_MAX = 1, VERSION_SIZE = 8, STATUS_LINE_MIN = 12 };

void framing_scanner_init(struct framing_scanner *scanner, enum framing_kind kind)
{
    *scanner = (struct framing_scanner){.kind = kind, .has_start_line = kind == FRAMING_TRAILERS};
}

/* The index of the first byte from `start` that is not of this class, or line.size. */
static size_t skip(struct bytes line, size_t start, enum token_class class)
{
    size_t i = start;
    while (i < line.size && token_is(line.data[i], class)) {
        i++;
    }
    return i;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static enum reject_reason vet_version(struct bytes version)
{
    if (version.size != VERSION_SIZE || !bytes_starts_with(version, BYTES("HTTP/")) ||
        !is_digit(version.data[5]) || version.data[6] != '.' || !is_digit(version.data[7])) {
        return REJECT_REQUEST_LINE;
    }
    bool is_ours = version.data[5] == '1' && (version.data[7] == '1' || version.data[7] == '0');
    return is_ours ? REJECT_NONE : REJECT_VERSION;
}

/* method SP request-target SP HTTP-version (RFC 9112 section 3), with exactly these two spaces. */
static enum reject_reason vet_request_line(struct bytes line)
{
    size_t method_end = skip(line, 0, TOKEN_TCHAR);
    if (method_end == line.size) {
        return REJECT_REQUEST_LINE;
    }
    if (method_end == 0 || line.data[method_end] != ' ') {
        return REJECT_METHOD_SYNTAX;
    }
    size_t target_end = skip(line, method_end + 1, TOKEN_TARGET);
    if (target_end == method_end + 1 || target_end == line.size) {
        return REJECT_REQUEST_LINE;
    }
    if (line.data[target_end] != ' ') {
        return REJECT_TARGET;
    }
    return vet_version(bytes_slice(line, target_end + 1, line.size - target_end - 1));
}

/* HTTP-version SP status-code [ SP reason-phrase ] (RFC 9112 section 4; no reason and no space is
 * common). */
static enum reject_reason vet_status_line(struct bytes line)
{
    if (line.size < STATUS_LINE_MIN || !bytes_starts_with(line, BYTES("HTTP/1."))) {
        return REJECT_STATUS_LINE;
    }
    const char *text = line.data;
    if ((text[7] != '0' && text[7] != '1') || text[8] != ' ' || text[9] < '1' || text[9] > '5' ||
        !is_digit(text[10]) || !is_digit(text[11])) {
        return REJECT_STATUS_LINE;
    }
    if (line.size == STATUS_LINE_MIN) {
        return REJECT_NONE;
    }
    bool is_reason = text[12] == ' ' &&
                     (line.size == STATUS_LINE_MIN + 1 || (text[13] != ' ' && text[13] != '\t'));
    return is_reason ? REJECT_NONE : REJECT_STATUS_LINE;
}

/* field-name ":" OWS field-value OWS (RFC 9112 section 5); the value was vetted on the way. */
static enum reject_reason vet_field_line(struct bytes line)
{
    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return REJECT_OBS_FOLD;
    }
    size_t name_end = skip(line, 0, TOKEN_TCHAR);
    if (name_end == 0 || name_end == line.size) {
        return REJECT_FIELD_NAME;
    }
    if (line.data[name_end] == ':') {
        return REJECT_NONE;
    }
    size_t blanks_end = name_end;
    while (blanks_end < line.size &&
           (line.data[blanks_end] == ' ' || line.data[blanks_end] == '\t')) {
        blanks_end++;
    }
    bool is_spaced =
        blanks_end > name_end && blanks_end < line.size && line.data[blanks_end] == ':';
    return is_spaced ? REJECT_SPACE_BEFORE_COLON : REJECT_FIELD_NAME;
}

static enum reject_reason too_long(const struct framing_scanner *scanner)
{
    return scanner->has_start_line || scanner->kind == FRAMING_RESPONSE ? REJECT_FIELD_TOO_LONG
                                                                        : REJECT_TARGET_TOO_LONG;
}

/* Goes to the CR of the line, or as far as there are bytes. */
static enum reject_reason scan_line(struct framing_scanner *scanner, struct bytes visible,
                                    size_t line_max)
{
    size_t room = visible.size - scanner->line_start;
    size_t stop = scanner->line_start + (room < line_max ? room : line_max);
    scanner->position = scan_text(visible.data, scanner->position, stop);
    if (scanner->position == visible.size) {
        return REJECT_NONE;
    }
    switch (visible.data[scanner->position]) {
    case '\r':
        scanner->position++;
        scanner->is_after_cr = true;
        return REJECT_NONE;
    case '\n':
        return REJECT_BARE_LF;
    default:
        return scanner->position == stop ? too_long(scanner) : REJECT_CONTROL;
    }
}

static enum reject_reason scan_empty_line(struct framing_scanner *scanner)
{
    if (scanner->kind == FRAMING_RESPONSE) {
        return REJECT_STATUS_LINE;
    }
    scanner->empty_lines++;
    scanner->head_start = scanner->line_start;
    return scanner->empty_lines > EMPTY_LINES_MAX ? REJECT_EMPTY_LINES : REJECT_NONE;
}

/* Vets a whole line that is not empty. */
static enum reject_reason scan_full_line(struct framing_scanner *scanner, struct bytes line,
                                         size_t fields_max)
{
    if (!scanner->has_start_line) {
        scanner->has_start_line = true;
        return scanner->kind == FRAMING_REQUEST ? vet_request_line(line) : vet_status_line(line);
    }
    scanner->field_count++;
    return scanner->field_count > fields_max ? REJECT_TOO_MANY_FIELDS : vet_field_line(line);
}

static enum framing_scan refuse(const struct framing_scanner *scanner, enum reject_reason reason,
                                struct reject *ret_reject)
{
    *ret_reject =
        scanner->kind == FRAMING_RESPONSE ? reject_response(reason) : reject_request(reason);
    return FRAMING_REFUSED;
}

enum framing_scan framing_scan_head(struct framing_scanner *scanner, struct bytes in,
                                    const struct framing_limits *limits, struct reject *ret_reject)
{
    struct bytes visible = in.size <= limits->head_max ? in : bytes_slice(in, 0, limits->head_max);
    CHECK(scanner->position <= visible.size);
    while (scanner->position < visible.size) {
        enum reject_reason reason;
        if (!scanner->is_after_cr) {
            reason = scan_line(scanner, visible, limits->line_max);
        } else if (visible.data[scanner->position] != '\n') {
            reason = REJECT_BARE_CR;
        } else {
            struct bytes line = bytes_slice(visible, scanner->line_start,
                                            scanner->position - 1 - scanner->line_start);
            scanner->position++;
            scanner->line_start = scanner->position;
            scanner->is_after_cr = false;
            if (line.size == 0 && scanner->has_start_line) {
                return FRAMING_COMPLETE;
            }
            reason = line.size == 0 ? scan_empty_line(scanner)
                                    : scan_full_line(scanner, line, limits->fields_max);
        }
        if (reason != REJECT_NONE) {
            return refuse(scanner, reason, ret_reject);
        }
    }
    if (in.size >= limits->head_max) {
        return refuse(scanner, REJECT_HEAD_TOO_LONG, ret_reject);
    }
    return FRAMING_INCOMPLETE;
}
