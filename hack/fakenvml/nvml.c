/*
 * FAKE: see fakenvml.h. This file holds the functions that the project's reader
 * calls and that drivers of the R450 branch have, under their names in NVIDIA's
 * library, and no other ones: a call to another function ends the process, so
 * that tests find it.
 */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What the functions exchange, as laid out by NVIDIA's interface. */
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32]; } pci_info;
typedef struct { unsigned long long total, available, used; } memory_info;
typedef struct { unsigned id, scope; long long time, latency; unsigned type, code; unsigned long long value; } field_value;
typedef struct { handle *device; unsigned long long type, data; unsigned gpu_instance, compute_instance; } event_data;
typedef struct { unsigned pid; unsigned long long bytes; } process_info;
typedef struct { unsigned device, memory; } utilisation;
typedef struct { unsigned id, p2p, slices, instances, processors, copy, decoders, encoders, jpeg, ofa; unsigned long long megabytes; } profile_info;

static handle handles[MAX_GPUS];
static handle instances[MAX_GPUS][MAX_INSTANCES];

unsigned gpu_of(const handle *h, const char *symbol, struct gpu **out) {
	uintptr_t at = (uintptr_t)h;
	bool is_gpu = at >= (uintptr_t)handles && at < (uintptr_t)(handles + MAX_GPUS);
	bool is_instance = at >= (uintptr_t)instances && at < (uintptr_t)(instances + MAX_GPUS);
	if (!is_started()) {
		return UNINITIALIZED;
	}
	if (!is_gpu && !is_instance) {
		return INVALID_ARGUMENT;
	}
	if (h->index >= known()->gpu_count) {
		return GPU_IS_LOST;
	}
	*out = &known()->gpus[h->index];
	return find_failure(h->index, symbol);
}

static unsigned give_text(const char *text, char *out, unsigned size) {
	size_t length = strlen(text) + 1;
	if (length > size) {
		return INSUFFICIENT_SIZE;
	}
	memcpy(out, text, length);
	return OK;
}

static unsigned give_number(unsigned long long number, unsigned *out) {
	if (number == UNSET) {
		return NOT_SUPPORTED;
	}
	*out = (unsigned)number;
	return OK;
}

unsigned give_long(unsigned long long number, unsigned long long *out) {
	if (number == UNSET) {
		return NOT_SUPPORTED;
	}
	*out = number;
	return OK;
}

/* give_pci fills in an address; the library writes it in upper case, its domain
 * with 8 digits. */
static void give_pci(const char *address, unsigned long long id, pci_info *out) {
	memset(out, 0, sizeof *out);
	unsigned function = 0;
	if (sscanf(address, "%x:%x:%x.%x", &out->domain, &out->bus, &out->device, &function) == 4) {
		snprintf(out->address, sizeof out->address, "%08X:%02X:%02X.%X", out->domain, out->bus & 0xff, out->device & 0xff, function & 0xf);
	} else {
		snprintf(out->address, sizeof out->address, "%.31s", address);
	}
	memcpy(out->legacy, out->address, sizeof out->legacy - 1);
	out->id = (unsigned)id;
}

EXPORT unsigned nvmlInit_v2(void) {
	BEGIN;
	for (unsigned i = 0; i < MAX_GPUS; i++) {
		handles[i] = (handle){i, -1};
		for (int j = 0; j < MAX_INSTANCES; j++) {
			instances[i][j] = (handle){i, j};
		}
	}
	END(start());
}

EXPORT unsigned nvmlShutdown(void) {
	BEGIN;
	END(stop());
}

EXPORT const char *nvmlErrorString(unsigned code) {
	switch (code) {
	case OK: return "Success";
	case NOT_SUPPORTED: return "Not Supported";
	case DRIVER_NOT_LOADED: return "Driver Not Loaded";
	case GPU_IS_LOST: return "GPU is lost";
	default: return "Unknown Error";
	}
}

