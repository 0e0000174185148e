#include "graph.h"

#include <stdlib.h>
#include <string.h>

/* Fuller weights run faster dense. */
#define EP_FULL 0.25

int ep_code(const ep_graph *g, int node, TfLiteNode **found) {
    TfLiteRegistration *registration;
    if (g->context->GetNodeAndRegistration(g->context, node, found, &registration) != kTfLiteOk) {
        return -1;
    }
    return registration->custom_name ? -1 : registration->builtin_code;
}

int ep_act_of(int activation) { return activation >= kTfLiteActNone && activation <= kTfLiteActRelu6; }

static const TfLiteTensor *at(const ep_graph *g, int tensor) { return &g->context->tensors[tensor]; }

static int is_map(const TfLiteTensor *t) { return t->type == kTfLiteFloat32 && t->dims && t->dims->size == 4; }

static int is_constant(const TfLiteTensor *t, int type) { return t->allocation_type == kTfLiteMmapRo && t->type == type; }

int ep_stored(const ep_graph *g, int tensor) {
    TfLiteNode *node;
    const int made_by = g->producer[tensor];
    return made_by >= 0 && ep_code(g, made_by, &node) == EP_DENSIFY ? node->inputs->data[0] : tensor;
}

/* Nonzeros of a sparse tensor; -1 where its encoding is not one that is read here. */
static long nonzeros(const TfLiteTensor *t) {
    const TfLiteSparsity *s = t->sparsity;
    if (!s || !is_constant(t, kTfLiteFloat32) || (s->block_map && s->block_map->size)) {
        return -1;
    }
    if (!s->traversal_order || s->dim_metadata_size != t->dims->size || s->traversal_order->size != t->dims->size) {
        return -1;
    }
    long count = 1;
    for (int i = 0; i < s->dim_metadata_size; i++) {
        const TfLiteDimensionMetadata *d = &s->dim_metadata[i];
        if (d->format == kTfLiteDimDense) {
            count *= d->dense_size;
        } else {
            if (!d->array_segments || !d->array_indices || d->array_segments->size != count + 1) {
                return -1;
            }
            count = d->array_indices->size;
        }
    }
    return (size_t)count * sizeof(float) <= t->bytes ? count : -1;
}

static long elements(const TfLiteTensor *t) {
    long n = 1;
    for (int i = 0; i < t->dims->size; i++) {
        n *= t->dims->data[i];
    }
    return n;
}

int ep_is_layer(const ep_graph *g, int node) {
    TfLiteNode *n;
    const int code = ep_code(g, node, &n);
    if ((code != EP_CONV_2D && code != EP_FULLY_CONNECTED) || n->inputs->size < 2) {
        return 0;
    }
    const TfLiteTensor *x = at(g, n->inputs->data[0]), *w = at(g, ep_stored(g, n->inputs->data[1]));
    const TfLiteTensor *y = at(g, n->outputs->data[0]);
    if (x->type != kTfLiteFloat32 || y->type != kTfLiteFloat32) {
        return 0;
    }
    if (n->inputs->size > 2 && n->inputs->data[2] >= 0 && !is_constant(at(g, n->inputs->data[2]), kTfLiteFloat32)) {
        return 0;
    }
    const long count = nonzeros(w);
    if (count < 0 || (double)count > EP_FULL * (double)elements(w)) {
        return 0;
    }
    if (code == EP_CONV_2D) {
        const TfLiteConvParams *p = n->builtin_data;
        return is_map(x) && w->dims->size == 4 && w->dims->data[3] == x->dims->data[3] && ep_act_of(p->activation) &&
               w->dims->data[0] <= UINT16_MAX;
    }
    const TfLiteFullyConnectedParams *p = n->builtin_data;
    const int last = x->dims->data[x->dims->size - 1], same = x->dims->size == y->dims->size;
    return w->dims->size == 2 && w->dims->data[1] == last && ep_act_of(p->activation) && same && p->weights_format == 0 &&
           (is_map(x) || x->dims->size == 2) && w->dims->data[0] <= UINT16_MAX;
}

static int masks(const TfLiteStridedSliceParams *p) { return p->ellipsis_mask | p->new_axis_mask | p->shrink_axis_mask; }

