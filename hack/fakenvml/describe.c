/* FAKE: see fakenvml.h. This file reads descriptions. */
#include "fakenvml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A selection of consecutive numbers. */
struct range {
	unsigned first, last;
};

static bool parse_number(const char *word, unsigned long long *out) {
	char *end = NULL;
	errno = 0;
	unsigned long long value = strtoull(word, &end, 0);
	if (errno != 0 || end == word || *end != '\0') {
		return false;
	}
	*out = value;
	return true;
}

static bool parse_small(const char *word, unsigned *out) {
	unsigned long long value = 0;
	if (!parse_number(word, &value) || value > 0xffffffffULL) {
		return false;
	}
	*out = (unsigned)value;
	return true;
}

/* parse_range reads "*", "3" or "0-4". count is how many "*" stands for. */
static bool parse_range(const char *word, unsigned count, unsigned max, struct range *out) {
	if (strcmp(word, "*") == 0) {
		out->first = 0;
		out->last = count - 1;
		return count > 0;
	}
	char first[MAX_TEXT];
	const char *dash = strchr(word, '-');
	size_t length = dash != NULL ? (size_t)(dash - word) : strlen(word);
	if (length >= sizeof first) {
		return false;
	}
	memcpy(first, word, length);
	first[length] = '\0';
	if (!parse_small(first, &out->first)) {
		return false;
	}
	out->last = out->first;
	if (dash != NULL && !parse_small(dash + 1, &out->last)) {
		return false;
	}
	return out->first <= out->last && out->last < max;
}

/* parse_gpus reads a range of GPUs. Numbers bring GPUs into being. */
static bool parse_gpus(struct description *d, const char *word, struct range *out) {
	if (!parse_range(word, d->gpu_count, MAX_GPUS, out)) {
		return false;
	}
	if (out->last >= d->gpu_count) {
		d->gpu_count = out->last + 1;
	}
	return true;
}

static int hex_digit(char c) {
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	if (c >= 'A' && c <= 'F') {
		return c - 'A' + 10;
	}
	return -1;
}

/* copy_text copies text; \xHH stands for any byte. */
static void copy_text(char *out, const char *text) {
	size_t n = 0;
	while (*text != '\0' && n + 1 < MAX_TEXT) {
		if (text[0] == '\\' && text[1] == 'x' && hex_digit(text[2]) >= 0 && hex_digit(text[3]) >= 0) {
			out[n++] = (char)(hex_digit(text[2]) * 16 + hex_digit(text[3]));
			text += 4;
			continue;
		}
		out[n++] = *text++;
	}
	out[n] = '\0';
}

/* parse_uuid reads 32 digits; hyphens do not count. */
static bool parse_uuid(const char *text, unsigned char out[16]) {
	unsigned char value[16] = {0};
	unsigned digits = 0;
	for (; *text != '\0'; text++) {
		if (*text == '-') {
			continue;
		}
		int digit = hex_digit(*text);
		if (digit < 0 || digits == 32) {
			return false;
		}
		value[digits / 2] = (unsigned char)(value[digits / 2] << 4 | digit);
		digits++;
	}
	if (digits != 32) {
		return false;
	}
	memcpy(out, value, 16);
	return true;
}

#define NUMBER(key, member) {key, offsetof(struct gpu, member)}

