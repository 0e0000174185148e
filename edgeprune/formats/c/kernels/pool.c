#include "ep.h"

/* Pooling over planes, a tile of places at a time; what a window reads around a plane is already there (ep_split's fill). */
typedef struct {
    const int32_t *taps; /* floats from a place to each element of its window */
    int32_t tap_count;
    int32_t channels;
    int32_t in_plane; /* floats from one channel's planes to the next one's */
    int32_t span, plane, tail;
    ep_mask mask;
    float scale;         /* of the sum; ignored by ep_pool_max */
    const float *scales; /* one a place, in place of scale; NULL where it is the same everywhere */
} ep_pool;

EP_INLINE void ep_pool_tile(
    const int tile, const int largest, const ep_pool *p, const float *in, float *out, const float *scales, const ep_word *mask
) {
    for (int32_t c = 0; c < p->channels; c++) {
        const float *from = in + (ptrdiff_t)c * p->in_plane;
        float *to = out + (ptrdiff_t)c * p->plane;
        ep_vec held[EP_TILE];
        EP_UNROLL for (int j = 0; j < tile; j++) { held[j] = EP_LOAD(from + p->taps[0] + j * EP_LANES); }
        for (int32_t k = 1; k < p->tap_count; k++) {
            const float *at = from + p->taps[k];
            EP_UNROLL for (int j = 0; j < tile; j++) {
                const ep_vec x = EP_LOAD(at + j * EP_LANES);
                if (largest) {
                    held[j] = EP_MAX(x, held[j]);
                } else {
                    held[j] += x;
                }
            }
        }
        if (!largest) {
            EP_UNROLL for (int j = 0; j < tile; j++) { held[j] *= scales ? EP_LOAD(scales + j * EP_LANES) : EP_ALL(p->scale); }
        }
        EP_UNROLL for (int j = 0; j < tile; j++) {
            if (mask) {
                held[j] = EP_KEEP(held[j], mask + j * EP_LANES);
            }
            EP_STORE(to + j * EP_LANES, held[j]);
        }
    }
}

EP_INLINE void ep_pool_all(const int largest, const ep_pool *p, const float *in, float *out, ep_word *table) {
    const int32_t vectors = (p->span + EP_LANES - 1) / EP_LANES;
    int32_t at = 0; /* where the tile begins in the mask */
    if (p->mask.period) {
        ep_make_mask(&p->mask, table);
    }
    for (int32_t done = 0; done < vectors;) {
        const int32_t tile = vectors - done >= 4 ? 4 : 1;
        const ptrdiff_t place = (ptrdiff_t)done * EP_LANES;
        const float *scales = p->scales ? p->scales + place : NULL;
        const ep_word *mask = p->mask.period ? table + at : NULL;
        if (tile == 4) {
            ep_pool_tile(4, largest, p, in + place, out + place, scales, mask);
        } else {
            ep_pool_tile(1, largest, p, in + place, out + place, scales, mask);
        }
        done += tile;
        if (p->mask.period) {
            at = (at + tile * EP_LANES) % p->mask.period;
        }
    }
    if (p->tail) {
        for (int32_t c = 0; c < p->channels; c++) {
            ep_zero(out + (ptrdiff_t)c * p->plane + p->span, p->tail);
        }
    }
}

/* `table` has room for the mask. */
EP_KERNEL void ep_pool_max(const ep_pool *p, const float *in, float *out, float *table) {
    ep_pool_all(1, p, in, out, (ep_word *)(void *)table);
}

EP_KERNEL void ep_pool_sum(const ep_pool *p, const float *in, float *out, float *table) {
    ep_pool_all(0, p, in, out, (ep_word *)(void *)table);
}