int ep_is_view(const ep_graph *g, int node) {
    TfLiteNode *n;
    const int code = ep_code(g, node, &n);
    if (code != EP_PAD && code != EP_STRIDED_SLICE && code != EP_CONCATENATION && code != EP_GATHER) {
        return 0;
    }
    if (!is_map(at(g, n->inputs->data[0])) || !is_map(at(g, n->outputs->data[0]))) {
        return 0;
    }
    if (code == EP_CONCATENATION) {
        const TfLiteConcatenationParams *p = n->builtin_data;
        return (p->axis == 3 || p->axis == -1) && p->activation == kTfLiteActNone;
    }
    for (int i = 1; i < n->inputs->size; i++) {
        if (!is_constant(at(g, n->inputs->data[i]), kTfLiteInt32)) {
            return 0;
        }
    }
    if (code == EP_GATHER) {
        const TfLiteGatherParams *p = n->builtin_data;
        return (p->axis == 3 || p->axis == -1) && p->batch_dims == 0 && at(g, n->inputs->data[1])->dims->size == 1;
    }
    const int *numbers = at(g, n->inputs->data[1])->data;
    if (code == EP_PAD) {
        return !(numbers[0] | numbers[1] | numbers[6] | numbers[7]);
    }
    const int *steps = at(g, n->inputs->data[3])->data;
    return !masks(n->builtin_data) && (((const TfLiteStridedSliceParams *)n->builtin_data)->begin_mask & 1) &&
           (((const TfLiteStridedSliceParams *)n->builtin_data)->end_mask & 1) && steps[0] == 1 && steps[1] > 0 && steps[2] > 0 &&
           steps[3] == 1;
}

/* A map is itself, seen from its first place. */
static int plain(const ep_graph *g, int tensor, ep_view *view) {
    const int channels = at(g, tensor)->dims->data[at(g, tensor)->dims->size - 1];
    *view = (ep_view){tensor, 1, 1, channels, malloc((size_t)channels * sizeof(ep_seen))};
    if (!view->seen) {
        return 0;
    }
    for (int i = 0; i < channels; i++) {
        view->seen[i] = (ep_seen){i, 0, 0};
    }
    return 1;
}

static int join(const ep_graph *g, const TfLiteIntArray *parts, int channels, ep_view *view) {
    *view = (ep_view){-1, 1, 1, 0, malloc((size_t)channels * sizeof(ep_seen))};
    for (int i = 0; view->seen && i < parts->size; i++) {
        ep_view part;
        if (!ep_look(g, parts->data[i], &part)) {
            break;
        }
        if (i == 0) {
            view->source = part.source, view->down = part.down, view->across = part.across;
        }
        const int same = part.source == view->source && part.down == view->down && part.across == view->across;
        if (same && view->count + part.count <= channels) {
            memcpy(view->seen + view->count, part.seen, (size_t)part.count * sizeof(ep_seen));
            view->count += part.count;
        }
        free(part.seen);
        if (!same) {
            break;
        }
    }
    if (view->seen && view->count == channels) {
        return 1;
    }
    free(view->seen);
    return 0;
}

/* The first number of a slice along an axis. */
static int begin_of(const ep_graph *g, const TfLiteNode *n, int axis) {
    const TfLiteStridedSliceParams *p = n->builtin_data;
    const int begin = p->begin_mask & (1 << axis) ? 0 : ((const int *)at(g, n->inputs->data[1])->data)[axis];
    return begin < 0 ? begin + at(g, n->inputs->data[0])->dims->data[axis] : begin;
}

int ep_look(const ep_graph *g, int tensor, ep_view *view) {
    const int made_by = g->producer[tensor];
    if (made_by < 0 || !g->inside[made_by] || !ep_is_view(g, made_by)) {
        return plain(g, tensor, view);
    }
    TfLiteNode *n;
    const int code = ep_code(g, made_by, &n), channels = at(g, tensor)->dims->data[3];
    if (code == EP_CONCATENATION) {
        return join(g, n->inputs, channels, view);
    }
    if (!ep_look(g, n->inputs->data[0], view)) {
        return 0;
    }
    const int *numbers = at(g, n->inputs->data[1])->data;
    int top = 0, left = 0, first = 0, down = 1, across = 1;
    if (code == EP_PAD) {
        /* A border that the source has not: what lies there is outside of it, and zero. But a cut map has no such outside. */
        top = -numbers[2], left = -numbers[4];
        const TfLiteTensor *source = at(g, view->source), *padded = at(g, n->inputs->data[0]);
        const int cut = padded->dims->data[1] != source->dims->data[1] || padded->dims->data[2] != source->dims->data[2];
        if (cut || view->down > 1 || view->across > 1) {
            free(view->seen);
            return 0;
        }
    } else if (code == EP_STRIDED_SLICE) {
        const int *steps = at(g, n->inputs->data[3])->data;
        top = begin_of(g, n, 1), left = begin_of(g, n, 2), first = begin_of(g, n, 3), down = steps[1], across = steps[2];
    }
    ep_seen *seen = malloc((size_t)channels * sizeof *seen);
    for (int i = 0; seen && i < channels; i++) {
        const ep_seen from = view->seen[code == EP_GATHER ? numbers[i] : i + first];
        seen[i] = (ep_seen){from.channel, from.top + top * view->down, from.left + left * view->across};
    }
    free(view->seen);
    view->seen = seen, view->count = channels, view->down *= down, view->across *= across;
    return seen != NULL;
}

