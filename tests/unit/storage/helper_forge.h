#ifndef TESTS_UNIT_STORAGE_HELPER_FORGE_H
#define TESTS_UNIT_STORAGE_HELPER_FORGE_H

/* Other records in batches of the same size, offsets and terms, from the `from`th on, each with a right
 * checksum: what another partition's file, or an older copy of this one, may look like. */
void helper_forge(const char *path, unsigned from);

#endif
