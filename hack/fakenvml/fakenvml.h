/*
 * FAKE. This library stands in for NVIDIA's libnvidia-ml.so.1 in tests. It reads
 * no device: every answer comes from a text file, which README.md describes.
 */
#ifndef FAKENVML_H
#define FAKENVML_H

#include <stdbool.h>
#include <stddef.h>

/* Bounds. What is beyond them in a description is left out. */
enum {
	MAX_FILE = 1 << 20, /* bytes */
	MAX_LINE = 1024,    /* bytes */
	MAX_WORDS = 16,
	MAX_TEXT = 96, /* bytes of a name or UUID with its end */
	MAX_GPUS = 64,
	MAX_LINKS = 36,
	MAX_PROFILES = 18,
	MAX_INSTANCES = 16,
	MAX_PROCESSES = 32,
	MAX_FAULTS = 256, /* of each kind */
	MAX_EVENTS = 256,
};

/* What a description does not say. Calls for it answer "not supported". */
#define UNSET (~0ULL)

/* The answers of calls that this library uses itself. */
enum {
	OK = 0,
	UNINITIALIZED = 1,
	INVALID_ARGUMENT = 2,
	NOT_SUPPORTED = 3,
	NOT_FOUND = 6,
	INSUFFICIENT_SIZE = 7,
	DRIVER_NOT_LOADED = 9,
	TIMED_OUT = 10,
	GPU_IS_LOST = 15,
	VERSION_MISMATCH = 25,
};

/* What the other end of a link is, in the library's numbers. */
enum { END_GPU = 0, END_NPU = 1, END_SWITCH = 2, END_UNKNOWN = 255 };

enum { EVENT_XID = 8 };

struct link {
	bool down;
	unsigned end;
	unsigned gpu;              /* for END_GPU */
	char address[MAX_TEXT];    /* for END_SWITCH and END_NPU */
	unsigned long long version; /* the library's number */
};

struct profile {
	char name[MAX_TEXT]; /* "" when the device does not offer it */
	unsigned long long slices, megabytes;
};

struct instance {
	unsigned long long slices, compute_slices, megabytes;
};

/* A process with work on a GPU. */
struct process {
	unsigned pid;
	unsigned long long bytes; /* UNSET when the driver cannot tell */
};

struct gpu {
	char uuid[MAX_TEXT], name[MAX_TEXT], pci[MAX_TEXT], rack[MAX_TEXT];
	unsigned long long pci_device; /* device << 16 | vendor */
	unsigned long long memory_total, memory_reserved, memory_used;
	unsigned long long cc_major, cc_minor;
	unsigned long long numa;
	unsigned long long mig;
	unsigned long long temperature, throttle, utilisation;
	unsigned long long ecc, remap_pending, remap_failure, recovery;
	unsigned long long events;
	unsigned long long link_count, link_mbps;
	unsigned long long c2c_count, c2c_mbps, c2c_down;
	unsigned long long fabric_api, fabric_state, fabric_status, fabric_clique, fabric_mask, fabric_summary;
	unsigned char fabric_uuid[16];
	struct link links[MAX_LINKS];
	struct profile profiles[MAX_PROFILES];
	struct instance instances[MAX_INSTANCES];
	unsigned instance_count;
	struct process processes[MAX_PROCESSES];
	unsigned process_count;
};

/* How one GPU sees another one, in the library's numbers. */
struct pair {
	unsigned ancestor, read, nvlink;
};

/* A call that fails. */
struct failure {
	unsigned gpu;
	char symbol[MAX_TEXT]; /* "*" for every call */
	unsigned code;
};

/* A field value that is answered as it stands, however little sense it makes. */
struct field {
	unsigned gpu, id, code, type;
	unsigned long long value;
};

struct event {
	unsigned gpu;
	unsigned long long type, data;
};

struct description {
	char driver[MAX_TEXT];
	unsigned init;               /* the answer of nvmlInit */
	unsigned gpu_count;          /* GPUs that are described */
	unsigned long long claimed;  /* what nvmlDeviceGetCount says, UNSET for gpu_count */
	struct gpu gpus[MAX_GPUS];
	struct pair pairs[MAX_GPUS][MAX_GPUS];
	struct failure failures[MAX_FAULTS];
	unsigned failure_count;
	struct field fields[MAX_FAULTS];
	unsigned field_count;
	struct event events[MAX_EVENTS];
	unsigned event_count;
};

/* A counter of the calls of one function. */
struct counter {
	const char *symbol;
	unsigned long long calls;
	struct counter *next;
};

/* describe.c: fills d from size bytes of text, which may be anything. */
void describe(struct description *d, const char *text, size_t size);

/* state.c: what is known now. All but lock are called with the lock held. */
void lock(void);
void unlock(void);
void count_call(struct counter *c);
bool reload(void); /* false when there is no description */
struct description *known(void);
unsigned find_failure(unsigned gpu, const char *symbol); /* OK for none */
unsigned start(void);
unsigned stop(void);
bool is_started(void);

struct event_set;
struct event_set *new_event_set(void);
bool is_event_set(const struct event_set *set);
void free_event_set(struct event_set *set);
void register_events(struct event_set *set, unsigned gpu, unsigned long long types);
bool is_registered(const struct event_set *set, unsigned gpu);
bool next_event(struct event_set *set, struct event *event);

#endif
