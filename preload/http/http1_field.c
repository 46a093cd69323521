/*
 * Reading the header fields that framing, host and persistence depend on; all others are told apart
 * by one or two compares.
 */
#include "http/http1_field.h"

/*
 * The elements of a comma-separated list (RFC 9110 5.6.1), each without its parameters. false:
 * there is no further one.
 */
static bool field_element(const char **p, const char *end, struct http1_span *element) {
    const char *c = *p;
    while (c < end && (http1_blank(*c) || *c == ','))
        c++;
    element->text = c;
    while (c < end && *c != ',' && *c != ';' && !http1_blank(*c))
        c++;
    element->len = (size_t)(c - element->text);
    for (bool quoted = false; c < end && (quoted || *c != ','); c++) {
        if (*c == '"')
            quoted = !quoted;
        else if (*c == '\\' && quoted && c + 1 < end)
            c++;
    }
    *p = c;
    return element->len > 0 || c < end;
}

__attribute__((always_inline)) static inline bool element_is(const struct http1_span *element,
                                                             const char *lower, size_t n) {
    return element->len == n && http1_same(element->text, lower, n);
}

#define DIGITS_SAFE 19 /* so many can't overflow 64 bits */

/*
 * RFC 9112 6.3: equal values may be repeated; differing ones, signs and anything else leave the
 * length unknown.
 */
static void field_length(struct http1_fields *fields, const char *p, const char *end) {
    for (;; p++) {
        while (p < end && http1_blank(*p))
            p++;
        uint64_t length = 0;
        const char *digits = p;
        for (; p < end && *p >= '0' && *p <= '9'; p++) {
            unsigned digit = (unsigned)(*p - '0');
            if (p - digits >= DIGITS_SAFE && length > (UINT64_MAX - digit) / 10) {
                fields->length_state = HTTP1_LENGTH_BAD;
                return;
            }
            length = length * 10 + digit;
        }
        bool empty = p == digits;
        while (p < end && http1_blank(*p))
            p++;
        if (empty || (p < end && *p != ',') || fields->length_state == HTTP1_LENGTH_BAD ||
            (fields->length_state == HTTP1_LENGTH_VALID && fields->length != length)) {
            fields->length_state = HTTP1_LENGTH_BAD;
            return;
        }
        fields->length = length;
        fields->length_state = HTTP1_LENGTH_VALID;
        if (p == end) return;
    }
}

/*
 * RFC 9112 6.1. "identity" was a way to say nothing in RFC 2616, and servers still do: clients pass
 * over it.
 */
static __attribute__((noinline)) void field_coding(struct http1_fields *fields, const char *p,
                                                   const char *end) {
    struct http1_span element;
    while (field_element(&p, end, &element)) {
        if (element_is(&element, "chunked", 7))
            fields->coding = HTTP1_CODING_CHUNKED;
        else if (element.len > 0 && !element_is(&element, "identity", 8))
            fields->coding = HTTP1_CODING_OTHER;
    }
}

static __attribute__((noinline)) void field_options(struct http1_fields *fields, const char *p,
                                                    const char *end) {
    struct http1_span element;
    while (field_element(&p, end, &element)) {
        if (element_is(&element, "close", 5))
            fields->close = true;
        else if (element_is(&element, "keep-alive", 10))
            fields->keep_alive = true;
        else if (element_is(&element, "upgrade", 7))
            fields->option_upgrade = true;
    }
}

static void field_connection(struct http1_fields *fields, const char *p, const char *end) {
    if (end - p == 10 && http1_same(p, "keep-alive", 10))
        fields->keep_alive = true; /* as good as always */
    else
        field_options(fields, p, end);
}

/* RFC 7540 3.2. */
static __attribute__((noinline)) void field_upgrade(struct http1_fields *fields, const char *p,
                                                    const char *end) {
    struct http1_span element;
    while (field_element(&p, end, &element))
        if (element.len == 3 && http1_lower(element.text[0]) == 'h' && element.text[1] == '2' &&
            http1_lower(element.text[2]) == 'c')
            fields->h2c = true;
}

static void field_type(struct http1_fields *fields, const char *p, const char *end) {
    size_t n = (size_t)(end - p);
    if (n >= 17 && http1_same(p, "text/event-stream", 17) &&
        (n == 17 || p[17] == ';' || http1_blank(p[17])))
        fields->event_stream = true;
    else if (n >= 16 && http1_same(p, "application/grpc", 16))
        fields->grpc = true;
}

/*
 * The value, if this is the name; NULL if not. Its length is looked at first: that settles nearly
 * all fields. Blanks before the colon are forbidden (RFC 9112 5.1), but what reads them as part of
 * no name would get the framing wrong.
 */
__attribute__((always_inline)) static inline const char *field_value(const struct http1_span *line,
                                                                     const char *lower, size_t n) {
    if (line->len <= n || (line->text[n] != ':' && !http1_blank(line->text[n])) ||
        !http1_same(line->text, lower, n))
        return NULL;
    const char *p = line->text + n, *end = line->text + line->len;
    while (p < end && http1_blank(*p))
        p++;
    if (p == end || *p != ':') return NULL;
    p++;
    while (p < end && http1_blank(*p))
        p++;
    return p;
}

bool http1_field_read(struct http1_fields *fields, const struct http1_span *line,
                      struct http1_span *value) {
    const char *end = line->text + line->len, *p;
    switch (line->text[0] | 0x20) {
    case 'c':
        if ((p = field_value(line, "content-length", 14)))
            field_length(fields, p, end);
        else if ((p = field_value(line, "connection", 10)))
            field_connection(fields, p, end);
        else if ((p = field_value(line, "content-type", 12))) {
            field_type(fields, p, end);
            return false;
        }
        break;
    case 't':
        if ((p = field_value(line, "transfer-encoding", 17))) field_coding(fields, p, end);
        break;
    case 'p':
        if ((p = field_value(line, "proxy-connection", 16))) field_connection(fields, p, end);
        break;
    case 'u':
        if ((p = field_value(line, "upgrade", 7))) {
            fields->upgrade = true;
            field_upgrade(fields, p, end);
        }
        return false;
    case 'h':
        if (!(p = field_value(line, "host", 4))) return false;
        while (end > p && http1_blank(end[-1]))
            end--;
        value->text = p;
        value->len = (size_t)(end - p);
        value->cut = line->cut;
        return true;
    default: return false;
    }
    if (p && line->cut) fields->overlong = true;
    return false;
}

bool http1_field_persistent(const struct http1_fields *fields, bool http10) {
    return !fields->close && (!http10 || fields->keep_alive);
}
