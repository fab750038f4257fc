/*
 * A FAKE libcublasLt.so for tests. It works with the fake libcuda.so.1 of its own
 * folder and refuses what the real one refuses: attributes of a wrong size, FP8 on
 * a device without it or in another form than transposed times plain, sizes that
 * are no multiples of 16, and memory that is too small.
 */
#define _GNU_SOURCE
#include "fakecuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_INITIALIZED = 1, ALLOC_FAILED = 3, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum { F32 = 0, BF16 = 14, E4M3 = 28 };

#ifndef FAKE_VERSION
#define FAKE_VERSION 120600
#endif

struct handle { int device; };
struct desc { int compute, scale, trans_a, trans_b; int8_t fast; uint64_t a_scale, b_scale; };
struct layout { int kind; uint64_t rows, columns; int64_t stride; };
struct preference { uint64_t workspace; };
struct algo { uint64_t magic, index, n, unused[5]; };
struct result { struct algo algo; size_t workspace; int state; float waves; int reserved[4]; };

static const uint64_t magic = 0x66616b65616c676full;

static const struct fakecuda_hooks *cuda(void) {
	static const struct fakecuda_hooks *hooks;
	Dl_info self;
	char path[4096];
	if (hooks || !dladdr((void *)&cuda, &self)) return hooks;
	snprintf(path, sizeof path, "%s", self.dli_fname);
	char *slash = strrchr(path, '/');
	if (!slash) return NULL;
	snprintf(slash, sizeof path - (slash - path), "/libcuda.so.1");
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) return NULL;
	const struct fakecuda_hooks *(*get)(void) = dlsym(library, "fakecuda_hooks");
	return hooks = get ? get() : NULL;
}

#define ENTER                                                   \
	if (!cuda()) return NOT_INITIALIZED;                    \
	int entered = cuda()->fault(__func__);                  \
	if (entered) return entered

FAKE_EXPORT size_t cublasLtGetVersion(void) { return FAKE_VERSION; }

static int make(void **out, size_t bytes, const char *name) {
	*out = calloc(1, bytes);
	if (!*out) return ALLOC_FAILED;
	cuda()->count(name);
	return OK;
}

static int drop(void *object, const char *name) {
	if (!object) return INVALID_VALUE;
	free(object);
	cuda()->count(name);
	return OK;
}

FAKE_EXPORT int cublasLtCreate(struct handle **handle) {
	ENTER;
	if (cuda()->current() < 0) return NOT_INITIALIZED;
	int code = make((void **)handle, sizeof **handle, "blas made");
	if (!code) (*handle)->device = cuda()->current();
	return code;
}

FAKE_EXPORT int cublasLtDestroy(struct handle *handle) { ENTER; return drop(handle, "blas dropped"); }

FAKE_EXPORT int cublasLtMatmulDescCreate(struct desc **desc, int compute, int scale) {
	ENTER;
	if (compute != 68 || scale != F32) return NOT_SUPPORTED;
	int code = make((void **)desc, sizeof **desc, "blas made");
	if (!code) (*desc)->compute = compute, (*desc)->scale = scale;
	return code;
}

FAKE_EXPORT int cublasLtMatmulDescDestroy(struct desc *desc) { ENTER; return drop(desc, "blas dropped"); }

FAKE_EXPORT int cublasLtMatmulDescSetAttribute(struct desc *desc, int attribute, const void *value, size_t bytes) {
	ENTER;
	static const struct { int attribute; size_t bytes, at; } known[] = {
		{3, 4, offsetof(struct desc, trans_a)}, {4, 4, offsetof(struct desc, trans_b)},
		{17, 8, offsetof(struct desc, a_scale)}, {18, 8, offsetof(struct desc, b_scale)}, {25, 1, offsetof(struct desc, fast)},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (known[i].attribute != attribute) continue;
		if (!value || bytes != known[i].bytes) return INVALID_VALUE;
		memcpy((char *)desc + known[i].at, value, bytes);
		return OK;
	}
	return INVALID_VALUE;
}

FAKE_EXPORT int cublasLtMatrixLayoutCreate(struct layout **layout, int kind, uint64_t rows, uint64_t columns, int64_t stride) {
	ENTER;
	int code = make((void **)layout, sizeof **layout, "blas made");
	if (!code) **layout = (struct layout){kind, rows, columns, stride};
	return code;
}

FAKE_EXPORT int cublasLtMatrixLayoutDestroy(struct layout *layout) { ENTER; return drop(layout, "blas dropped"); }

