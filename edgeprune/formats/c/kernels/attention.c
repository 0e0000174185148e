#include "ep.h"

#include <math.h>

/* softmax(q k' * scale + bias) v, head by head, over `batches` sequences: q[T][heads * keys], k[S][heads * keys],
   v[S][heads * width]. */
typedef struct {
    int32_t batches, queries, places, heads, keys, width;
    const float *scales;  /* one a head */
    const float *bias;    /* [.., .., T, S]; NULL: none */
    int32_t bias_batch, bias_head; /* floats from one batch's and one head's bias to the next */
    const uint8_t *pairs; /* which channels of q and k count; NULL: all */
    float cosine;         /* q and k are divided by their length, at least this; negative: they are not */
    int32_t mask_row;     /* floats from one query's mask to the next; 0: all have the same */
} ep_heads;

EP_INLINE float ep_product(const float *a, const float *b, const uint8_t *pairs, int32_t n) {
    float sum = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        sum += pairs && !pairs[i] ? 0.0f : a[i] * b[i];
    }
    return sum;
}

EP_INLINE float ep_length(const float *a, const uint8_t *pairs, int32_t n, float least) {
    const float length = sqrtf(ep_product(a, a, pairs, n));
    return length > least ? length : least;
}

/* `mask`: what is added to the scores of every head, for one sequence; NULL: nothing. `scores` has room for two floats a place. */
EP_KERNEL void ep_attention(const ep_heads *h, const float *q, const float *k, const float *v, const float *mask, float *out,
                            float *scores) {
    const ptrdiff_t in_row = (ptrdiff_t)h->heads * h->keys, out_row = (ptrdiff_t)h->heads * h->width;
    float *const lengths = scores + h->places;
    for (int32_t batch = 0; batch < h->batches; batch++) {
        for (int32_t head = 0; head < h->heads; head++) {
            const uint8_t *pairs = h->pairs ? h->pairs + (ptrdiff_t)head * h->keys : NULL;
            const float *key = k + ((ptrdiff_t)batch * h->places) * in_row + (ptrdiff_t)head * h->keys;
            for (int32_t s = 0; s < h->places; s++) {
                lengths[s] = h->cosine < 0.0f ? 1.0f : ep_length(key + s * in_row, pairs, h->keys, h->cosine);
            }
            for (int32_t t = 0; t < h->queries; t++) {
                const float *query = q + ((ptrdiff_t)batch * h->queries + t) * in_row + (ptrdiff_t)head * h->keys;
                const float own = h->cosine < 0.0f ? 1.0f : ep_length(query, pairs, h->keys, h->cosine);
                const float *bias = h->bias ? h->bias + (ptrdiff_t)batch * h->bias_batch + (ptrdiff_t)head * h->bias_head +
                                                  (ptrdiff_t)t * h->places
                                            : NULL;
                const float *added = mask ? mask + (ptrdiff_t)t * h->mask_row : NULL;
                float largest = 0.0f, total = 0.0f;
                for (int32_t s = 0; s < h->places; s++) {
                    const float product = ep_product(query, key + s * in_row, pairs, h->keys);
                    scores[s] = product * h->scales[head] / (own * lengths[s]) + (bias ? bias[s] : 0.0f) + (added ? added[s] : 0.0f);
                    largest = s == 0 || scores[s] > largest ? scores[s] : largest;
                }
                for (int32_t s = 0; s < h->places; s++) {
                    scores[s] = expf(scores[s] - largest);
                    total += scores[s];
                }
                float *to = out + ((ptrdiff_t)batch * h->queries + t) * out_row + (ptrdiff_t)head * h->width;
                for (int32_t i = 0; i < h->width; i++) {
                    to[i] = 0.0f;
                }
                for (int32_t s = 0; s < h->places; s++) {
                    const float share = scores[s] / total;
                    const float *from = v + ((ptrdiff_t)batch * h->places + s) * out_row + (ptrdiff_t)head * h->width;
                    for (int32_t i = 0; i < h->width; i++) {
                        to[i] += share * from[i];
                    }
                }
            }
        }
    }
}