EXPORT unsigned nvmlSystemGetDriverVersion(char *out, unsigned size) {
	BEGIN;
	END(is_started() ? give_text(known()->driver, out, size) : UNINITIALIZED);
}

EXPORT unsigned nvmlDeviceGetCount_v2(unsigned *out) {
	BEGIN;
	if (!is_started()) {
		END(UNINITIALIZED);
	}
	reload();
	*out = known()->claimed != UNSET ? (unsigned)known()->claimed : known()->gpu_count;
	END(OK);
}

EXPORT unsigned nvmlDeviceGetHandleByIndex_v2(unsigned index, handle **out) {
	BEGIN;
	if (!is_started()) {
		END(UNINITIALIZED);
	}
	if (index >= known()->gpu_count) {
		END(INVALID_ARGUMENT);
	}
	*out = &handles[index];
	END(find_failure(index, __func__));
}

EXPORT unsigned nvmlDeviceGetName(handle *device, char *out, unsigned size) {
	BEGIN_GPU(device);
	END(give_text(g->name, out, size));
}

EXPORT unsigned nvmlDeviceGetUUID(handle *device, char *out, unsigned size) {
	BEGIN_GPU(device);
	END(give_text(g->uuid, out, size));
}

EXPORT unsigned nvmlDeviceGetPciInfo_v3(handle *device, pci_info *out) {
	BEGIN_GPU(device);
	give_pci(g->pci, g->pci_device, out);
	END(OK);
}

EXPORT unsigned nvmlDeviceGetMemoryInfo(handle *device, memory_info *out) {
	BEGIN_GPU(device);
	if (g->memory_total == UNSET) {
		END(NOT_SUPPORTED);
	}
	/* This form counts what is reserved as used. */
	*out = (memory_info){g->memory_total, g->memory_total - g->memory_used - g->memory_reserved, g->memory_used + g->memory_reserved};
	END(OK);
}

EXPORT unsigned nvmlDeviceGetCudaComputeCapability(handle *device, int *major, int *minor) {
	BEGIN_GPU(device);
	if (g->cc_major == UNSET || g->cc_minor == UNSET) {
		END(NOT_SUPPORTED);
	}
	*major = (int)g->cc_major;
	*minor = (int)g->cc_minor;
	END(OK);
}

EXPORT unsigned nvmlDeviceGetTemperature(handle *device, unsigned sensor, unsigned *out) {
	BEGIN_GPU(device);
	END(sensor == 0 ? give_number(g->temperature, out) : INVALID_ARGUMENT);
}

EXPORT unsigned nvmlDeviceGetCurrentClocksThrottleReasons(handle *device, unsigned long long *out) {
	BEGIN_GPU(device);
	END(give_long(g->throttle, out));
}

EXPORT unsigned nvmlDeviceGetComputeRunningProcesses(handle *device, unsigned *count, process_info *out) {
	BEGIN_GPU(device);
	unsigned room = *count;
	*count = g->process_count;
	if (room < g->process_count) {
		END(INSUFFICIENT_SIZE);
	}
	for (unsigned i = 0; i < g->process_count; i++) {
		out[i] = (process_info){g->processes[i].pid, g->processes[i].bytes};
	}
	END(OK);
}

EXPORT unsigned nvmlDeviceGetUtilizationRates(handle *device, utilisation *out) {
	BEGIN_GPU(device);
	out->memory = 0;
	END(give_number(g->utilisation, &out->device));
}

EXPORT unsigned nvmlDeviceGetTotalEccErrors(handle *device, unsigned type, unsigned counter_type, unsigned long long *out) {
	BEGIN_GPU(device);
	END(type == 1 && counter_type == 0 ? give_long(g->ecc, out) : NOT_SUPPORTED);
}

EXPORT unsigned nvmlDeviceGetRemappedRows(handle *device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failure) {
	BEGIN_GPU(device);
	if (g->remap_pending == UNSET || g->remap_failure == UNSET) {
		END(NOT_SUPPORTED);
	}
	*corrected = *uncorrected = 0;
	*pending = (unsigned)g->remap_pending;
	*failure = (unsigned)g->remap_failure;
	END(OK);
}

