/* Output of records by a template with kcat's tokens. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "flotilla.h"
#include <stddef.h>
#include <stdio.h>

/* NULL when the template is good, else what is wrong with it. */
const char *format_check(const char *format, char *reason, size_t reason_size);
/* %s value, %k key, %o offset, %p partition, %t topic, %T timestamp (ms), %h headers (a=b,c=d), %S and %K the
 * sizes of value and key (-1: null), %% a percent sign; \n \t \r \0 \\ and \xHH escapes. The template has
 * been checked. */
void format_record(FILE *out, const char *format, const struct flotilla_record *record);
/* One line of JSON; bytes that are not UTF-8 are given in base64 as "value_base64" / "key_base64". */
void format_record_json(FILE *out, const struct flotilla_record *record);

#endif
