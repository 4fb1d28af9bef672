/* The promises that can be broken on purpose, by name. */
#ifndef SIM_SABOTAGES_H
#define SIM_SABOTAGES_H

#include "node/env/sabotage.h"

/* A mask, or names with commas ("vote_forgotten,ack_before_sync"), to a mask of 1 << enum sabotage; false
 * when a name is unknown. "help" lists them. */
bool sabotages_parse(const char *text, unsigned *mask);

#endif
