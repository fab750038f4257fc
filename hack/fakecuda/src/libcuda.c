/*
 * A FAKE libcuda.so.1 for tests. It has the functions that the node agent calls,
 * with the arguments and error codes of the real driver: calls without cuInit or
 * without a current context fail, and so do unknown handles and ranges outside of
 * an allocation. Machine and faults are read from fakecuda.txt beside the library:
 *
 *   driver 12040                     the version
 *   device UUID CAPABILITY MIB NAME  one GPU, such as: device 0011..ff 90 81559 Fake
 *   slice I UUID                     device I is a MIG slice with this UUID
 *   rate I NAME VALUE                bf16, fp8 (TFLOPS); memory, host, peer (GB/s)
 *   pair I J VALUE                   GB/s from I to J, 0 for no access
 *   used I MIB                       memory that other processes hold
 *   fail FUNCTION CODE [AFTER]       fails after so many good calls
 *   block FUNCTION [AFTER]           does not return
 *   elapsed VALUE                    what every stopwatch shows, in ms: 0, -1, nan, inf
 *   notready N                       so many looks at an event say "not ready"; -1 for all
 *   jitter PERCENT                   how much the rate of a piece of work varies
 */
#define _GNU_SOURCE
#include "fakecuda.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
	INVALID_CONTEXT = 201, PEER_UNSUPPORTED = 217, INVALID_HANDLE = 400, NOT_READY = 600, PEER_ENABLED = 704
};

enum { MAX_DEVICES = 16, MAX_RANGES = 256, MAX_FAULTS = 32, MAX_OBJECTS = 256, MAX_COUNTS = 64 };

struct device {
	unsigned char uuid[16], gpu[16];
	int capability;
	uint64_t memory, used, allocated;
	char name[96];
	double bf16, fp8, bandwidth, host, peer;
	double pair[MAX_DEVICES];
	int enabled[MAX_DEVICES], retained;
};

struct range { int live, device, host, filled; uint64_t start; size_t bytes; };
struct stream { int live, device; double now; };
struct event { int live, device, recorded, looks; double at; };
struct fault { char function[64]; int code, after, blocks; };
struct counter { char name[64]; long value; };

static struct {
	pthread_mutex_t lock;
	int loaded, initialised, version, devices, notready, faults, counters;
	double elapsed, jitter;
	int elapsed_set;
	uint64_t next, chance;
	struct device device[MAX_DEVICES];
	struct range range[MAX_RANGES];
	struct stream stream[MAX_OBJECTS];
	struct event event[MAX_OBJECTS];
	struct fault fault[MAX_FAULTS];
	struct counter counter[MAX_COUNTS];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .version = 12040, .next = 0x7f0000000000ull, .chance = 1};

static __thread int current_device = -1;

static void parse_uuid(const char *text, unsigned char *uuid) {
	for (int i = 0; i < 16; i++) {
		unsigned value = 0;
		while (*text == '-') text++;
		if (sscanf(text, "%2x", &value) == 1) text += 2;
		uuid[i] = value;
	}
}

static void parse_device(const char *line) {
	char uuid[64] = "";
	int capability = 0, mib = 0, name = 0;
	if (fake.devices == MAX_DEVICES || sscanf(line, "device %63s %d %d %n", uuid, &capability, &mib, &name) < 3) return;
	struct device *d = &fake.device[fake.devices++];
	parse_uuid(uuid, d->gpu);
	memcpy(d->uuid, d->gpu, 16);
	d->capability = capability;
	d->memory = (uint64_t)mib << 20;
	snprintf(d->name, sizeof d->name, "%s", line + name);
	d->bf16 = 800, d->fp8 = 1400, d->bandwidth = 4000, d->host = 55, d->peer = 380;
	for (int i = 0; i < MAX_DEVICES; i++) d->pair[i] = -1;
}

