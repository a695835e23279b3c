/* One state per byte that the grammar can wait for:
 *
 *   SIZE -> CR of the line -> LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *     \-> BLANK? -> ';' -> NAME_START -> NAME -> '=' -> VALUE_START -> TOKEN | QUOTED (-> ESCAPE)
 * -> VALUE_END a size of 0: LF -> TRAILER_FIRST -> CR: TRAILER_END -> END, anything else: TRAILERS
 * -> END
 *
 * Blanks may stand around ';' and '=' (BWS, which recipients must read), but not before a line's
 * end. */
#include "proxy/http/chunked.h"

#include "proxy/base/check.h"
#include "proxy/http/token.h"

enum state {
    SIZE,
    SIZE_LF,
    BLANK, /* behind a size or a value: blanks, then ';' */
    NAME_START,
    NAME,
    NAME_BLANK,
    VALUE_START,
    TOKEN,
    QUOTED,
    ESCAPE,
    VALUE_END, /* behind the closing quote */
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_END,
    TRAILERS,
    END
};

enum { TRAILERS_FIRST_CAPACITY = 256 };

void chunked_decoder_init(struct chunked_decoder *decoder, bool is_response,
                          const struct framing_limits *limits, struct arena *arena)
{
    *decoder = (struct chunked_decoder){
        .state = SIZE, .is_response = is_response, .limits = *limits, .arena = arena};
}

static unsigned hex_value(char byte)
{
    return byte <= '9' ? (unsigned)(byte - '0') : (unsigned)((byte | 0x20) - 'a' + 10);
}

