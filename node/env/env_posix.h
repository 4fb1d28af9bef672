/* Files of the real environment: blocking POSIX calls, usable from any thread. */
#ifndef ENV_ENV_POSIX_H
#define ENV_ENV_POSIX_H

#include "node/env/env.h"

int posix_file_open(struct env *env, const char *path, int flags, struct env_file **file);
int posix_dir_create(struct env *env, const char *path);
int posix_dir_sync(struct env *env, const char *path);
int posix_dir_list(struct env *env, const char *path, void (*each)(void *data, const char *name), void *data);
int posix_rename(struct env *env, const char *from, const char *to);
int posix_remove(struct env *env, const char *path);
int posix_dir_remove(struct env *env, const char *path);
int posix_free_space(struct env *env, const char *path, uint64_t *bytes);

#endif
