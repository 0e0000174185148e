#include "ep.h"

/* Output channels that one tile sums at a time. BLOCK in rows.py. */
#define EP_BLOCK 4

/* Vectors of places in such a tile: with its weights and what it reads it just fits the registers. */
#define EP_BLOCK_TILE (EP_LANES >= 16 ? 4 : 3)

/* Convolution by dense blocks of weights, over planes as in conv.h. All output channels of a block read the same places, so that
   what is read serves EP_BLOCK of them at once. A dense layer is one block; where filters keep different taps, those that keep a
   tap are a block of it, and what the blocks sum for an output channel is added up. */
typedef struct {
    const float *weight;   /* block after block; in it, for every EP_BLOCK rows or what is left: per place a weight of each */
    const float *bias;     /* per output channel */
    const int32_t *places; /* block after block: where its weights read */
    const uint16_t *rows;  /* block after block: its output channels */
    const int32_t *blocks; /* pairs: how many output channels, how many places */
    int32_t block_count;
    int32_t row_count; /* all output channels */
    int32_t span;      /* from here on as in ep_conv */
    int32_t plane;
    int32_t tail;
    ep_mask mask;
    ep_act act;
} ep_blocks;

/* Adds to `rows` output channels what they read at `count` places. */
EP_INLINE void ep_block_sum(
    const int tile, const int rows, const float *weight, const int32_t *places, int32_t count, const uint16_t *row, const float *in,
    float *out, ptrdiff_t plane
) {
    ep_vec sum[EP_BLOCK][4];
    EP_UNROLL for (int r = 0; r < rows; r++) {
        EP_UNROLL for (int j = 0; j < tile; j++) { sum[r][j] = EP_LOAD(out + row[r] * plane + j * EP_LANES); }
    }
    for (int32_t k = 0; k < count; k++, weight += rows) {
        const float *from = in + places[k];
        ep_vec x[4];
        EP_UNROLL for (int j = 0; j < tile; j++) { x[j] = EP_LOAD(from + j * EP_LANES); }
        EP_UNROLL for (int r = 0; r < rows; r++) {
            EP_UNROLL for (int j = 0; j < tile; j++) { sum[r][j] += weight[r] * x[j]; }
        }
    }
    EP_UNROLL for (int r = 0; r < rows; r++) {
        EP_UNROLL for (int j = 0; j < tile; j++) { EP_STORE(out + row[r] * plane + j * EP_LANES, sum[r][j]); }
    }
}

EP_INLINE void ep_block_tile(
    const int tile, const ep_blocks *c, const float *in, const float *add, ptrdiff_t add_plane, float *out, const ep_word *mask
) {
    const float *weight = c->weight;
    const int32_t *places = c->places;
    const uint16_t *row = c->rows;
    for (ptrdiff_t r = 0; r < c->row_count; r++) {
        EP_UNROLL for (int j = 0; j < tile; j++) {
            ep_vec held = EP_ALL(c->bias[r]);
            if (add) {
                held += EP_LOAD(add + r * add_plane + j * EP_LANES);
            }
            EP_STORE(out + r * c->plane + j * EP_LANES, held);
        }
    }
    for (int32_t b = 0; b < c->block_count; b++) {
        const int32_t count = c->blocks[2 * b + 1];
        for (int32_t left = c->blocks[2 * b]; left > 0;) {
            const int32_t rows = left < EP_BLOCK ? left : EP_BLOCK;
            switch (rows) {
            case 1: ep_block_sum(tile, 1, weight, places, count, row, in, out, c->plane); break;
            case 2: ep_block_sum(tile, 2, weight, places, count, row, in, out, c->plane); break;
            case 3: ep_block_sum(tile, 3, weight, places, count, row, in, out, c->plane); break;
            default: ep_block_sum(tile, EP_BLOCK, weight, places, count, row, in, out, c->plane); break;
            }
            weight += (ptrdiff_t)rows * count;
            row += rows;
            left -= rows;
        }
        places += count;
    }
    if (!mask && c->act.kind == EP_NONE) {
        return;
    }
    for (ptrdiff_t r = 0; r < c->row_count; r++) {
        EP_UNROLL for (int j = 0; j < tile; j++) {
            float *const to = out + r * c->plane + j * EP_LANES;
            ep_vec held = EP_LOAD(to);
            if (c->act.kind == EP_ACT_RELU) {
                held = EP_RELU(held);
            } else if (c->act.kind == EP_ACT_CLAMP) {
                const ep_vec low = EP_ALL(c->act.low), high = EP_ALL(c->act.high);
                held = EP_MAX(held, low);
                held = EP_MIN(held, high);
            }
            EP_STORE(to, mask ? EP_KEEP(held, mask + j * EP_LANES) : held);
        }
    }
}

/* `add` and `table` are those of ep_conv8. */
EP_KERNEL void ep_block_conv(const ep_blocks *c, const float *in, const float *add, int32_t add_plane, float *out, float *table) {
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
        case 1: ep_block_tile(1, c, in + place, from, add_plane, out + place, mask); break;
        case 2: ep_block_tile(2, c, in + place, from, add_plane, out + place, mask); break;
        case 3: ep_block_tile(3, c, in + place, from, add_plane, out + place, mask); break;
        default: ep_block_tile(4, c, in + place, from, add_plane, out + place, mask); break;
        }
        done += tile;
        if (c->mask.period) {
            at = (at + tile * EP_LANES) % c->mask.period;
        }
    }
    if (c->tail) {
        for (int32_t row = 0; row < c->row_count; row++) {
            ep_zero(out + (ptrdiff_t)row * c->plane + c->span, c->tail);
        }
    }
}
