/*
 * A FAKE libcufile.so.0 for tests. Reads go to a bounce buffer and nowhere else;
 * the device's memory is not looked at. FAKE_CUFILE_DIRECT says whether the
 * machine has GPUDirect Storage; compatibility mode is on until it is turned off.
 */
#define _GNU_SOURCE
#include "fakecuda.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef FAKE_CUFILE_DIRECT
#define FAKE_CUFILE_DIRECT 1
#endif

struct error { int code, driver; };
struct properties { unsigned major, minor; size_t poll, direct; unsigned status, flags; };
struct description { int kind; union { int descriptor; void *handle; } file; const void *operations; };

static int opened, compatible = 1;

static struct error result(int code) { return (struct error){code, 0}; }

FAKE_EXPORT struct error cuFileSetParameterBool(int parameter, bool value) {
	if (opened) return result(5005);
	if (parameter == 1) compatible = value;
	return result(0);
}

FAKE_EXPORT struct error cuFileDriverOpen(void) {
	if (!FAKE_CUFILE_DIRECT && !compatible) return result(5003);
	opened = 1;
	return result(0);
}

FAKE_EXPORT struct error cuFileDriverClose_v2(void) {
	opened = 0;
	return result(0);
}

FAKE_EXPORT struct error cuFileDriverGetProperties(struct properties *p) {
	*p = (struct properties){.major = 2, .minor = 17, .status = 1u << 4, .flags = compatible ? 1u << 1 : 0};
	return result(0);
}

FAKE_EXPORT struct error cuFileHandleRegister(int **handle, const struct description *description) {
	if (!opened || description->kind != 1) return result(5001);
	*handle = malloc(sizeof **handle);
	**handle = description->file.descriptor;
	return result(0);
}

FAKE_EXPORT void cuFileHandleDeregister(int *handle) { free(handle); }
FAKE_EXPORT struct error cuFileBufRegister(uint64_t address, size_t bytes, int flags) { return result(!address || !bytes || flags ? 5022 : 0); }
FAKE_EXPORT struct error cuFileBufDeregister(uint64_t address) { return result(address ? 0 : 5022); }

FAKE_EXPORT ssize_t cuFileRead(int *handle, uint64_t address, size_t bytes, off_t offset, off_t buffer_offset) {
	void *bounce;
	if (!address || buffer_offset || posix_memalign(&bounce, 4096, bytes)) return -5022;
	ssize_t got = pread(*handle, bounce, bytes, offset);
	free(bounce);
	return got;
}
