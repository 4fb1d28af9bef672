/* cmocka wants these headers before its own. */
#ifndef TESTS_PROTO_HELPER_CMOCKA_H
#define TESTS_PROTO_HELPER_CMOCKA_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
