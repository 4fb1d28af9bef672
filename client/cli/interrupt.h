/* Ctrl-C as a request to finish: for commands that have something to bring to an end. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/* From now on SIGINT and SIGTERM are counted instead of ending the process; they interrupt a blocking read.
 */
void interrupt_catch(void);
/* How many there were. */
int interrupt_count(void);

#endif
