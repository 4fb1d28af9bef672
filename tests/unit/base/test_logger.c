#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/assert.h"
#include "node/base/logger.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t fixed_wall_ms(void *data)
{
    (void)data;
    return INT64_C(1772359200123); /* 2026-03-01T10:00:00.123Z */
}

/* All that was written to `fd`, zero-terminated; free it. */
static char *contents(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)size + 1);
    assert_int_equal(pread(fd, text, (size_t)size, 0), size);
    text[size] = '\0';
    return text;
}

static void lines_have_the_documented_form(void **state)
{
    (void)state;
    int fd = memfd_create("log", 0);
    struct logger *l = logger_create(fd, 2, LOG_INFO, fixed_wall_ms, NULL);
    LOG(l, LOG_INFO, "became leader", "group=%s term=%d", "orders/3", 7);
    LOG(l, LOG_DEBUG, "not printed", "");
    LOG(l, LOG_WARN, "say \"hi\"", "");
    LOG(NULL, LOG_ERROR, "swallowed", "");
    char *text = contents(fd);
    assert_string_equal(
        text, "time=2026-03-01T10:00:00.123Z level=info node=2 group=orders/3 term=7 msg=\"became leader\"\n"
              "time=2026-03-01T10:00:00.123Z level=warn node=2 msg=\"say \\\"hi\\\"\"\n");
    free(text);
    logger_destroy(l);
    close(fd);
}

static void a_line_stays_one_line(void **state)
{
    (void)state;
    int fd = memfd_create("log", 0);
    struct logger *l = logger_create(fd, 2, LOG_INFO, fixed_wall_ms, NULL);
    char huge[5000];
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    LOG(l, LOG_INFO, "two\nlines", "value=a\nb huge=%s", huge);
    char *text = contents(fd);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_true(strlen(text) < 2100);
    free(text);
    logger_destroy(l);
    close(fd);
}

static void quoting(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(logger_quote(out, sizeof(out), "a\"b\\c\n\t\x01"), "\"a\\\"b\\\\c\\n\\t\\x01\"");
    assert_string_equal(logger_quote(out, sizeof(out), "h\xc3\xa9"), "\"h\xc3\xa9\"");
    assert_string_equal(logger_quote(out, 6, "abcdef"), "\"abc\"");
    assert_string_equal(logger_quote(out, 6, "ab\ncdef"), "\"ab\""); /* no half escapes */
    assert_string_equal(logger_quote(out, 3, "abc"), "\"\"");
}

static void the_ring_keeps_the_newest_whole_lines(void **state)
{
    (void)state;
    enum { LINES = 5000 };
    int fd = memfd_create("dump", 0);
    struct logger *l = logger_create(-1, 2, LOG_ERROR, fixed_wall_ms, NULL);
    for (int i = 0; i < LINES; i++)
        LOG(l, LOG_TRACE, "tick", "i=%d", i);
    logger_dump_recent(l, fd);
    char *text = contents(fd);
    char *line = strchr(text, '\n') + 1; /* behind the heading */
    int first = -1;
    int next = -1;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        int i;
        assert_int_equal(
            sscanf(line, "time=2026-03-01T10:00:00.123Z level=trace node=2 i=%d msg=\"tick\"", &i), 1);
        if (first < 0)
            first = next = i;
        assert_int_equal(i, next);
        next++;
    }
    assert_int_equal(next, LINES);
    assert_in_range(first, 1, LINES - 1000);
    free(text);
    logger_destroy(l);
    close(fd);
}

static void a_failed_assertion_dumps_the_ring(void **state)
{
    (void)state;
    int fd = memfd_create("stderr", 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd, STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        struct logger *l = logger_create(-1, 9, LOG_ERROR, fixed_wall_ms, NULL);
        LOG(l, LOG_DEBUG, "what led to it", "");
        int two = 2;
        ASSERT(two == 3);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char *text = contents(fd);
    assert_non_null(strstr(text, "assertion failed: two == 3"));
    assert_non_null(strstr(text, "node=9 msg=\"what led to it\""));
    free(text);
    close(fd);
}

static void level_names(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse("trace"), LOG_TRACE);
    assert_int_equal(log_level_parse("error"), LOG_ERROR);
    assert_int_equal(log_level_parse("loud"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_the_documented_form),
        cmocka_unit_test(a_line_stays_one_line),
        cmocka_unit_test(quoting),
        cmocka_unit_test(the_ring_keeps_the_newest_whole_lines),
        cmocka_unit_test(a_failed_assertion_dumps_the_ring),
        cmocka_unit_test(level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