EXPORT unsigned nvmlDeviceGetMigMode(handle *device, unsigned *current, unsigned *pending) {
	BEGIN_GPU(device);
	*pending = (unsigned)g->mig;
	END(give_number(g->mig, current));
}

EXPORT unsigned nvmlDeviceGetMaxMigDeviceCount(handle *device, unsigned *out) {
	BEGIN_GPU(device);
	*out = g->mig == UNSET ? 0 : 7;
	END(OK);
}

EXPORT unsigned nvmlDeviceGetMigDeviceHandleByIndex(handle *device, unsigned index, handle **out) {
	BEGIN_GPU(device);
	if (g->mig != 1) {
		END(NOT_SUPPORTED);
	}
	if (index >= g->instance_count) {
		END(NOT_FOUND);
	}
	*out = &instances[device->index][index];
	END(OK);
}

EXPORT unsigned nvmlDeviceGetGpuInstanceProfileInfo(handle *device, unsigned profile, profile_info *out) {
	BEGIN_GPU(device);
	if (profile >= MAX_PROFILES || g->profiles[profile].name[0] == '\0') {
		END(NOT_SUPPORTED);
	}
	*out = (profile_info){.id = profile, .slices = (unsigned)g->profiles[profile].slices, .megabytes = g->profiles[profile].megabytes};
	END(OK);
}

EXPORT unsigned nvmlDeviceGetNvLinkState(handle *device, unsigned link, unsigned *out) {
	BEGIN_GPU(device);
	if (link >= g->link_count || link >= MAX_LINKS) {
		END(INVALID_ARGUMENT);
	}
	*out = g->links[link].down ? 0 : 1;
	END(OK);
}

unsigned find_link(struct gpu *g, unsigned link, struct link **out) {
	if (link >= g->link_count || link >= MAX_LINKS) {
		return INVALID_ARGUMENT;
	}
	*out = &g->links[link];
	return (*out)->down ? NOT_SUPPORTED : OK;
}

EXPORT unsigned nvmlDeviceGetNvLinkVersion(handle *device, unsigned link, unsigned *out) {
	BEGIN_GPU(device);
	struct link *l = NULL;
	unsigned code = find_link(g, link, &l);
	if (code == OK) {
		*out = (unsigned)l->version;
	}
	END(code);
}

EXPORT unsigned nvmlDeviceGetNvLinkRemotePciInfo_v2(handle *device, unsigned link, pci_info *out) {
	BEGIN_GPU(device);
	struct link *l = NULL;
	unsigned code = find_link(g, link, &l);
	if (code != OK) {
		END(code);
	}
	if (l->end == END_GPU && l->gpu < known()->gpu_count) {
		give_pci(known()->gpus[l->gpu].pci, known()->gpus[l->gpu].pci_device, out);
		END(OK);
	}
	if (l->address[0] == '\0') {
		END(NOT_SUPPORTED);
	}
	give_pci(l->address, 0, out);
	END(OK);
}

EXPORT unsigned nvmlDeviceGetTopologyCommonAncestor(handle *device, handle *other, unsigned *out) {
	BEGIN_GPU(device);
	struct gpu *to = NULL;
	unsigned code = gpu_of(other, __func__, &to);
	if (code == OK) {
		*out = known()->pairs[device->index][other->index].ancestor;
	}
	END(code);
}

EXPORT unsigned nvmlDeviceGetP2PStatus(handle *device, handle *other, unsigned capability, unsigned *out) {
	BEGIN_GPU(device);
	struct gpu *to = NULL;
	unsigned code = gpu_of(other, __func__, &to);
	if (code != OK) {
		END(code);
	}
	struct pair *p = &known()->pairs[device->index][other->index];
	if (capability != 0 && capability != 2) {
		END(INVALID_ARGUMENT);
	}
	*out = capability == 0 ? p->read : p->nvlink;
	END(OK);
}

