/* The public face of proto's error table: the same codes under the same numbers (tests/unit/client checks
 * it). */
#include "client/include/flotilla.h"
#include "proto/error.h"

const char *flotilla_error_name(int code)
{
    return error_name(code);
}

const char *flotilla_error_text(int code)
{
    return error_text(code);
}

enum flotilla_error_class flotilla_error_class_of(int code)
{
    switch (error_class_of(code)) {
    case ERROR_NONE:
        return FLOTILLA_CLASS_NONE;
    case ERROR_RETRIABLE:
        return FLOTILLA_CLASS_RETRIABLE;
    case ERROR_OUTCOME_UNKNOWN:
        return FLOTILLA_CLASS_OUTCOME_UNKNOWN;
    case ERROR_BAD_ARGUMENT:
        return FLOTILLA_CLASS_BAD_ARGUMENT;
    case ERROR_FENCED:
        return FLOTILLA_CLASS_FENCED;
    case ERROR_FATAL:
        break;
    }
    return FLOTILLA_CLASS_FATAL;
}

const char *flotilla_version(void)
{
    return FLOTILLA_VERSION;
}