static void parse_line(char *line) {
	char word[64] = "", other[64] = "";
	int i = 0, j = 0, count = 0;
	double value = 0;
	line[strcspn(line, "\r\n")] = 0;
	parse_device(line);
	if (sscanf(line, "driver %d", &i) == 1) fake.version = i;
	if (sscanf(line, "slice %d %63s", &i, word) == 2 && i < fake.devices) parse_uuid(word, fake.device[i].uuid);
	if (sscanf(line, "rate %d %63s %lf", &i, word, &value) == 3 && i < fake.devices) {
		struct device *d = &fake.device[i];
		if (!strcmp(word, "bf16")) d->bf16 = value;
		if (!strcmp(word, "fp8")) d->fp8 = value;
		if (!strcmp(word, "memory")) d->bandwidth = value;
		if (!strcmp(word, "host")) d->host = value;
		if (!strcmp(word, "peer")) d->peer = value;
	}
	if (sscanf(line, "pair %d %d %lf", &i, &j, &value) == 3 && i < fake.devices && j < MAX_DEVICES) fake.device[i].pair[j] = value;
	if (sscanf(line, "used %d %d", &i, &j) == 2 && i < fake.devices) fake.device[i].used = (uint64_t)j << 20;
	if (sscanf(line, "elapsed %63s", word) == 1) fake.elapsed = strtod(word, NULL), fake.elapsed_set = 1;
	if (sscanf(line, "notready %d", &i) == 1) fake.notready = i;
	if (sscanf(line, "jitter %lf", &value) == 1) fake.jitter = value;
	int fails = (count = sscanf(line, "fail %63s %d %d", other, &i, &j)) >= 2;
	int blocks = !fails && (count = sscanf(line, "block %63s %d", other, &j) + 1) >= 2;
	if ((fails || blocks) && fake.faults < MAX_FAULTS) {
		struct fault *f = &fake.fault[fake.faults++];
		snprintf(f->function, sizeof f->function, "%s", other);
		f->code = i, f->blocks = blocks, f->after = count == 3 ? j : 0;
	}
}

static void load(void) {
	Dl_info self;
	char path[4096], line[512];
	if (fake.loaded) return;
	fake.loaded = 1;
	if (!dladdr((void *)&load, &self)) return;
	/* The description lies beside the file, not beside a link to it. */
	if (!realpath(self.dli_fname, path)) return;
	char *slash = strrchr(path, '/');
	snprintf(slash, sizeof path - (slash - path), "/fakecuda.txt");
	FILE *file = fopen(path, "r");
	if (!file) return;
	while (fgets(line, sizeof line, file)) parse_line(line);
	fclose(file);
}

static void count(const char *name, long by) {
	for (int i = 0; i < MAX_COUNTS; i++) {
		struct counter *c = &fake.counter[i];
		if (i == fake.counters) snprintf(c->name, sizeof c->name, "%s", name), fake.counters++;
		if (!strcmp(c->name, name)) {
			c->value += by;
			return;
		}
	}
}

/* Called with the lock held; gives it up before it blocks. */
static int fault(const char *function) {
	load();
	for (int i = 0; i < fake.faults; i++) {
		struct fault *f = &fake.fault[i];
		if (strcmp(f->function, function)) continue;
		if (f->after-- > 0) continue;
		f->after = 0;
		if (!f->blocks) return f->code;
		pthread_mutex_unlock(&fake.lock);
		for (;;) pause();
	}
	return OK;
}

/* The start of every call: faults, then what the real driver checks first. */
static int enter(const char *function, int needs_context) {
	pthread_mutex_lock(&fake.lock);
	int code = fault(function);
	if (code) return code;
	if (!fake.initialised) return NOT_INITIALIZED;
	if (needs_context && (current_device < 0 || !fake.device[current_device].retained)) return INVALID_CONTEXT;
	return OK;
}

static int leave(int code) {
	pthread_mutex_unlock(&fake.lock);
	return code;
}

#define ENTER(needs_context)                                   \
	int entered = enter(__func__, needs_context);          \
	if (entered) return leave(entered)

/* A rate that varies in a way that is the same in every run. */
static double vary(double rate) {
	fake.chance = fake.chance * 6364136223846793005ull + 1442695040888963407ull;
	double part = (double)(fake.chance >> 40) / (1 << 24);
	return rate * (1 + fake.jitter / 100 * (part - 0.5));
}

static struct range *find(int host, uint64_t address, size_t bytes) {
	for (int i = 0; i < MAX_RANGES; i++) {
		struct range *r = &fake.range[i];
		if (r->live && r->host == host && address >= r->start && address - r->start < r->bytes && bytes <= r->bytes - (address - r->start)) return r;
	}
	return NULL;
}

static struct range *fresh(void) {
	for (int i = 0; i < MAX_RANGES; i++)
		if (!fake.range[i].live) return &fake.range[i];
	return NULL;
}

static struct stream *stream_of(void *handle) {
	struct stream *s = handle;
	return s >= fake.stream && s < fake.stream + MAX_OBJECTS && s->live ? s : NULL;
}

