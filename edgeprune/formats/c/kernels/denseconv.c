#include "ep.h"

/* Output channels that one tile sums at a time. EP_BLOCK in convolutions.py. */
#define EP_BLOCK 4

/* Vectors of places in such a tile: with its weights and what it reads it just fits the registers. */
#define EP_BLOCK_TILE (EP_LANES >= 16 ? 4 : 3)

/* Convolution, every weight there, over planes as in conv.h. What is read at a place serves EP_BLOCK channels. */
typedef struct {
    const float *weight;   /* for every EP_BLOCK output channels: per place of `places` one weight of each */
    const float *bias;     /* padded to a multiple of EP_BLOCK */
    const int32_t *places; /* where the weights of one output channel read */
    int32_t place_count;
    int32_t rows; /* output channels */
    int32_t span; /* from here on as in ep_conv */
    int32_t plane;
    int32_t tail;
    ep_mask mask;
    ep_act act;
} ep_dense_conv;

EP_INLINE void ep_dense_tile(
    const int tile, const ep_dense_conv *c, const float *in, const float *add, ptrdiff_t add_plane, float *out, const ep_word *mask
) {
    const float *weight = c->weight;
    for (int32_t first = 0; first < c->rows; first += EP_BLOCK) {
        const int32_t rows = c->rows - first < EP_BLOCK ? c->rows - first : EP_BLOCK;
        ep_vec sum[EP_BLOCK][4];
        EP_UNROLL for (int r = 0; r < EP_BLOCK; r++) {
            EP_UNROLL for (int j = 0; j < tile; j++) { sum[r][j] = EP_ALL(c->bias[first + r]); }
        }
        for (int32_t k = 0; k < c->place_count; k++, weight += EP_BLOCK) {
            const float *from = in + c->places[k];
            ep_vec x[4];
            EP_UNROLL for (int j = 0; j < tile; j++) { x[j] = EP_LOAD(from + j * EP_LANES); }
            EP_UNROLL for (int r = 0; r < EP_BLOCK; r++) {
                EP_UNROLL for (int j = 0; j < tile; j++) { sum[r][j] += weight[r] * x[j]; }
            }
        }
        EP_UNROLL for (int r = 0; r < EP_BLOCK; r++) {
            if (r < rows) {
                float *to = out + (ptrdiff_t)(first + r) * c->plane;
                EP_UNROLL for (int j = 0; j < tile; j++) {
                    ep_vec held = sum[r][j];
                    if (add) {
                        held += EP_LOAD(add + (first + r) * add_plane + j * EP_LANES);
                    }
                    if (c->act.kind == EP_ACT_RELU) {
                        held = EP_RELU(held);
                    } else if (c->act.kind == EP_ACT_CLAMP) {
                        const ep_vec low = EP_ALL(c->act.low), high = EP_ALL(c->act.high);
                        held = EP_MAX(held, low);
                        held = EP_MIN(held, high);
                    }
                    if (mask) {
                        held = EP_KEEP(held, mask + j * EP_LANES);
                    }
                    EP_STORE(to + j * EP_LANES, held);
                }
            }
        }
    }
}

/* `add` and `table` are those of ep_conv8. */
EP_KERNEL void ep_dense_conv_all(
    const ep_dense_conv *c, const float *in, const float *add, int32_t add_plane, float *out, float *table
) {
    const int32_t vectors = (c->span + EP_LANES - 1) / EP_LANES;
    ep_word *const masks = (ep_word *)(void *)table;
    int32_t at = 0; /* where the tile begins in the mask */
    if (c->mask.period) {
        ep_make_mask(&c->mask, masks);
    }
    for (int32_t done = 0; done < vectors;) {
        const int32_t left = vectors - done, tile = left < EP_BLOCK_TILE ? left : EP_BLOCK_TILE;
        const ptrdiff_t place = (ptrdiff_t)done * EP_LANES;
        const float *from = add ? add + place : add;
        const ep_word *mask = c->mask.period ? masks + at : NULL;
        switch (tile) {
        case 1: ep_dense_tile(1, c, in + place, from, add_plane, out + place, mask); break;
        case 2: ep_dense_tile(2, c, in + place, from, add_plane, out + place, mask); break;
        case 3: ep_dense_tile(3, c, in + place, from, add_plane, out + place, mask); break;
        default: ep_dense_tile(4, c, in + place, from, add_plane, out + place, mask); break;
        }
        done += tile;
        if (c->mask.period) {
            at = (at + tile * EP_LANES) % c->mask.period;
        }
    }
    if (c->tail) {
        for (int32_t row = 0; row < c->rows; row++) {
            ep_zero(out + (ptrdiff_t)row * c->plane + c->span, c->tail);
        }
    }
}
