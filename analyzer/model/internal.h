/* What the files of the model share. */
#ifndef HTTPLEAK_MODEL_INTERNAL_H
#define HTTPLEAK_MODEL_INTERNAL_H

#include "model/model.h"

/* process.c: decides how the process ended and the moment that it is judged at. Slots are loaded already. */
void process_judge_end(struct model_process *process, const struct process_fate *fate,
                       const struct model_options *options);

/* sample.c: for a running process, takes bytes waiting and TCP state from /proc where that may be read. */
void process_refresh_samples(struct model_process *process);

/* worker.c: roles and dedication of the workers; connections are loaded. */
void process_judge_workers(struct model_process *process);

/* handle.c: the client handles; hosts and connections are loaded. */
void process_load_handles(struct model_process *process);

/* host.c */
struct model_host *model_host_find(struct model *model, const char *name, uint16_t port,
                                   enum trace_scheme scheme);
void model_host_add_peer(struct model *model, struct model_host *host, const char *peer);
/* Adds what the process has to the totals of its hosts. */
void process_add_totals(struct model_process *process);

static inline uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

#endif
