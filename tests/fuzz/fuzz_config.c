/* A configuration file with anything in it: it is taken, or refused with a reason. */
#include "node/base/assert.h"
#include "node/server/config.h"
#include "tests/fuzz/scratch.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct scratch *s = scratch_get();
    struct node_config config;
    char path[128], message[512] = "", program[] = "flotillad", flag[] = "--config";
    char *arguments[] = {program, flag, path, NULL}, *environment[] = {NULL};
    scratch_write(s, "config.yaml", data, size);
    scratch_path(s, "config.yaml", path, sizeof(path));
    int rc = config_load(&config, 3, arguments, environment, message, sizeof(message));
    if (rc != 0)
        ASSERT(message[0] != '\0');
    else
        ASSERT(config.node_id >= 1 && config.node_id <= 65535 && config.heartbeat_ms >= 5 &&
               memchr(config.data_dir, '\0', sizeof(config.data_dir)) != NULL);
    return 0;
}