static struct event *event_of(void *handle) {
	struct event *e = handle;
	return e >= fake.event && e < fake.event + MAX_OBJECTS && e->live ? e : NULL;
}

static int valid(int device) { return device >= 0 && device < fake.devices; }

/* The context of a device is a pointer to it. */
static int context_of(void *handle) {
	struct device *d = handle;
	return d >= fake.device && d < fake.device + fake.devices ? (int)(d - fake.device) : -1;
}

FAKE_EXPORT int cuInit(unsigned flags) {
	pthread_mutex_lock(&fake.lock);
	int code = fault(__func__);
	if (code) return leave(code);
	if (flags) return leave(INVALID_VALUE);
	if (!fake.devices) return leave(NO_DEVICE);
	fake.initialised = 1;
	return leave(OK);
}

FAKE_EXPORT int cuDriverGetVersion(int *version) {
	pthread_mutex_lock(&fake.lock);
	int code = fault(__func__);
	*version = fake.version;
	return leave(code);
}

FAKE_EXPORT int cuGetErrorName(int code, const char **name) {
	static const struct { int code; const char *name; } names[] = {
		{INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
		{NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"}, {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
		{INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"}, {214, "CUDA_ERROR_ECC_UNCORRECTABLE"},
		{PEER_UNSUPPORTED, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED"}, {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
		{803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}, {999, "CUDA_ERROR_UNKNOWN"},
	};
	*name = NULL;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].code == code) *name = names[i].name;
	return *name ? OK : INVALID_VALUE;
}

FAKE_EXPORT int cuDeviceGetCount(int *count) { ENTER(0); *count = fake.devices; return leave(OK); }

FAKE_EXPORT int cuDeviceGet(int *device, int ordinal) {
	ENTER(0);
	if (!valid(ordinal)) return leave(INVALID_DEVICE);
	*device = ordinal;
	return leave(OK);
}

FAKE_EXPORT int cuDeviceGetName(char *name, int length, int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	snprintf(name, length, "%s", fake.device[device].name);
	return leave(OK);
}

FAKE_EXPORT int cuDeviceGetUuid(unsigned char *uuid, int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	memcpy(uuid, fake.device[device].gpu, 16);
	return leave(OK);
}

FAKE_EXPORT int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	memcpy(uuid, fake.device[device].uuid, 16);
	return leave(OK);
}

FAKE_EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	*bytes = fake.device[device].memory;
	return leave(OK);
}

FAKE_EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	switch (attribute) {
	case 38: *value = 50 << 20; break;
	case 75: *value = fake.device[device].capability / 10; break;
	case 76: *value = fake.device[device].capability % 10; break;
	default: return leave(INVALID_VALUE);
	}
	return leave(OK);
}

FAKE_EXPORT int cuDeviceGetPCIBusId(char *text, int length, int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	snprintf(text, length, "0000:%02X:00.0", 0x1a + device);
	return leave(OK);
}

static double pair_rate(int from, int to) {
	struct device *d = &fake.device[from];
	return d->pair[to] >= 0 ? d->pair[to] : d->peer;
}

FAKE_EXPORT int cuDeviceCanAccessPeer(int *can, int from, int to) {
	ENTER(0);
	if (!valid(from) || !valid(to)) return leave(INVALID_DEVICE);
	*can = from != to && pair_rate(from, to) > 0;
	return leave(OK);
}

FAKE_EXPORT int cuCtxEnablePeerAccess(void *peer, unsigned flags) {
	ENTER(1);
	int to = context_of(peer);
	if (flags) return leave(INVALID_VALUE);
	if (to < 0 || !fake.device[to].retained) return leave(INVALID_CONTEXT);
	if (pair_rate(current_device, to) <= 0) return leave(PEER_UNSUPPORTED);
	if (fake.device[current_device].enabled[to]++) return leave(PEER_ENABLED);
	return leave(OK);
}

FAKE_EXPORT int cuDevicePrimaryCtxRetain(void **context, int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	fake.device[device].retained++;
	*context = &fake.device[device];
	count("contexts", 1);
	return leave(OK);
}

FAKE_EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
	ENTER(0);
	if (!valid(device)) return leave(INVALID_DEVICE);
	if (!fake.device[device].retained) return leave(INVALID_CONTEXT);
	if (!--fake.device[device].retained) memset(fake.device[device].enabled, 0, sizeof fake.device[device].enabled);
	count("contexts", -1);
	return leave(OK);
}