FAKE_EXPORT int cublasLtMatmulPreferenceCreate(struct preference **preference) {
	ENTER;
	return make((void **)preference, sizeof **preference, "blas made");
}

FAKE_EXPORT int cublasLtMatmulPreferenceDestroy(struct preference *preference) { ENTER; return drop(preference, "blas dropped"); }

FAKE_EXPORT int cublasLtMatmulPreferenceSetAttribute(struct preference *preference, int attribute, const void *value, size_t bytes) {
	ENTER;
	if (attribute != 1 || bytes != 8 || !value) return INVALID_VALUE;
	memcpy(&preference->workspace, value, bytes);
	return OK;
}

static int supported(const struct handle *handle, const struct desc *desc, const struct layout *a, const struct layout *b, const struct layout *c, const struct layout *d) {
	int capability = cuda()->capability(handle->device);
	if (!a || !b || !c || !d || a->kind != b->kind) return INVALID_VALUE;
	if (c->kind != BF16 || d->kind != BF16 || capability < 80) return NOT_SUPPORTED;
	if (a->stride < (int64_t)a->rows || b->stride < (int64_t)b->rows) return INVALID_VALUE;
	uint64_t inner = desc->trans_a ? a->rows : a->columns;
	if (inner != (desc->trans_b ? b->columns : b->rows)) return INVALID_VALUE;
	if (a->kind == BF16) return OK;
	if (a->kind != E4M3 || capability < 89) return NOT_SUPPORTED;
	if (desc->trans_a != 1 || desc->trans_b != 0) return NOT_SUPPORTED;
	if (a->rows % 16 || a->columns % 16 || b->columns % 16) return NOT_SUPPORTED;
	return OK;
}

FAKE_EXPORT int cublasLtMatmulAlgoGetHeuristic(struct handle *handle, struct desc *desc, struct layout *a, struct layout *b, struct layout *c, struct layout *d, struct preference *preference, int requested, struct result *results, int *found) {
	ENTER;
	int code = supported(handle, desc, a, b, c, d);
	if (code) return code;
	*found = requested < 2 ? requested : 2;
	for (int i = 0; i < *found; i++) {
		memset(&results[i], 0, sizeof results[i]);
		results[i].algo = (struct algo){.magic = magic, .index = i, .n = a->columns};
		results[i].workspace = preference->workspace < (32u << 20) ? preference->workspace : 32u << 20;
		results[i].waves = 1;
	}
	return OK;
}

static size_t size_of(const struct layout *l) { return l->stride * l->columns * (l->kind == E4M3 ? 1 : 2); }

FAKE_EXPORT int cublasLtMatmul(struct handle *handle, struct desc *desc, const float *alpha, uint64_t a, struct layout *a_layout, uint64_t b, struct layout *b_layout, const float *beta, uint64_t c, struct layout *c_layout, uint64_t d, struct layout *d_layout, const struct algo *algo, uint64_t workspace, size_t workspace_bytes, void *stream) {
	ENTER;
	int device = handle->device;
	int code = supported(handle, desc, a_layout, b_layout, c_layout, d_layout);
	if (code) return code;
	if (*alpha != 1 || *beta != 0 || algo->magic != magic || cuda()->current() != device) return INVALID_VALUE;
	if (!cuda()->holds(device, a, size_of(a_layout)) || !cuda()->holds(device, b, size_of(b_layout)) ||
	    !cuda()->holds(device, c, size_of(c_layout)) || !cuda()->holds(device, d, size_of(d_layout)) ||
	    !cuda()->holds(device, workspace, workspace_bytes))
		return INVALID_VALUE;
	int fp8 = a_layout->kind == E4M3;
	if (fp8 && (!cuda()->holds(device, desc->a_scale, 4) || !cuda()->holds(device, desc->b_scale, 4))) return INVALID_VALUE;
	if (!cuda()->filled(device, a) || !cuda()->filled(device, b)) cuda()->count("products of zeros");
	if (fp8 && !cuda()->filled(device, desc->a_scale)) cuda()->count("products of zeros");
	/* The second algorithm is the better one, so that trying them shows; and a
	 * large product comes nearer to the full rate. */
	double n = a_layout->columns, rate = cuda()->rate(device, fp8 ? "fp8" : "bf16") * 1e12;
	rate *= (algo->index == 1 ? 1 : 0.9) * (n >= 16384 ? 1 : 0.95);
	cuda()->count("products");
	return cuda()->queue(device, stream, 2 * n * n * n / rate) ? OK : EXECUTION_FAILED;
}