/* c2c_is_active says whether a chip-to-chip link carries traffic. */
static bool c2c_is_active(struct gpu *g, unsigned link) { return link >= g->c2c_down; }

static void give_field(struct gpu *g, unsigned index, field_value *f) {
	unsigned long long number = UNSET;
	for (unsigned i = 0; i < known()->field_count; i++) {
		const struct field *given = &known()->fields[i];
		if (given->gpu == index && given->id == f->id) {
			f->code = given->code;
			f->type = given->type;
			f->value = given->value;
			return;
		}
	}
	bool is_c2c = g->c2c_count != UNSET && f->scope < g->c2c_count;
	switch (f->id) {
	case 90: number = g->link_mbps; break;
	case 91: number = g->link_count; break;
	case 164: number = f->scope < g->link_count ? g->link_mbps : UNSET; break;
	case 170: number = g->c2c_count; break;
	case 171: number = is_c2c ? (unsigned long long)c2c_is_active(g, f->scope) : UNSET; break;
	case 172: number = is_c2c ? g->c2c_mbps : UNSET; break;
	case 230: number = g->recovery; break;
	default: break;
	}
	f->type = 1; /* unsigned int */
	f->code = number == UNSET ? NOT_SUPPORTED : OK;
	f->value = number == UNSET ? 0 : (unsigned)number;
}

EXPORT unsigned nvmlDeviceGetFieldValues(handle *device, int count, field_value *values) {
	BEGIN_GPU(device);
	for (int i = 0; i < count; i++) {
		give_field(g, device->index, &values[i]);
	}
	END(OK);
}

EXPORT unsigned nvmlDeviceGetSupportedEventTypes(handle *device, unsigned long long *out) {
	BEGIN_GPU(device);
	END(give_long(g->events, out));
}

EXPORT unsigned nvmlEventSetCreate(struct event_set **out) {
	BEGIN;
	*out = is_started() ? new_event_set() : NULL;
	END(*out != NULL ? OK : UNINITIALIZED);
}

EXPORT unsigned nvmlDeviceRegisterEvents(handle *device, unsigned long long types, struct event_set *set) {
	BEGIN_GPU(device);
	if (!is_event_set(set)) {
		END(INVALID_ARGUMENT);
	}
	if (g->events == UNSET || (types & ~g->events) != 0) {
		END(NOT_SUPPORTED);
	}
	register_events(set, device->index, types);
	END(OK);
}

EXPORT unsigned nvmlEventSetFree(struct event_set *set) {
	BEGIN;
	if (!is_event_set(set)) {
		END(INVALID_ARGUMENT);
	}
	free_event_set(set);
	END(OK);
}

/* look takes the next event or a failure of a registered GPU. */
static unsigned look(struct event_set *set, const char *symbol, event_data *out) {
	if (!is_started() || !is_event_set(set)) {
		return UNINITIALIZED;
	}
	reload();
	struct event event;
	if (next_event(set, &event)) {
		*out = (event_data){&handles[event.gpu], event.type, event.data, 0xffffffff, 0xffffffff};
		return OK;
	}
	for (unsigned i = 0; i < known()->gpu_count; i++) {
		unsigned code = is_registered(set, i) ? find_failure(i, symbol) : OK;
		if (code != OK) {
			return code;
		}
	}
	return TIMED_OUT;
}

EXPORT unsigned nvmlEventSetWait_v2(struct event_set *set, event_data *out, unsigned milliseconds) {
	const unsigned pause = 20; /* milliseconds */
	for (unsigned waited = 0;; waited += pause) {
		BEGIN;
		unsigned code = look(set, __func__, out);
		unlock();
		if (code != TIMED_OUT || waited >= milliseconds) {
			return code;
		}
		nanosleep(&(struct timespec){0, pause * 1000000L}, NULL);
	}
}
