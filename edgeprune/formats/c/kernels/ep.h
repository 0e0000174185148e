/* What every kernel builds on: vectors as wide as the target has, single floats where the compiler offers none. */
#ifndef EP_H
#define EP_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EP_UNUSED __attribute__((unused))
#define EP_INLINE static inline __attribute__((always_inline, unused))
#elif defined(_MSC_VER)
#define EP_UNUSED
#define EP_INLINE static __forceinline
#else
#define EP_UNUSED
#define EP_INLINE static
#endif

/* A model holds its kernels; alone, a kernel is visible so that tests can call it. */
#ifdef EP_MODEL
#define EP_KERNEL static EP_UNUSED
#else
#define EP_KERNEL
#endif

#ifndef EP_LANES
#if !defined(__GNUC__)
#define EP_LANES 1
#elif defined(__AVX512F__)
#define EP_LANES 16
#elif defined(__AVX__)
#define EP_LANES 8
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__) || defined(__ALTIVEC__)
#define EP_LANES 4
#else
#define EP_LANES 1
#endif
#endif

/* Vectors that one tile keeps in registers. */
#define EP_TILE 8

/* Planes end on a multiple of this many floats, so that a whole vector fits behind the last place. */
#define EP_GRAIN 16

#if defined(__clang__)
#define EP_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define EP_UNROLL _Pragma("GCC unroll 16")
#else
#define EP_UNROLL
#endif

/* Whole numbers kept among floats in the arena. */
#if defined(__GNUC__)
typedef int32_t ep_word __attribute__((may_alias));
#else
typedef int32_t ep_word;
#endif

#if EP_LANES > 1
typedef float ep_vec __attribute__((vector_size(4 * EP_LANES)));
typedef int32_t ep_ivec __attribute__((vector_size(4 * EP_LANES)));
typedef float ep_uvec __attribute__((vector_size(4 * EP_LANES), aligned(4), may_alias));
typedef int32_t ep_uivec __attribute__((vector_size(4 * EP_LANES), aligned(4), may_alias));
#define EP_LOAD(p) ((ep_vec) * (const ep_uvec *)(p))
#define EP_STORE(p, v) (*(ep_uvec *)(p) = (ep_uvec)(v))
#define EP_ALL(x) ((ep_vec){0} + (x))
/* The lanes of v whose lane at p is -1; zero where it is 0. */
#define EP_KEEP(v, p) ((ep_vec)((ep_ivec)(v) & (ep_ivec) * (const ep_uivec *)(p)))
#define EP_RELU(v) ((ep_vec)((ep_ivec)(v) & ((v) > (ep_vec){0})))
#define EP_PICK(m, a, b) ((ep_vec)(((ep_ivec)(a) & (m)) | ((ep_ivec)(b) & ~(m))))
#define EP_MAX(a, b) EP_PICK((a) > (b), a, b)
#define EP_MIN(a, b) EP_PICK((a) < (b), a, b)
#else
typedef float ep_vec;
#define EP_LOAD(p) (*(p))
#define EP_STORE(p, v) (*(p) = (v))
#define EP_ALL(x) (x)
#define EP_KEEP(v, p) (*(p) ? (v) : 0.0f)
#define EP_RELU(v) ((v) > 0.0f ? (v) : 0.0f)
#define EP_MAX(a, b) ((a) > (b) ? (a) : (b))
#define EP_MIN(a, b) ((a) < (b) ? (a) : (b))
#endif

/* What happens to a sum before it is stored. */
enum { EP_NONE, EP_ACT_RELU, EP_ACT_CLAMP };

typedef struct {
    int32_t kind;
    float low, high;
} ep_act;

EP_INLINE float ep_clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

EP_INLINE float ep_apply(ep_act act, float x) {
    if (act.kind == EP_NONE) {
        return x;
    }
    return act.kind == EP_ACT_RELU ? (x > 0.0f ? x : 0.0f) : ep_clamp(x, act.low, act.high);
}

/* Which of a plane's places are elements: those in the first `width` of every `pitch`, in the first `rows` of every period. */
typedef struct {
    int32_t period; /* floats after which the pattern repeats; 0: every place is one */
    int32_t pitch, width, rows;
} ep_mask;

/* The pattern as 0 and -1, long enough for a tile to begin anywhere in the first period. */
EP_INLINE void ep_make_mask(const ep_mask *mask, ep_word *table) {
    for (int32_t i = 0; i < mask->period + EP_TILE * EP_GRAIN; i++) {
        const int32_t place = i % mask->period;
        table[i] = place % mask->pitch < mask->width && place / mask->pitch < mask->rows ? -1 : 0;
    }
}

EP_INLINE void ep_zero(float *p, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) {
        p[i] = 0.0f;
    }
}

#endif
