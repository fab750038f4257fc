/*
 * A fake of the CUDA driver. Nothing here computes: time is a number that each
 * piece of work adds to, at the rates of fakecuda.txt.
 */
#ifndef FAKECUDA_H
#define FAKECUDA_H

#include <stddef.h>
#include <stdint.h>

#define FAKE_EXPORT __attribute__((visibility("default")))

/* What the fake of cuBLASLt asks of the fake driver of its folder. */
struct fakecuda_hooks {
	/* The fault of a function: its code, or 0. It may also not return. */
	int (*fault)(const char *function);
	/* The ordinal of this thread's device, -1 for none. */
	int (*current)(void);
	int (*capability)(int device);
	/* Whether the range lies in live memory of the device. */
	int (*holds)(int device, uint64_t address, size_t bytes);
	/* Whether something other than zero was ever copied to the allocation. */
	int (*filled)(int device, uint64_t address);
	double (*rate)(int device, const char *name);
	/* Adds to a stream's time; 0 when it is no stream of the device. */
	int (*queue)(int device, void *stream, double seconds);
	void (*count)(const char *name);
};

#endif