/* Walks a sparse tensor level by level. */
typedef struct {
    const TfLiteTensor *t;
    void (*found)(void *, const int *, float);
    void *to;
    int index[4];
} ep_walk;

static void walk(ep_walk *w, int level, long entry) {
    const TfLiteSparsity *s = w->t->sparsity;
    if (level == s->dim_metadata_size) {
        const float value = ((const float *)w->t->data)[entry];
        if (value != 0.0f) {
            w->found(w->to, w->index, value);
        }
        return;
    }
    const TfLiteDimensionMetadata *d = &s->dim_metadata[level];
    const int axis = s->traversal_order->data[level];
    if (d->format == kTfLiteDimDense) {
        for (int i = 0; i < d->dense_size; i++) {
            w->index[axis] = i;
            walk(w, level + 1, entry * d->dense_size + i);
        }
        return;
    }
    for (int i = d->array_segments->data[entry]; i < d->array_segments->data[entry + 1]; i++) {
        w->index[axis] = d->array_indices->data[i];
        walk(w, level + 1, i);
    }
}

typedef struct {
    ep_layer *layer;
    const ep_view *view;
    int convolution;
    int step_y, step_x, top, left;
} ep_sink;

static void keep(void *to, const int *index, float value) {
    ep_sink *s = to;
    ep_weight *w = &s->layer->weights[s->layer->count++];
    const ep_seen seen = s->view->seen[index[s->convolution ? 3 : 1]];
    *w = (ep_weight){index[0], seen.channel, seen.top, seen.left, value};
    if (s->convolution) {
        w->top += s->view->down * (index[1] * s->step_y - s->top);
        w->left += s->view->across * (index[2] * s->step_x - s->left);
    }
}

static int border(int size, int places, int stride, int reach) {
    const int total = (places - 1) * stride + reach - size;
    return total > 0 ? total / 2 : 0;
}

int ep_read_layer(const ep_graph *g, int node, ep_layer *layer) {
    TfLiteNode *n;
    ep_view view;
    const int convolution = ep_code(g, node, &n) == EP_CONV_2D;
    if (!ep_look(g, n->inputs->data[0], &view)) {
        return 0;
    }
    const TfLiteTensor *w = at(g, ep_stored(g, n->inputs->data[1])), *x = at(g, n->inputs->data[0]);
    ep_sink sink = {layer, &view, convolution, 1, 1, 0, 0};
    *layer = (ep_layer){view.source, view.down, view.across, 0, malloc(((size_t)nonzeros(w) + 1) * sizeof(ep_weight))};
    if (convolution) {
        const TfLiteConvParams *p = n->builtin_data;
        const TfLiteIntArray *y = at(g, n->outputs->data[0])->dims;
        sink.step_y = p->dilation_height, sink.step_x = p->dilation_width;
        if (p->padding == kTfLitePaddingSame) {
            const int reach_y = p->dilation_height * (w->dims->data[1] - 1) + 1;
            const int reach_x = p->dilation_width * (w->dims->data[2] - 1) + 1;
            sink.top = border(x->dims->data[1], y->data[1], p->stride_height, reach_y);
            sink.left = border(x->dims->data[2], y->data[2], p->stride_width, reach_x);
        }
        layer->down *= p->stride_height, layer->across *= p->stride_width;
    }
    /* Beyond a cut map is padding; beyond what was cut out of its source is not. */
    const TfLiteTensor *source = at(g, view.source);
    const int whole = view.source == n->inputs->data[0];
    int fits = layer->weights != NULL;
    if (fits && convolution && !whole && (sink.top || sink.left)) {
        fits = 0;
    }
    if (fits && source->dims->size != x->dims->size) {
        fits = 0;
    }
    if (fits) {
        ep_walk state = {w, keep, &sink, {0, 0, 0, 0}};
        walk(&state, 0, 0);
    }
    free(view.seen);
    if (!fits) {
        free(layer->weights);
    }
    return fits;
}
