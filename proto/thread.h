/* How node and client start threads, and how the kernel shares the processors among them. No business of a
 * wire's: it stands here because this is the one room that both include, and is too little for one of its
 * own. */
#ifndef PROTO_THREAD_H
#define PROTO_THREAD_H

#include <pthread.h>

/* Starts a thread that handles no signals: they are for the loop, or for the application that a client is a
 * part of; nor does a write to a closed socket raise SIGPIPE in it. 0 or an errno value, as pthread_create.
 */
int thread_start(pthread_t *thread, void *(*run)(void *data), void *data);

/* The calling thread gets short turns that come soon, instead of long ones: no more of the processor in all.
 * Threads that it starts inherit it. Linux 6.12 and later; others take no notice, and everything works as
 * well without it. */
void thread_turns_short(void);

#endif
