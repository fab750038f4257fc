/* FAKE: see fakenvml.h. This file keeps the description, and the events that
 * appear in it while the library runs. */
#define _GNU_SOURCE
#include "fakenvml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_PATH = 4096, MAX_SETS = 16 };

struct event_set {
	bool is_used;
	unsigned long long types[MAX_GPUS]; /* what is wanted of each GPU */
	struct event queue[MAX_EVENTS];
	unsigned first, count;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct counter *counters;
static struct description now, next;
static struct stat seen; /* the file that now was read from */
static bool has_description;
static unsigned starts;
static struct event_set sets[MAX_SETS];

void lock(void) { pthread_mutex_lock(&mutex); }
void unlock(void) { pthread_mutex_unlock(&mutex); }
struct description *known(void) { return &now; }
bool is_started(void) { return starts > 0; }

void count_call(struct counter *c) {
	if (c->calls++ == 0) {
		c->next = counters;
		counters = c;
	}
}

/* file_path names the description: $K8S4AI_FAKENVML, or fakenvml.txt next to the
 * library. */
static bool file_path(char out[MAX_PATH]) {
	const char *given = getenv("K8S4AI_FAKENVML");
	if (given != NULL && *given != '\0') {
		return snprintf(out, MAX_PATH, "%s", given) < MAX_PATH;
	}
	Dl_info info;
	if (dladdr((void *)&mutex, &info) == 0 || info.dli_fname == NULL) {
		return false;
	}
	const char *slash = strrchr(info.dli_fname, '/');
	int length = slash != NULL ? (int)(slash - info.dli_fname + 1) : 0;
	return snprintf(out, MAX_PATH, "%.*sfakenvml.txt", length, info.dli_fname) < MAX_PATH;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool is_same_event(const struct event *a, const struct event *b) {
	return a->gpu == b->gpu && a->type == b->type && a->data == b->data;
}

/* occurrences counts an event among the first n of a description. */
static unsigned occurrences(const struct description *d, unsigned n, const struct event *event) {
	unsigned count = 0;
	for (unsigned i = 0; i < n; i++) {
		count += is_same_event(&d->events[i], event);
	}
	return count;
}

static void deliver(const struct event *event) {
	for (unsigned i = 0; i < MAX_SETS; i++) {
		struct event_set *set = &sets[i];
		if (set->is_used && (set->types[event->gpu] & event->type) != 0 && set->count < MAX_EVENTS) {
			set->queue[(set->first + set->count++) % MAX_EVENTS] = *event;
		}
	}
}

/* deliver_new delivers the events of next that now does not have. */
static void deliver_new(void) {
	for (unsigned i = 0; i < next.event_count; i++) {
		const struct event *event = &next.events[i];
		if (occurrences(&next, i + 1, event) > occurrences(&now, now.event_count, event)) {
			deliver(event);
		}
	}
}

bool reload(void) {
	static char text[MAX_FILE];
	char path[MAX_PATH];
	if (!file_path(path)) {
		return has_description;
	}
	FILE *file = fopen(path, "rb");
	if (file == NULL) {
		return has_description;
	}
	struct stat stat;
	bool is_new = fstat(fileno(file), &stat) == 0 && S_ISREG(stat.st_mode) && !(has_description && is_same_file(&stat, &seen));
	if (is_new) {
		size_t size = fread(text, 1, sizeof text, file);
		describe(&next, text, size);
		if (has_description) {
			deliver_new();
		}
		memcpy(&now, &next, sizeof now);
		seen = stat;
		has_description = true;
	}
	fclose(file);
	return has_description;
}

unsigned find_failure(unsigned gpu, const char *symbol) {
	for (unsigned i = 0; i < now.failure_count; i++) {
		const struct failure *f = &now.failures[i];
		if (f->gpu == gpu && (strcmp(f->symbol, "*") == 0 || strcmp(f->symbol, symbol) == 0)) {
			return f->code;
		}
	}
	return OK;
}

unsigned start(void) {
	if (!reload()) {
		return DRIVER_NOT_LOADED;
	}
	if (now.init == OK) {
		starts++;
	}
	return now.init;
}

/* write_counters writes how often each function was called to the file that
 * $K8S4AI_FAKENVML_CALLS names. */
static void write_counters(void) {
	const char *path = getenv("K8S4AI_FAKENVML_CALLS");
	if (path == NULL || *path == '\0') {
		return;
	}
	FILE *file = fopen(path, "w");
	if (file == NULL) {
		return;
	}
	for (struct counter *c = counters; c != NULL; c = c->next) {
		fprintf(file, "%s %llu\n", c->symbol, c->calls);
	}
	fclose(file);
}

unsigned stop(void) {
	if (starts == 0) {
		return UNINITIALIZED;
	}
	starts--;
	write_counters();
	return OK;
}

struct event_set *new_event_set(void) {
	for (unsigned i = 0; i < MAX_SETS; i++) {
		if (!sets[i].is_used) {
			memset(&sets[i], 0, sizeof sets[i]);
			sets[i].is_used = true;
			return &sets[i];
		}
	}
	return NULL;
}

bool is_event_set(const struct event_set *set) {
	for (unsigned i = 0; i < MAX_SETS; i++) {
		if (set == &sets[i]) {
			return set->is_used;
		}
	}
	return false;
}

void free_event_set(struct event_set *set) { set->is_used = false; }

void register_events(struct event_set *set, unsigned gpu, unsigned long long types) { set->types[gpu] |= types; }

bool is_registered(const struct event_set *set, unsigned gpu) { return set->types[gpu] != 0; }

bool next_event(struct event_set *set, struct event *event) {
	if (set->count == 0) {
		return false;
	}
	*event = set->queue[set->first];
	set->first = (set->first + 1) % MAX_EVENTS;
	set->count--;
	return true;
}
