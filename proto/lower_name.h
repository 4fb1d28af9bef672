/* Private to proto's tables: the lower-case form of a table entry's NAME, made by the compiler, so that it is
 * spelled once and the names need neither mutable storage nor a buffer from the caller. */
#ifndef PROTO_LOWER_NAME_H
#define PROTO_LOWER_NAME_H

#define LOWER_NAME_AT(s, i) ((s)[(i) < sizeof(s) ? (i) : sizeof(s) - 1])
#define LOWER_NAME_CHAR(s, i)                                                                                \
    (char)(LOWER_NAME_AT(s, i) >= 'A' && LOWER_NAME_AT(s, i) <= 'Z' ? LOWER_NAME_AT(s, i) + ('a' - 'A')      \
                                                                    : LOWER_NAME_AT(s, i))
#define LOWER_NAME_4(s, i)                                                                                   \
    LOWER_NAME_CHAR(s, i), LOWER_NAME_CHAR(s, (i) + 1), LOWER_NAME_CHAR(s, (i) + 2),                         \
        LOWER_NAME_CHAR(s, (i) + 3)
#define LOWER_NAME_MAX 28

/* Initialiser of a char array of LOWER_NAME_MAX bytes. */
#define LOWER_NAME(s)                                                                                        \
    {                                                                                                        \
        LOWER_NAME_4(s, 0), LOWER_NAME_4(s, 4), LOWER_NAME_4(s, 8), LOWER_NAME_4(s, 12),                     \
            LOWER_NAME_4(s, 16), LOWER_NAME_4(s, 20), LOWER_NAME_4(s, 24)                                    \
    }
#define LOWER_NAME_FITS(s) (sizeof(s) <= LOWER_NAME_MAX)

#endif
