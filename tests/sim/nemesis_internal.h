/* Between the nemesis and its parts. */
#ifndef SIM_NEMESIS_INTERNAL_H
#define SIM_NEMESIS_INTERNAL_H

#include "tests/sim/nemesis.h"

enum { MS = 1000000 };

/* What a run is like between faults, and what comes three times as often in it. */
struct nemesis_profile {
    unsigned disk_ms;    /* worst sync; 0: as fast as can be */
    unsigned network_ms; /* worst latency, likewise */
    unsigned gap_ms;     /* between two events, on average; each run has it a bit shorter or longer */
    unsigned often;
};

/* ---- nemesis.c ---- */

uint64_t nemesis_draw(struct nemesis *n, uint64_t bound);
uint64_t nemesis_draw_down_ns(struct nemesis *n);
void nemesis_calm_network(struct nemesis *n);

/* ---- nemesis_strike.c: each kind of fault ---- */

void nemesis_strike(struct nemesis *n, enum fault f, struct sim_node *v);
void nemesis_roll_next(struct nemesis *n);
void nemesis_end_swap(struct nemesis *n);

/* ---- nemesis_disk.c: what becomes of disks and of what is on them ---- */

void nemesis_slow_disk(struct nemesis *n, struct sim_node *v);
void nemesis_fill_disk(struct nemesis *n, struct sim_node *v);
void nemesis_heal_disk(struct nemesis *n, struct sim_node *v);
struct sim_node *nemesis_faulty_disk(struct nemesis *n, struct sim_node *v);
void nemesis_break_syncs(struct nemesis *n, struct sim_node *v);
void nemesis_break_reads(struct nemesis *n, struct sim_node *v);
void nemesis_choose_old_bytes(struct nemesis *n, struct sim_node *node, enum sim_damage damage);
void nemesis_note_old_logs(struct nemesis *n);
void nemesis_note_floored(struct nemesis *n, const struct journal *journal);
void nemesis_check_floored(struct nemesis *n, const struct sim_node *node); /* at every step from then on */
bool nemesis_old_bytes_are_old(struct nemesis *n);
void nemesis_damage_file(struct nemesis *n);
void nemesis_cut_logs(struct nemesis *n);

/* ---- nemesis_ambush.c: struct ambush ---- */

void nemesis_step_ambush(struct nemesis *n);
void nemesis_wipe(struct nemesis *n, struct sim_node *v);
void nemesis_damage_old_bytes(struct nemesis *n);
void nemesis_fail_syncs(struct nemesis *n, struct sim_node *v);

#endif
