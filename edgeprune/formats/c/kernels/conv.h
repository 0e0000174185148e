/* The convolution that conv8.c, conv16.c and conv32.c share. */
#ifndef EP_CONV_H
#define EP_CONV_H

#include "ep.h"

/* Convolution by its nonzero weights, over planes: channels whose places lie `plane` floats apart, rows of all of them equally long.

   A weight is a value and a place to read from: the sum of an output channel runs over its weights, a tile of output places at a
   time, held in registers. Strided convolutions read planes that ep_split made. Output channels with equally many weights stand
   together, so that the loop over weights ends where the processor expects it. */
typedef struct {
    const float *values;    /* channel after channel */
    const void *steps;      /* per weight: floats from where it reads to where the next one does, 8, 16 or 32 bits */
    const int32_t *starts;  /* per channel that has weights: where its first one reads */
    const uint16_t *rows;   /* the output channels, in running order */
    const float *bias;      /* in the same order */
    const uint16_t *groups; /* pairs: how many channels, how many weights each of them has */
    int32_t group_count;
    int32_t row_count;
    int32_t span;  /* places from the first to the last of a plane, what lies between rows included */
    int32_t plane; /* floats from one output channel to the next */
    int32_t tail;  /* floats behind a plane's last place that must be zero */
    ep_mask mask;
    ep_act act;
} ep_conv;

EP_INLINE int32_t ep_step(const int bits, const void *steps, int32_t k) {
    return bits == 8 ? ((const uint8_t *)steps)[k] : bits == 16 ? ((const uint16_t *)steps)[k] : ((const int32_t *)steps)[k];
}

EP_INLINE void ep_conv_tile(
    const int tile, const int bits, const ep_conv *c, const float *in, const float *add, ptrdiff_t add_plane, float *out,
    const ep_word *mask
) {
    /* A short tile waits for each sum before it can add to it again, unless it has several of them. */
    const int parts = tile == 1 ? 4 : EP_TILE / tile;
    const float *value = c->values, *bias = c->bias;
    const unsigned char *steps = (const unsigned char *)c->steps;
    const int32_t *start = c->starts;
    const uint16_t *row = c->rows;
    for (int32_t g = 0; g < c->group_count; g++) {
        const int32_t weights = c->groups[2 * g + 1];
        for (int32_t left = c->groups[2 * g]; left; left--) {
            const ptrdiff_t channel = *row++;
            const float b = *bias++;
            ep_vec sum[EP_TILE];
            if (add) {
                const float *from = add + channel * add_plane;
                EP_UNROLL for (int j = 0; j < tile; j++) { sum[j] = EP_LOAD(from + j * EP_LANES) + b; }
            } else {
                EP_UNROLL for (int j = 0; j < tile; j++) { sum[j] = EP_ALL(b); }
            }
            if (weights) {
                const float *from = in + *start++;
                int32_t k = 0;
                if (parts > 1) {
                    ep_vec more[EP_TILE];
                    EP_UNROLL for (int j = tile; j < parts * tile; j++) { more[j] = EP_ALL(0.0f); }
                    for (; k + parts <= weights; k += parts) {
                        EP_UNROLL for (int p = 0; p < parts; p++) {
                            const float w = value[k + p];
                            EP_UNROLL for (int j = 0; j < tile; j++) {
                                ep_vec *const to = p ? &more[p * tile + j] : &sum[j];
                                *to += w * EP_LOAD(from + j * EP_LANES);
                            }
                            from += ep_step(bits, steps, k + p);
                        }
                    }
                    EP_UNROLL for (int j = tile; j < parts * tile; j++) { sum[j % tile] += more[j]; }
                }
                for (; k < weights; k++) {
                    const float w = value[k];
                    EP_UNROLL for (int j = 0; j < tile; j++) { sum[j] += w * EP_LOAD(from + j * EP_LANES); }
                    from += ep_step(bits, steps, k);
                }
                value += weights;
                steps += (ptrdiff_t)weights * (bits / 8);
            }
            if (c->act.kind == EP_ACT_RELU) {
                EP_UNROLL for (int j = 0; j < tile; j++) { sum[j] = EP_RELU(sum[j]); }
            } else if (c->act.kind == EP_ACT_CLAMP) {
                const ep_vec low = EP_ALL(c->act.low), high = EP_ALL(c->act.high);
                EP_UNROLL for (int j = 0; j < tile; j++) {
                    sum[j] = EP_MAX(sum[j], low);
                    sum[j] = EP_MIN(sum[j], high);
                }
            }
            float *to = out + channel * c->plane;
            if (mask) {
                EP_UNROLL for (int j = 0; j < tile; j++) { EP_STORE(to + j * EP_LANES, EP_KEEP(sum[j], mask + j * EP_LANES)); }
            } else {
                EP_UNROLL for (int j = 0; j < tile; j++) { EP_STORE(to + j * EP_LANES, sum[j]); }
            }
        }
    }
}

EP_INLINE void ep_conv_all(
    const int bits, const ep_conv *c, const float *in, const float *add, int32_t add_plane, float *out, ep_word *table
) {
    const int32_t vectors = (c->span + EP_LANES - 1) / EP_LANES;
    int32_t at = 0; /* where the tile begins in the mask */
    if (c->mask.period) {
        ep_make_mask(&c->mask, table);
    }
    for (int32_t done = 0; done < vectors;) {
        int32_t tile = vectors - done;
        if (tile > EP_TILE) {
            tile = tile >= 2 * EP_TILE ? EP_TILE : (tile + 1) / 2;
        }
        const ptrdiff_t place = (ptrdiff_t)done * EP_LANES;
        const float *from = add ? add + place : add;
        const ep_word *mask = c->mask.period ? table + at : NULL;
        switch (tile) {
        case 1: ep_conv_tile(1, bits, c, in + place, from, add_plane, out + place, mask); break;
        case 2: ep_conv_tile(2, bits, c, in + place, from, add_plane, out + place, mask); break;
        case 3: ep_conv_tile(3, bits, c, in + place, from, add_plane, out + place, mask); break;
        case 4: ep_conv_tile(4, bits, c, in + place, from, add_plane, out + place, mask); break;
        case 5: ep_conv_tile(5, bits, c, in + place, from, add_plane, out + place, mask); break;
        case 6: ep_conv_tile(6, bits, c, in + place, from, add_plane, out + place, mask); break;
        case 7: ep_conv_tile(7, bits, c, in + place, from, add_plane, out + place, mask); break;
        default: ep_conv_tile(8, bits, c, in + place, from, add_plane, out + place, mask); break;
        }
        done += tile;
        if (c->mask.period) {
            at = (at + tile * EP_LANES) % c->mask.period;
        }
    }
    if (c->tail) {
        for (int32_t i = 0; i < c->row_count; i++) {
            ep_zero(out + (ptrdiff_t)c->rows[i] * c->plane + c->span, c->tail);
        }
    }
}

#endif
