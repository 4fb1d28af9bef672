#include "client/cli/format.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char tokens[] = "skoptThSK%";

const char *format_check(const char *format, char *reason, size_t reason_size)
{
    for (const char *at = format; *at != 0; at++) {
        if (*at == '%') {
            at++;
            if (*at == 0 || strchr(tokens, *at) == NULL) {
                snprintf(reason, reason_size,
                         "unknown token %%%c; there are %%s %%k %%o %%p %%t %%T %%h %%S %%K %%%%",
                         *at != 0 ? *at : ' ');
                return reason;
            }
        }
    }
    return NULL;
}

static void write_bytes(FILE *out, const void *data, size_t size)
{
    if (data != NULL && size > 0) {
        fwrite(data, 1, size, out);
    }
}

static void write_headers(FILE *out, const struct flotilla_record *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (i > 0) {
            fputc(',', out);
        }
        write_bytes(out, r->headers[i].key, r->headers[i].key_size);
        fputc('=', out);
        write_bytes(out, r->headers[i].value, r->headers[i].value_size);
    }
}

static void write_token(FILE *out, char token, const struct flotilla_record *r)
{
    switch (token) {
    case 's':
        write_bytes(out, r->value, r->value_size);
        break;
    case 'k':
        write_bytes(out, r->key, r->key_size);
        break;
    case 'o':
        fprintf(out, "%" PRId64, r->offset);
        break;
    case 'p':
        fprintf(out, "%" PRId32, r->partition);
        break;
    case 't':
        fputs(r->topic, out);
        break;
    case 'T':
        fprintf(out, "%" PRId64, r->timestamp_ms);
        break;
    case 'h':
        write_headers(out, r);
        break;
    case 'S':
        fprintf(out, "%" PRId64, r->value != NULL ? (int64_t)r->value_size : -1);
        break;
    case 'K':
        fprintf(out, "%" PRId64, r->key != NULL ? (int64_t)r->key_size : -1);
        break;
    default:
        fputc(token, out);
    }
}

/* `at` stands on the character after the backslash; returns the last one used. */
static const char *write_escape(FILE *out, const char *at)
{
    static const char from[] = "ntr0\\", to[] = "\n\t\r\0\\";
    if (*at == 'x' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2])) {
        char hex[3] = {at[1], at[2], 0};
        fputc((int)strtol(hex, NULL, 16), out);
        return at + 2;
    }
    const char *known = *at != 0 ? strchr(from, *at) : NULL;
    if (known != NULL) {
        fputc(to[known - from], out);
        return at;
    }
    fputc('\\', out);
    return at - 1;
}

void format_record(FILE *out, const char *format, const struct flotilla_record *record)
{
    for (const char *at = format; *at != 0; at++) {
        if (*at == '%') {
            write_token(out, *++at, record);
        } else if (*at == '\\') {
            at = write_escape(out, at + 1);
        } else {
            fputc(*at, out);
        }
    }
}

static json_t *base64(const unsigned char *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((size + 2) / 3 * 4 + 1);
    size_t n = 0;
    if (text == NULL) {
        abort();
    }
    for (size_t i = 0; i < size; i += 3) {
        unsigned value = (unsigned)data[i] << 16 | (i + 1 < size ? (unsigned)data[i + 1] << 8 : 0) |
                         (i + 2 < size ? (unsigned)data[i + 2] : 0);
        text[n++] = digits[value >> 18 & 63];
        text[n++] = digits[value >> 12 & 63];
        text[n++] = i + 1 < size ? digits[value >> 6 & 63] : '=';
        text[n++] = i + 2 < size ? digits[value & 63] : '=';
    }
    json_t *string = json_stringn(text, n);
    free(text);
    return string;
}

static void set_bytes(json_t *object, const char *name, const void *data, size_t size)
{
    char encoded[64];
    if (data == NULL) {
        json_object_set_new(object, name, json_null());
        return;
    }
    json_t *text = json_stringn(data, size); /* NULL when it is not UTF-8 */
    if (text != NULL) {
        json_object_set_new(object, name, text);
        return;
    }
    snprintf(encoded, sizeof(encoded), "%s_base64", name);
    json_object_set_new(object, encoded, base64(data, size));
}

void format_record_json(FILE *out, const struct flotilla_record *r)
{
    json_t *headers = json_array();
    for (size_t i = 0; i < r->header_count; i++) {
        json_t *header = json_object();
        set_bytes(header, "name", r->headers[i].key, r->headers[i].key_size);
        set_bytes(header, "value", r->headers[i].value, r->headers[i].value_size);
        json_array_append_new(headers, header);
    }
    json_t *root = json_pack("{s:s, s:i, s:I, s:I}", "topic", r->topic, "partition", (int)r->partition,
                             "offset", (json_int_t)r->offset, "timestamp", (json_int_t)r->timestamp_ms);
    set_bytes(root, "key", r->key, r->key_size);
    set_bytes(root, "value", r->value, r->value_size);
    json_object_set_new(root, "headers", headers);
    json_dumpf(root, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(root);
}