FAKE_EXPORT int cuCtxSetCurrent(void *context) {
	ENTER(0);
	if (!context) {
		current_device = -1;
		return leave(OK);
	}
	if (context_of(context) < 0) return leave(INVALID_CONTEXT);
	current_device = context_of(context);
	return leave(OK);
}

FAKE_EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
	ENTER(1);
	struct device *d = &fake.device[current_device];
	*total = d->memory;
	*free_bytes = d->memory - d->used - d->allocated;
	return leave(OK);
}

FAKE_EXPORT int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
	ENTER(1);
	struct device *d = &fake.device[current_device];
	struct range *r = fresh();
	if (!bytes) return leave(INVALID_VALUE);
	if (!r || bytes > d->memory - d->used - d->allocated) return leave(OUT_OF_MEMORY);
	d->allocated += bytes;
	*r = (struct range){.live = 1, .device = current_device, .start = fake.next, .bytes = bytes};
	*address = r->start;
	fake.next += (bytes + 0x1fffff) & ~0x1fffffull;
	count("memory", 1);
	return leave(OK);
}

FAKE_EXPORT int cuMemFree_v2(uint64_t address) {
	ENTER(1);
	struct range *r = find(0, address, 0);
	if (!r || r->start != address) return leave(INVALID_VALUE);
	r->live = 0;
	fake.device[r->device].allocated -= r->bytes;
	count("memory", -1);
	return leave(OK);
}

FAKE_EXPORT int cuMemAllocHost_v2(void **address, size_t bytes) {
	ENTER(1);
	struct range *r = fresh();
	if (!bytes) return leave(INVALID_VALUE);
	/* Aligned like the real one, for reads past the page cache. */
	if (!r || posix_memalign(address, 4096, bytes)) return leave(OUT_OF_MEMORY);
	*r = (struct range){.live = 1, .host = 1, .start = (uint64_t)*address, .bytes = bytes};
	count("host memory", 1);
	return leave(OK);
}

FAKE_EXPORT int cuMemFreeHost(void *address) {
	ENTER(1);
	struct range *r = find(1, (uint64_t)address, 0);
	if (!r || r->start != (uint64_t)address) return leave(INVALID_VALUE);
	r->live = 0;
	free(address);
	count("host memory", -1);
	return leave(OK);
}

/* The stream must belong to the current device, as a real one must. */
static int work(void *stream, double seconds) {
	struct stream *s = stream_of(stream);
	if (!s) return INVALID_HANDLE;
	if (s->device != current_device) return INVALID_HANDLE;
	s->now += seconds + 5e-6;
	return OK;
}

FAKE_EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
	ENTER(1);
	struct range *r = find(0, to, bytes);
	if (!r || !find(1, (uint64_t)from, bytes)) return leave(INVALID_VALUE);
	const unsigned char *data = from;
	for (size_t i = 0; i < bytes && i < 4096 && !r->filled; i++) r->filled = data[i] != 0;
	return leave(work(stream, bytes / (vary(fake.device[current_device].host) * 1e9)));
}

FAKE_EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
	ENTER(1);
	struct range *target = find(0, to, bytes), *source = find(0, from, bytes);
	if (!target || !source) return leave(INVALID_VALUE);
	target->filled |= source->filled;
	/* Each byte is read and written. */
	return leave(work(stream, 2 * bytes / (vary(fake.device[current_device].bandwidth) * 1e9)));
}

FAKE_EXPORT int cuMemcpyPeerAsync(uint64_t to, void *to_context, uint64_t from, void *from_context, size_t bytes, void *stream) {
	ENTER(1);
	struct range *target = find(0, to, bytes), *source = find(0, from, bytes);
	int i = context_of(from_context), j = context_of(to_context);
	if (i < 0 || j < 0) return leave(INVALID_CONTEXT);
	if (!target || !source || target->device != j || source->device != i) return leave(INVALID_VALUE);
	/* Without peer access the copy goes through the host. */
	double rate = fake.device[i].enabled[j] ? pair_rate(i, j) : fake.device[i].host / 2;
	if (!fake.device[i].enabled[j]) count("staged peer copies", 1);
	return leave(work(stream, bytes / (vary(rate) * 1e9)));
}

