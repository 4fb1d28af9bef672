/* Intrusive doubly-linked list. An element embeds a `struct queue` node. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue {
    struct queue *next;
    struct queue *prev;
};

static inline void queue_init(struct queue *q)
{
    q->next = q;
    q->prev = q;
}
static inline bool queue_empty(const struct queue *q)
{
    return q->next == q;
}
static inline void queue_push(struct queue *head, struct queue *node) /* at the tail */
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void queue_push_front(struct queue *head, struct queue *node)
{
    node->next = head->next;
    node->prev = head;
    head->next->prev = node;
    head->next = node;
}
/* Leaves the node initialised, so that removing twice is harmless. */
static inline void queue_remove(struct queue *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    queue_init(node);
}
static inline struct queue *queue_first(const struct queue *head)
{
    return head->next;
}
static inline struct queue *queue_last(const struct queue *head)
{
    return head->prev;
}
/* Moves all nodes of `from` to the (empty, initialised) `to`. */
static inline void queue_move(struct queue *from, struct queue *to)
{
    if (queue_empty(from)) {
        queue_init(to);
        return;
    }
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    queue_init(from);
}
#define QUEUE_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))
/* The current node must not be removed inside the loop. */
#define QUEUE_FOREACH(node, head)                                                                            \
    for (struct queue *node = (head)->next; node != (head); node = node->next)

#endif