static const struct {
	const char *key;
	size_t offset;
} number_keys[] = {
	NUMBER("memory-total", memory_total),
	NUMBER("memory-reserved", memory_reserved),
	NUMBER("memory-used", memory_used),
	NUMBER("pci-device", pci_device),
	NUMBER("cc-major", cc_major),
	NUMBER("cc-minor", cc_minor),
	NUMBER("numa", numa),
	NUMBER("mig", mig),
	NUMBER("temperature", temperature),
	NUMBER("throttle", throttle),
	NUMBER("utilisation", utilisation),
	NUMBER("ecc-uncorrected", ecc),
	NUMBER("remap-pending", remap_pending),
	NUMBER("remap-failure", remap_failure),
	NUMBER("recovery", recovery),
	NUMBER("events", events),
	NUMBER("links", link_count),
	NUMBER("link-mbps", link_mbps),
	NUMBER("c2c", c2c_count),
	NUMBER("c2c-mbps", c2c_mbps),
	NUMBER("c2c-down", c2c_down),
	NUMBER("fabric-api", fabric_api),
	NUMBER("fabric-state", fabric_state),
	NUMBER("fabric-status", fabric_status),
	NUMBER("fabric-clique", fabric_clique),
	NUMBER("fabric-mask", fabric_mask),
	NUMBER("fabric-summary", fabric_summary),
};

#define TEXT(key, member) {key, offsetof(struct gpu, member)}

static const struct {
	const char *key;
	size_t offset;
} text_keys[] = {
	TEXT("uuid", uuid),
	TEXT("name", name),
	TEXT("pci", pci),
	TEXT("rack", rack),
};

static bool add_profile(struct gpu *g, char **words, int count) {
	unsigned index = 0;
	struct profile p = {{0}, 0, 0};
	if (count != 4 || !parse_small(words[0], &index) || index >= MAX_PROFILES ||
	    !parse_number(words[2], &p.slices) || !parse_number(words[3], &p.megabytes)) {
		return false;
	}
	copy_text(p.name, words[1]);
	g->profiles[index] = p;
	return true;
}

static bool add_instance(struct gpu *g, char **words, int count) {
	struct instance i = {0, 0, 0};
	if (count != 3 || g->instance_count == MAX_INSTANCES || !parse_number(words[0], &i.slices) ||
	    !parse_number(words[1], &i.compute_slices) || !parse_number(words[2], &i.megabytes)) {
		return false;
	}
	g->instances[g->instance_count++] = i;
	return true;
}

static bool add_process(struct gpu *g, char **words, int count) {
	struct process p = {0, 0};
	unsigned long long mebibytes = 0;
	if (count != 2 || g->process_count == MAX_PROCESSES || !parse_small(words[0], &p.pid) || !parse_number(words[1], &mebibytes)) {
		return false;
	}
	p.bytes = mebibytes == UNSET ? UNSET : mebibytes << 20;
	g->processes[g->process_count++] = p;
	return true;
}

/* set_fact sets one fact of a GPU. rest is the line behind the key. */
static bool set_fact(struct gpu *g, const char *key, char **words, int count, const char *rest) {
	for (size_t i = 0; i < sizeof text_keys / sizeof text_keys[0]; i++) {
		if (strcmp(key, text_keys[i].key) == 0) {
			copy_text((char *)g + text_keys[i].offset, rest);
			return true;
		}
	}
	if (strcmp(key, "mig-profile") == 0) {
		return add_profile(g, words, count);
	}
	if (strcmp(key, "mig-instance") == 0) {
		return add_instance(g, words, count);
	}
	if (strcmp(key, "process") == 0) {
		return add_process(g, words, count);
	}
	if (count != 1) {
		return false;
	}
	if (strcmp(key, "fabric-uuid") == 0) {
		return parse_uuid(words[0], g->fabric_uuid);
	}
	for (size_t i = 0; i < sizeof number_keys / sizeof number_keys[0]; i++) {
		if (strcmp(key, number_keys[i].key) == 0) {
			return parse_number(words[0], (unsigned long long *)(void *)((char *)g + number_keys[i].offset));
		}
	}
	return false;
}

static bool set_link(struct link *l, char **words, int count) {
	const char *key = words[0];
	if (strcmp(key, "up") == 0 || strcmp(key, "down") == 0) {
		l->down = key[0] == 'd';
		return count == 1;
	}
	if (strcmp(key, "unknown") == 0) {
		l->end = END_UNKNOWN;
		return count == 1;
	}
	if (count != 2) {
		return false;
	}
	if (strcmp(key, "version") == 0) {
		return parse_number(words[1], &l->version);
	}
	if (strcmp(key, "gpu") == 0) {
		l->end = END_GPU;
		return parse_small(words[1], &l->gpu);
	}
	if (strcmp(key, "switch") == 0 || strcmp(key, "npu") == 0) {
		l->end = key[0] == 's' ? END_SWITCH : END_NPU;
		copy_text(l->address, strcmp(words[1], "none") == 0 ? "" : words[1]);
		return true;
	}
	return false;
}