FAKE_EXPORT int cuStreamCreate(void **stream, unsigned flags) {
	ENTER(1);
	if (flags > 1) return leave(INVALID_VALUE);
	for (int i = 0; i < MAX_OBJECTS; i++) {
		if (fake.stream[i].live) continue;
		fake.stream[i] = (struct stream){.live = 1, .device = current_device};
		*stream = &fake.stream[i];
		count("streams", 1);
		return leave(OK);
	}
	return leave(OUT_OF_MEMORY);
}

FAKE_EXPORT int cuStreamDestroy_v2(void *stream) {
	ENTER(1);
	if (!stream_of(stream)) return leave(INVALID_HANDLE);
	stream_of(stream)->live = 0;
	count("streams", -1);
	return leave(OK);
}

FAKE_EXPORT int cuEventCreate(void **event, unsigned flags) {
	ENTER(1);
	if (flags > 7) return leave(INVALID_VALUE);
	for (int i = 0; i < MAX_OBJECTS; i++) {
		if (fake.event[i].live) continue;
		fake.event[i] = (struct event){.live = 1, .device = current_device};
		*event = &fake.event[i];
		count("events", 1);
		return leave(OK);
	}
	return leave(OUT_OF_MEMORY);
}

FAKE_EXPORT int cuEventDestroy_v2(void *event) {
	ENTER(1);
	if (!event_of(event)) return leave(INVALID_HANDLE);
	event_of(event)->live = 0;
	count("events", -1);
	return leave(OK);
}

FAKE_EXPORT int cuEventRecord(void *event, void *stream) {
	ENTER(1);
	struct event *e = event_of(event);
	struct stream *s = stream_of(stream);
	if (!e || !s || e->device != s->device) return leave(INVALID_HANDLE);
	e->at = s->now, e->recorded = 1, e->looks = 0;
	return leave(OK);
}

FAKE_EXPORT int cuEventQuery(void *event) {
	ENTER(0);
	struct event *e = event_of(event);
	if (!e) return leave(INVALID_HANDLE);
	if (fake.notready < 0 || e->looks++ < fake.notready) return leave(NOT_READY);
	return leave(OK);
}

FAKE_EXPORT int cuEventElapsedTime(float *milliseconds, void *start, void *end) {
	ENTER(0);
	struct event *a = event_of(start), *b = event_of(end);
	if (!a || !b || !a->recorded || !b->recorded) return leave(INVALID_HANDLE);
	*milliseconds = fake.elapsed_set ? fake.elapsed : (b->at - a->at) * 1e3;
	return leave(OK);
}

/* Below is no part of CUDA. */

static int hook_fault(const char *function) {
	pthread_mutex_lock(&fake.lock);
	return leave(fault(function));
}
static int hook_current(void) { return current_device; }
static int hook_capability(int device) { return fake.device[device].capability; }
static int hook_holds(int device, uint64_t address, size_t bytes) {
	pthread_mutex_lock(&fake.lock);
	struct range *r = find(0, address, bytes);
	return leave(r && r->device == device);
}
static int hook_filled(int device, uint64_t address) {
	(void)device;
	pthread_mutex_lock(&fake.lock);
	struct range *r = find(0, address, 0);
	return leave(r && r->filled);
}
static double hook_rate(int device, const char *name) {
	pthread_mutex_lock(&fake.lock);
	double rate = vary(strcmp(name, "fp8") ? fake.device[device].bf16 : fake.device[device].fp8);
	pthread_mutex_unlock(&fake.lock);
	return rate;
}
static int hook_queue(int device, void *stream, double seconds) {
	pthread_mutex_lock(&fake.lock);
	struct stream *s = stream_of(stream);
	if (s && s->device == device) s->now += seconds + 5e-6;
	return leave(s && s->device == device);
}
static void hook_count(const char *name) {
	pthread_mutex_lock(&fake.lock);
	count(name, 1);
	pthread_mutex_unlock(&fake.lock);
}

FAKE_EXPORT const struct fakecuda_hooks *fakecuda_hooks(void) {
	static const struct fakecuda_hooks hooks = {
		hook_fault, hook_current, hook_capability, hook_holds, hook_filled, hook_rate, hook_queue, hook_count,
	};
	return &hooks;
}

/* How many things of a kind are alive ("memory", "contexts", ...), or were seen. */
FAKE_EXPORT long fakecuda_count(const char *name) {
	long value = 0;
	pthread_mutex_lock(&fake.lock);
	for (int i = 0; i < fake.counters; i++)
		if (!strcmp(fake.counter[i].name, name)) value = fake.counter[i].value;
	pthread_mutex_unlock(&fake.lock);
	return value;
}
