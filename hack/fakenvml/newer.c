/*
 * FAKE: see fakenvml.h. This file holds the functions that drivers after the R450
 * branch have. The library of an old driver is built without it.
 */
#include "calls.h"

#include <stdio.h>
#include <string.h>

/* What the functions exchange, as laid out by NVIDIA's interface. */
typedef struct { unsigned version; unsigned long long total, reserved, available, used; } memory_info_2;
typedef struct { unsigned processors, copy, decoders, encoders, jpeg, ofa, slices, compute_slices; unsigned long long megabytes; } attributes;
typedef struct { unsigned version, id, p2p, slices, instances, processors, copy, decoders, encoders, jpeg, ofa; unsigned long long megabytes; char name[96]; } profile_info_2;
typedef struct { unsigned char cluster[16]; unsigned status, clique; unsigned char state; } fabric_info;
typedef struct { unsigned version; unsigned char cluster[16]; unsigned status, clique; unsigned char state; unsigned mask; } fabric_info_2;
typedef struct { unsigned version; unsigned char cluster[16]; unsigned status, clique; unsigned char state; unsigned mask; unsigned char summary; } fabric_info_3;
typedef struct { unsigned version; unsigned char guid[16], rack[16], slot, tray, host, peer, module; } platform_info;
typedef struct { unsigned version, sensor; int degrees; } temperature;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } process_info_2;

/* sized reads the size out of the version of a structure. */
static unsigned sized(unsigned version) { return version & 0xffffff; }

EXPORT unsigned nvmlDeviceGetMemoryInfo_v2(handle *device, memory_info_2 *out) {
	BEGIN_GPU(device);
	if (sized(out->version) != sizeof *out) {
		END(VERSION_MISMATCH);
	}
	if (g->memory_total == UNSET) {
		END(NOT_SUPPORTED);
	}
	*out = (memory_info_2){out->version, g->memory_total, g->memory_reserved, g->memory_total - g->memory_used - g->memory_reserved, g->memory_used};
	END(OK);
}

EXPORT unsigned nvmlDeviceGetMemoryAffinity(handle *device, unsigned size, unsigned long *set, unsigned scope) {
	BEGIN_GPU(device);
	if (g->numa == UNSET) {
		END(NOT_SUPPORTED);
	}
	if (scope != 0 || g->numa / 64 >= size) {
		END(INVALID_ARGUMENT);
	}
	memset(set, 0, size * sizeof *set);
	set[g->numa / 64] = 1UL << g->numa % 64;
	END(OK);
}

EXPORT unsigned nvmlDeviceGetAttributes_v2(handle *device, attributes *out) {
	BEGIN_GPU(device);
	if (device->instance < 0 || (unsigned)device->instance >= g->instance_count) {
		END(NOT_SUPPORTED);
	}
	const struct instance *i = &g->instances[device->instance];
	*out = (attributes){.slices = (unsigned)i->slices, .compute_slices = (unsigned)i->compute_slices, .megabytes = i->megabytes};
	END(OK);
}

EXPORT unsigned nvmlDeviceGetGpuInstanceProfileInfoV(handle *device, unsigned profile, profile_info_2 *out) {
	BEGIN_GPU(device);
	if (sized(out->version) != sizeof *out) {
		END(VERSION_MISMATCH);
	}
	if (profile >= MAX_PROFILES || g->profiles[profile].name[0] == '\0') {
		END(NOT_SUPPORTED);
	}
	const struct profile *p = &g->profiles[profile];
	*out = (profile_info_2){.version = out->version, .id = profile, .slices = (unsigned)p->slices, .megabytes = p->megabytes};
	snprintf(out->name, sizeof out->name, "MIG %.90s", p->name);
	END(OK);
}

EXPORT unsigned nvmlDeviceGetNvLinkRemoteDeviceType(handle *device, unsigned link, unsigned *out) {
	BEGIN_GPU(device);
	struct link *l = NULL;
	unsigned code = find_link(g, link, &l);
	if (code == OK) {
		*out = l->end;
	}
	END(code);
}

EXPORT unsigned nvmlDeviceGetCurrentClocksEventReasons(handle *device, unsigned long long *out) {
	BEGIN_GPU(device);
	END(give_long(g->throttle, out));
}

EXPORT unsigned nvmlDeviceGetGpuFabricInfo(handle *device, fabric_info *out) {
	BEGIN_GPU(device);
	if (g->fabric_state == UNSET) {
		END(NOT_SUPPORTED);
	}
	memcpy(out->cluster, g->fabric_uuid, sizeof out->cluster);
	out->status = (unsigned)g->fabric_status;
	out->clique = (unsigned)g->fabric_clique;
	out->state = (unsigned char)g->fabric_state;
	END(OK);
}

EXPORT unsigned nvmlDeviceGetGpuFabricInfoV(handle *device, fabric_info_3 *out) {
	BEGIN_GPU(device);
	unsigned form = out->version >> 24;
	if (form > g->fabric_api || !((form == 2 && sized(out->version) == sizeof(fabric_info_2)) ||
	                              (form == 3 && sized(out->version) == sizeof(fabric_info_3)))) {
		END(VERSION_MISMATCH);
	}
	if (g->fabric_state == UNSET) {
		END(NOT_SUPPORTED);
	}
	/* The second form is the beginning of the third. */
	memcpy(out->cluster, g->fabric_uuid, sizeof out->cluster);
	out->status = (unsigned)g->fabric_status;
	out->clique = (unsigned)g->fabric_clique;
	out->state = (unsigned char)g->fabric_state;
	out->mask = (unsigned)g->fabric_mask;
	if (form == 3) {
		out->summary = (unsigned char)g->fabric_summary;
	}
	END(OK);
}

/* The third form of the function has the second form of the structure. */
EXPORT unsigned nvmlDeviceGetComputeRunningProcesses_v3(handle *device, unsigned *count, process_info_2 *out) {
	BEGIN_GPU(device);
	unsigned room = *count;
	*count = g->process_count;
	if (room < g->process_count) {
		END(INSUFFICIENT_SIZE);
	}
	for (unsigned i = 0; i < g->process_count; i++) {
		out[i] = (process_info_2){g->processes[i].pid, g->processes[i].bytes, 0xffffffff, 0xffffffff};
	}
	END(OK);
}

EXPORT unsigned nvmlDeviceGetPlatformInfo(handle *device, platform_info *out) {
	BEGIN_GPU(device);
	if (sized(out->version) != sizeof *out) {
		END(VERSION_MISMATCH);
	}
	if (g->rack[0] == '\0') {
		END(NOT_SUPPORTED);
	}
	*out = (platform_info){.version = out->version};
	size_t length = strlen(g->rack);
	memcpy(out->rack, g->rack, length < sizeof out->rack ? length : sizeof out->rack);
	END(OK);
}

EXPORT unsigned nvmlDeviceGetTemperatureV(handle *device, temperature *out) {
	BEGIN_GPU(device);
	if (sized(out->version) != sizeof *out) {
		END(VERSION_MISMATCH);
	}
	if (g->temperature == UNSET) {
		END(NOT_SUPPORTED);
	}
	out->degrees = (int)g->temperature;
	END(out->sensor == 0 ? OK : INVALID_ARGUMENT);
}