static bool set_links(struct description *d, char **words, int count) {
	struct range gpus, links;
	if (count < 3 || !parse_gpus(d, words[0], &gpus) || !parse_range(words[1], MAX_LINKS, MAX_LINKS, &links)) {
		return false;
	}
	bool ok = true;
	for (unsigned i = gpus.first; i <= gpus.last; i++) {
		for (unsigned j = links.first; j <= links.last; j++) {
			ok = set_link(&d->gpus[i].links[j], words + 2, count - 2) && ok;
		}
	}
	return ok;
}

static bool set_pair(struct pair *p, const char *key, unsigned value) {
	if (strcmp(key, "ancestor") == 0) {
		p->ancestor = value;
	} else if (strcmp(key, "read") == 0) {
		p->read = value;
	} else if (strcmp(key, "nvlink") == 0) {
		p->nvlink = value;
	} else {
		return false;
	}
	return true;
}

static bool set_pairs(struct description *d, char **words, int count) {
	struct range from, to;
	unsigned value = 0;
	if (count != 4 || !parse_gpus(d, words[0], &from) || !parse_gpus(d, words[1], &to) || !parse_small(words[3], &value)) {
		return false;
	}
	bool ok = true;
	for (unsigned i = from.first; i <= from.last; i++) {
		for (unsigned j = to.first; j <= to.last; j++) {
			ok = set_pair(&d->pairs[i][j], words[2], value) && set_pair(&d->pairs[j][i], words[2], value) && ok;
		}
	}
	return ok;
}

static bool set_facts(struct description *d, char **words, int count, const char *rest) {
	struct range gpus;
	if (count < 2 || !parse_gpus(d, words[0], &gpus)) {
		return false;
	}
	bool ok = true;
	for (unsigned i = gpus.first; i <= gpus.last; i++) {
		ok = set_fact(&d->gpus[i], words[1], words + 2, count - 2, rest) && ok;
	}
	return ok;
}

static bool add_failures(struct description *d, char **words, int count) {
	struct range gpus;
	unsigned code = 0;
	if (count != 3 || !parse_gpus(d, words[0], &gpus) || !parse_small(words[2], &code)) {
		return false;
	}
	for (unsigned i = gpus.first; i <= gpus.last && d->failure_count < MAX_FAULTS; i++) {
		struct failure *f = &d->failures[d->failure_count++];
		f->gpu = i;
		f->code = code;
		copy_text(f->symbol, words[1]);
	}
	return true;
}

static bool add_fields(struct description *d, char **words, int count) {
	struct range gpus;
	struct field f = {0, 0, 0, 0, 0};
	if (count != 5 || !parse_gpus(d, words[0], &gpus) || !parse_small(words[1], &f.id) || !parse_small(words[2], &f.code) ||
	    !parse_small(words[3], &f.type) || !parse_number(words[4], &f.value)) {
		return false;
	}
	for (unsigned i = gpus.first; i <= gpus.last && d->field_count < MAX_FAULTS; i++) {
		f.gpu = i;
		d->fields[d->field_count++] = f;
	}
	return true;
}

