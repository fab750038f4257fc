/* FAKE: see fakenvml.h. What the functions of nvml.c and newer.c share. */
#ifndef CALLS_H
#define CALLS_H

#include "fakenvml.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct { unsigned index; int instance; } handle; /* instance is -1 for a whole GPU */

#define BEGIN                                                 \
	static struct counter counter = {NULL, 0, NULL};      \
	counter.symbol = __func__;                            \
	lock();                                               \
	count_call(&counter)

#define END(code)                                             \
	do {                                                  \
		unsigned code_ = (code);                      \
		unlock();                                     \
		return code_;                                 \
	} while (0)

/* BEGIN_GPU is for functions of one device; g is its description. */
#define BEGIN_GPU(device)                                     \
	BEGIN;                                                \
	struct gpu *g = NULL;                                 \
	unsigned fault = gpu_of(device, __func__, &g);        \
	if (fault != OK) {                                    \
		END(fault);                                   \
	}

/* gpu_of returns the GPU of a handle, or why there is no answer. */
unsigned gpu_of(const handle *h, const char *symbol, struct gpu **out);
unsigned give_long(unsigned long long number, unsigned long long *out);

/* find_link finds a link that is up: a link that is down does not say where it
 * would lead. */
unsigned find_link(struct gpu *g, unsigned link, struct link **out);

#endif
