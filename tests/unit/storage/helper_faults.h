/* An env whose files can be made to fail, around a real one. */
#ifndef UNIT_STORAGE_HELPER_FAULTS_H
#define UNIT_STORAGE_HELPER_FAULTS_H

#include "node/env/env_ops.h"

struct faults {
    struct env_ops ops; /* first: env->ops points here */
    const struct env_ops *real;
    _Atomic int allocate_error; /* 0: works */
    _Atomic int write_error;
    _Atomic int sync_error;
    _Atomic int dir_sync_error;
    _Atomic int read_error;
    _Atomic unsigned writes; /* counts of calls that reached the disk */
    _Atomic unsigned syncs;
    _Atomic unsigned dir_syncs;
    _Atomic unsigned reads;
    _Atomic uint64_t bytes_read;
    _Atomic bool hold_syncs; /* syncs wait until it is false again */
};

void faults_install(struct faults *f, struct env *env);

#endif