static enum reject_reason take_size(struct chunked_decoder *decoder, char byte)
{
    if (token_is(byte, TOKEN_HEX)) {
        if (decoder->digits == CHUNKED_SIZE_DIGITS_MAX) {
            return REJECT_CHUNK_SIZE;
        }
        decoder->digits++;
        decoder->left = decoder->left << 4 | hex_value(byte);
        return REJECT_NONE;
    }
    if (decoder->digits == 0) {
        return REJECT_CHUNK_SIZE;
    }
    switch (byte) {
    case '\r':
        decoder->state = SIZE_LF;
        return REJECT_NONE;
    case ';':
        decoder->state = NAME_START;
        return REJECT_NONE;
    case ' ':
    case '\t':
        decoder->state = BLANK;
        return REJECT_NONE;
    default:
        return REJECT_CHUNK_SIZE;
    }
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Where a byte behind a name or value leads; `blank` is the state for a blank there. */
static enum state after_piece(char byte, enum state blank)
{
    switch (byte) {
    case '\r':
        return SIZE_LF;
    case ';':
        return NAME_START;
    case ' ':
    case '\t':
        return blank;
    default:
        return END;
    }
}

/* The next state inside an extension (RFC 9112 section 7.1.1), or END when the byte must not stand
 * there. */
static enum state extension_step(enum state state, char byte)
{
    switch (state) {
    case BLANK:
        return byte == ';' ? NAME_START : is_blank(byte) ? BLANK : END;
    case NAME_START:
        return is_blank(byte) ? NAME_START : token_is(byte, TOKEN_TCHAR) ? NAME : END;
    case NAME:
        if (token_is(byte, TOKEN_TCHAR)) {
            return NAME;
        }
        return byte == '=' ? VALUE_START : after_piece(byte, NAME_BLANK);
    case NAME_BLANK:
        if (is_blank(byte)) {
            return NAME_BLANK;
        }
        return byte == '=' ? VALUE_START : byte == ';' ? NAME_START : END;
    case VALUE_START:
        if (byte == '"') {
            return QUOTED;
        }
        return is_blank(byte) ? VALUE_START : token_is(byte, TOKEN_TCHAR) ? TOKEN : END;
    case TOKEN:
        return token_is(byte, TOKEN_TCHAR) ? TOKEN : after_piece(byte, BLANK);
    case QUOTED:
        if (byte == '"') {
            return VALUE_END;
        }
        return byte == '\\' ? ESCAPE : token_is(byte, TOKEN_QUOTED) ? QUOTED : END;
    case ESCAPE:
        return token_is(byte, TOKEN_CONTROL) ? END : QUOTED;
    default:
        return after_piece(byte, BLANK);
    }
}

static enum reject_reason take_extension(struct chunked_decoder *decoder, char byte)
{
    decoder->extension_line++;
    decoder->extension_total++;
    enum state next = extension_step((enum state)decoder->state, byte);
    if (next == END || decoder->extension_line > CHUNKED_EXTENSION_LINE_MAX ||
        decoder->extension_total > CHUNKED_EXTENSIONS_MAX) {
        return REJECT_CHUNK_EXTENSION;
    }
    decoder->state = next;
    return REJECT_NONE;
}

/* The LF of a size line. */
static enum reject_reason take_size_end(struct chunked_decoder *decoder, char byte)
{
    if (byte != '\n') {
        return REJECT_BARE_CR;
    }
    decoder->state = decoder->left > 0 ? DATA : TRAILER_FIRST;
    decoder->digits = 0;
    decoder->extension_line = 0;
    return REJECT_NONE;
}

static enum reject_reason take_data_end(struct chunked_decoder *decoder, char byte)
{
    if (byte != (decoder->state == DATA_CR ? '\r' : '\n')) {
        return REJECT_CHUNK_END;
    }
    decoder->state = decoder->state == DATA_CR ? DATA_LF : SIZE;
    return REJECT_NONE;
}

static enum reject_reason take_trailer_end(struct chunked_decoder *decoder, char byte)
{
    if (byte != '\n') {
        return REJECT_BARE_CR;
    }
    decoder->state = END;
    return REJECT_NONE;
}

/* Any byte outside data and trailers. */
static enum reject_reason take_byte(struct chunked_decoder *decoder, char byte)
{
    switch (decoder->state) {
    case SIZE:
        return take_size(decoder, byte);
    case SIZE_LF:
        return take_size_end(decoder, byte);
    case DATA_CR:
    case DATA_LF:
        return take_data_end(decoder, byte);
    case TRAILER_END:
        return take_trailer_end(decoder, byte);
    default:
        return take_extension(decoder, byte);
    }
}

/* Makes room for `size` more bytes of trailers, twice as much as before each time. */
static bool reserve_trailers(struct chunked_decoder *decoder, size_t size)
{
    size_t needed = decoder->trailer_size + size;
    if (needed <= decoder->trailer_capacity) {
        return true;
    }
    size_t capacity =
        decoder->trailer_capacity > 0 ? decoder->trailer_capacity : TRAILERS_FIRST_CAPACITY;
    while (capacity < needed) {
        capacity *= 2;
    }
    char *bytes = arena_alloc(decoder->arena, capacity);
    if (bytes == NULL) {
        return false;
    }
    if (decoder->trailer_size > 0) {
        memcpy(bytes, decoder->trailer_bytes, decoder->trailer_size);
    }
    decoder->trailer_bytes = bytes;
    decoder->trailer_capacity = capacity;
    return true;
}

/* Splits the vetted section, refuses fields that frame, and drops those that steer. */
static enum reject_reason finish_trailers(struct chunked_decoder *decoder)
{
    size_t item_count = decoder->scanner.field_count;
    struct field *items = arena_alloc(decoder->arena, item_count * sizeof *items);
    if (items == NULL) {
        return REJECT_MEMORY;
    }
    struct bytes lines = bytes_make(decoder->trailer_bytes, decoder->scanner.position - 2);
    item_count = framing_split_fields(&lines, items, item_count);
    size_t kept = 0;
    for (size_t i = 0; i < item_count; i++) {
        if (framing_is_trailer_refused(items[i].id)) {
            return REJECT_TRAILER;
        }
        if (!framing_is_trailer_dropped(items[i].id)) {
            items[kept++] = items[i];
        }
    }
    decoder->trailers = (struct fields){items, kept};
    decoder->state = END;
    return REJECT_NONE;
}

/* Gathers bytes until the scanner has seen the empty line; gives back those behind it. */
static enum reject_reason take_trailers(struct chunked_decoder *decoder, struct bytes *in)
{
    struct reject reject;
    size_t before = decoder->trailer_size;
    size_t room = decoder->limits.head_max - before;
    size_t size = in->size < room ? in->size : room;
    if (!reserve_trailers(decoder, size)) {
        return REJECT_MEMORY;
    }
    memcpy(decoder->trailer_bytes + before, in->data, size);
    decoder->trailer_size += size;
    struct bytes section = bytes_make(decoder->trailer_bytes, decoder->trailer_size);
    switch (framing_scan_head(&decoder->scanner, section, &decoder->limits, &reject)) {
    case FRAMING_INCOMPLETE:
        *in = bytes_slice(*in, size, in->size - size);
        return REJECT_NONE;
    case FRAMING_REFUSED:
        return reject.reason;
    default:
        break;
    }
    size_t used = decoder->scanner.position - before;
    *in = bytes_slice(*in, used, in->size - used);
    return finish_trailers(decoder);
}

static struct bytes take_data(struct chunked_decoder *decoder, struct bytes *in)
{
    size_t size = in->size < decoder->left ? in->size : (size_t)decoder->left;
    struct bytes data = bytes_slice(*in, 0, size);
    *in = bytes_slice(*in, size, in->size - size);
    decoder->left -= size;
    if (decoder->left == 0) {
        decoder->state = DATA_CR;
    }
    return data;
}

/* The byte behind the last chunk's line: a CR ends the body, anything else begins trailers. */
static void begin_trailers(struct chunked_decoder *decoder, struct bytes *in)
{
    if (in->data[0] == '\r') {
        decoder->state = TRAILER_END;
        *in = bytes_slice(*in, 1, in->size - 1);
        return;
    }
    framing_scanner_init(&decoder->scanner, FRAMING_TRAILERS);
    decoder->state = TRAILERS;
}

static enum chunked_event refuse(const struct chunked_decoder *decoder, enum reject_reason reason,
                                 struct reject *ret_reject)
{
    *ret_reject = decoder->is_response ? reject_response(reason) : reject_request(reason);
    return CHUNKED_REFUSED;
}

enum chunked_event chunked_decoder_next(struct chunked_decoder *decoder, struct bytes *in,
                                        struct bytes *ret_data, struct reject *ret_reject)
{
    while (decoder->state != END) {
        if (in->size == 0) {
            return CHUNKED_MORE;
        }
        enum reject_reason reason = REJECT_NONE;
        if (decoder->state == DATA) {
            *ret_data = take_data(decoder, in);
            return CHUNKED_DATA;
        }
        if (decoder->state == TRAILER_FIRST) {
            begin_trailers(decoder, in);
        } else if (decoder->state == TRAILERS) {
            reason = take_trailers(decoder, in);
        } else {
            reason = take_byte(decoder, in->data[0]);
            *in = bytes_slice(*in, 1, in->size - 1);
        }
        if (reason != REJECT_NONE) {
            return refuse(decoder, reason, ret_reject);
        }
    }
    return CHUNKED_END;
}