static bool add_events(struct description *d, char **words, int count, unsigned long long type) {
	struct range gpus;
	struct event e = {0, type, 0};
	if (count < 2 || !parse_gpus(d, words[0], &gpus) || !parse_number(words[count - 1], &e.data)) {
		return false;
	}
	if (type == 0 && (count != 3 || !parse_number(words[1], &e.type))) {
		return false;
	}
	for (unsigned i = gpus.first; i <= gpus.last && d->event_count < MAX_EVENTS; i++) {
		e.gpu = i;
		d->events[d->event_count++] = e;
	}
	return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* behind returns what comes behind the first n words. */
static const char *behind(const char *line, int n) {
	while (true) {
		while (is_blank(*line)) {
			line++;
		}
		if (n-- == 0 || *line == '\0') {
			return line;
		}
		while (*line != '\0' && !is_blank(*line)) {
			line++;
		}
	}
}

static int split(char *line, char **words) {
	int count = 0;
	while (count < MAX_WORDS) {
		while (is_blank(*line)) {
			*line++ = '\0';
		}
		if (*line == '\0') {
			break;
		}
		words[count++] = line;
		while (*line != '\0' && !is_blank(*line)) {
			line++;
		}
	}
	return count;
}

/* describe_line takes a line without its end, which it may change. */
static bool describe_line(struct description *d, char *line) {
	char whole[MAX_LINE];
	memcpy(whole, line, strlen(line) + 1);
	char *words[MAX_WORDS];
	int count = split(line, words);
	if (count == 0 || words[0][0] == '#') {
		return true;
	}
	const char *key = words[0];
	char **arguments = words + 1;
	count--;
	if (strcmp(key, "driver") == 0) {
		copy_text(d->driver, behind(whole, 1));
		return true;
	}
	if (strcmp(key, "init") == 0) {
		return count == 1 && parse_small(arguments[0], &d->init);
	}
	if (strcmp(key, "gpu-count") == 0) {
		return count == 1 && parse_number(arguments[0], &d->claimed);
	}
	if (strcmp(key, "gpu") == 0) {
		return set_facts(d, arguments, count, behind(whole, 3));
	}
	if (strcmp(key, "link") == 0) {
		return set_links(d, arguments, count);
	}
	if (strcmp(key, "pair") == 0) {
		return set_pairs(d, arguments, count);
	}
	if (strcmp(key, "error") == 0) {
		return add_failures(d, arguments, count);
	}
	if (strcmp(key, "field") == 0) {
		return add_fields(d, arguments, count);
	}
	if (strcmp(key, "xid") == 0) {
		return count == 2 && add_events(d, arguments, count, EVENT_XID);
	}
	if (strcmp(key, "event") == 0) {
		return add_events(d, arguments, count, 0);
	}
	return false;
}

static void set_defaults(struct description *d) {
	memset(d, 0, sizeof *d);
	d->claimed = UNSET;
	for (unsigned i = 0; i < MAX_GPUS; i++) {
		struct gpu *g = &d->gpus[i];
		for (size_t k = 0; k < sizeof number_keys / sizeof number_keys[0]; k++) {
			*(unsigned long long *)(void *)((char *)g + number_keys[k].offset) = UNSET;
		}
		g->link_count = 0;
		g->c2c_down = 0;
		g->fabric_api = 3;
		for (unsigned j = 0; j < MAX_LINKS; j++) {
			g->links[j].end = END_UNKNOWN;
		}
		for (unsigned j = 0; j < MAX_GPUS; j++) {
			/* Over the connection between NUMA nodes, and no access. */
			d->pairs[i][j] = (struct pair){50, 5, 5};
		}
	}
}

void describe(struct description *d, const char *text, size_t size) {
	set_defaults(d);
	static unsigned complaints; /* over all descriptions, so that no log fills up */
	unsigned number = 0;
	for (size_t at = 0; at < size;) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t length = end != NULL ? (size_t)(end - (text + at)) : size - at;
		char line[MAX_LINE];
		bool ok = length < sizeof line && memchr(text + at, '\0', length) == NULL;
		number++;
		if (ok) {
			memcpy(line, text + at, length);
			line[length] = '\0';
			ok = describe_line(d, line);
		}
		if (!ok && complaints++ < 20) {
			fprintf(stderr, "fakenvml: line %u is not understood and left out\n", number);
		}
		at += length + 1;
	}
}
