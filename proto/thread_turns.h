/* How the kernel shares the processors among our threads. Here because node and client both have threads that
 * others wait for. */
#ifndef PROTO_THREAD_TURNS_H
#define PROTO_THREAD_TURNS_H

/* The calling thread gets short turns that come soon, instead of long ones: no more of the processor in all.
 * Threads that it starts inherit it. Linux 6.12 and later; others take no notice, and everything works as
 * well without it. */
void thread_turns_short(void);

#endif
