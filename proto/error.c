#include "proto/error.h"
#include "proto/lower_name.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

struct error_entry {
    int code;
    enum error_class cls;
    const char *text;
    char name[LOWER_NAME_MAX];
};

static const struct error_entry entries[] = {
#define X(name, number, cls, text) {number, ERROR_##cls, text, LOWER_NAME(#name)},
    ERROR_TABLE(X)
#undef X
};
#define X(name, number, cls, text) _Static_assert(LOWER_NAME_FITS(#name), #name " is too long");
ERROR_TABLE(X)
#undef X

static const struct error_entry *entry_find(int code)
{
    size_t count = sizeof(entries) / sizeof(entries[0]);
    /* The table only ever grows at its end, in order, so the number is the place. */
    if (code < 0 && code >= -(int)count) {
        const struct error_entry *entry = &entries[-code - 1];
        if (entry->code == code)
            return entry;
    }
    return &entries[0];
}

const char *error_name(int code)
{
    return code == 0 ? "ok" : entry_find(code)->name;
}

const char *error_text(int code)
{
    return code == 0 ? "success" : entry_find(code)->text;
}

enum error_class error_class_of(int code)
{
    return code == 0 ? ERROR_NONE : entry_find(code)->cls;
}

static int error_from_network_errno(int errnum)
{
    switch (errnum) {
    case ECONNREFUSED:
        return ERR_CONNECTION_REFUSED;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ESHUTDOWN:
    case ENETRESET:
        return ERR_CONNECTION_LOST;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
        return ERR_UNREACHABLE;
    case EADDRINUSE:
        return ERR_ADDRESS_IN_USE;
    default:
        return ERR_UNKNOWN;
    }
}

enum { LIBUV_EOF = 4095 }; /* libuv's one everyday code that is no errno */

int error_from_errno(int errnum)
{
    switch (abs(errnum)) {
    case 0:
        return 0;
    case LIBUV_EOF:
        return ERR_CLOSED;
    case EINVAL:
    case ENAMETOOLONG:
    case EADDRNOTAVAIL:
    case ENOTDIR:
    case EISDIR:
        return ERR_INVALID_ARGUMENT;
    case ENOMEM:
    case ENOBUFS:
        return ERR_OUT_OF_MEMORY;
    case ECANCELED:
        return ERR_CANCELED;
    case ETIMEDOUT:
        return ERR_TIMED_OUT;
    case EIO:
    case ESTALE:
        return ERR_IO;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_PERMISSION;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERR_EXISTS;
    case EMFILE:
    case ENFILE:
        return ERR_TOO_MANY_FILES;
    case EFBIG:
    case EMSGSIZE:
    case E2BIG:
        return ERR_TOO_LARGE;
    case EOPNOTSUPP:
    case ENOSYS:
        return ERR_UNSUPPORTED;
    case EINTR:
    case EAGAIN:
        return ERR_INTERRUPTED;
    default:
        return error_from_network_errno(abs(errnum));
    }
}
