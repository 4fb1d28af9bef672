/* Settings of Kafka's topics that mean nothing here, or exactly what is done anyway: programs that send them
 * are not refused, and nothing is stored. Internal to this room. */
#ifndef SERVER_KAFKA_CONFIG_HARMLESS_H
#define SERVER_KAFKA_CONFIG_HARMLESS_H

enum config_fit {
    CONFIG_UNKNOWN,  /* ours, or nobody's: the cluster knows */
    CONFIG_HARMLESS, /* nothing is to be done */
    CONFIG_WRONG,    /* it asks for what is not done here: `why` */
};

/* `value` NULL: the default. */
enum config_fit config_harmless(const char *name, const char *value, const char **why);

#endif
