#include "plan.h"

#include <stdlib.h>
#include <string.h>

static int value_of(const ep_plan *p, int tensor) {
    for (int i = 0; i < p->value_count; i++) {
        if (p->values[i].tensor == tensor) {
            return i;
        }
    }
    return -1;
}

static int add_value(ep_plan *p, const TfLiteContext *c, int tensor) {
    const TfLiteIntArray *d = c->tensors[tensor].dims;
    ep_value v = {tensor, d->data[d->size - 1], 1, 1, 1, 1, 0, 0, -1, -1};
    if (d->size == 4) {
        v.height = d->data[1], v.width = d->data[2];
    }
    if (v.height * v.width > 1) {
        v.pitch = v.width + p->border;
        v.plane = ep_rounded(ep_most((v.height + p->border) * v.pitch, ep_rounded(v.height * v.pitch)));
        v.front = ep_rounded(p->border * v.pitch + p->border);
    }
    /* Vectors are read and written a tile at a time, past the last place. */
    v.floats = v.front + v.channels * v.plane + (p->border + 1) * v.pitch + EP_TILE * EP_GRAIN;
    p->values[p->value_count] = v;
    return p->value_count++;
}

static ep_act act_of(int activation) {
    const ep_act acts[] = {{EP_NONE, 0, 0}, {EP_ACT_RELU, 0, 0}, {EP_ACT_CLAMP, -1, 1}, {EP_ACT_CLAMP, 0, 6}};
    return acts[activation];
}

static int plan_layer(ep_plan *p, const ep_graph *g, int node, ep_job *job) {
    TfLiteNode *n;
    ep_layer layer;
    const int convolution = ep_code(g, node, &n) == EP_CONV_2D;
    if (!ep_read_layer(g, node, &layer)) {
        return 0;
    }
    job->from = value_of(p, layer.source);
    job->to = add_value(p, g->context, n->outputs->data[0]);
    const ep_value *to = &p->values[job->to];
    job->kind = to->height * to->width > 1 ? EP_STEP_CONV : EP_STEP_VECTOR;
    job->act = act_of(convolution ? ((const TfLiteConvParams *)n->builtin_data)->activation
                                  : ((const TfLiteFullyConnectedParams *)n->builtin_data)->activation);
    int fine = job->from >= 0;
    if (fine && job->kind == EP_STEP_CONV) {
        fine = ep_place_weights(p, &layer, job);
    } else if (fine) {
        ep_place_single(&p->values[job->from], &layer);
    }
    job->conv.row_count = to->channels;
    const int bias = n->inputs->size > 2 ? n->inputs->data[2] : -1;
    fine = fine && ep_order_weights(&layer, job, bias < 0 ? NULL : g->context->tensors[bias].data);
    free(layer.weights);
    job->conv.span = (to->height - 1) * to->pitch + to->width;
    job->conv.plane = to->plane;
    job->conv.tail = to->plane - job->conv.span;
    job->conv.act = job->act;
    if (to->pitch != to->width) {
        job->conv.mask = (ep_mask){to->pitch, to->pitch, to->width, 1};
    }
    return fine;
}

static int plan_node(ep_plan *p, const ep_graph *g, int node) {
    TfLiteNode *n;
    const int code = ep_code(g, node, &n);
    if (code == EP_DENSIFY || ep_is_view(g, node)) {
        return 1;
    }
    ep_job *job = &p->jobs[p->job_count];
    *job = (ep_job){.add = -1};
    if (ep_is_layer(g, node)) {
        if (!plan_layer(p, g, node, job)) {
            return 0;
        }
    } else if (code == EP_ADD || code == EP_RELU || code == EP_RELU6 || code == EP_MEAN) {
        job->from = value_of(p, n->inputs->data[0]);
        job->kind = code == EP_ADD ? EP_STEP_ADD : code == EP_MEAN ? EP_STEP_MEAN : EP_STEP_ACT;
        job->act = act_of(
            code == EP_ADD     ? ((const TfLiteAddParams *)n->builtin_data)->activation
            : code == EP_RELU  ? kTfLiteActRelu
            : code == EP_RELU6 ? kTfLiteActRelu6
                               : kTfLiteActNone
        );
        if (code == EP_ADD) {
            job->add = value_of(p, n->inputs->data[1]);
        }
        if (job->from < 0 || (code == EP_ADD && job->add < 0)) {
            return 0;
        }
        job->to = add_value(p, g->context, n->outputs->data[0]);
    } else {
        return 0;
    }
    p->job_count++;
    return 1;
}

static int reads(const ep_plan *p, int value) {
    int count = 0;
    for (int i = 0; i < p->job_count; i++) {
        count += (p->jobs[i].from == value) + (p->jobs[i].add == value);
    }
    return count;
}

static int is_output(const ep_plan *p, int value, const TfLiteIntArray *outputs) {
    for (int i = 0; i < outputs->size; i++) {
        if (outputs->data[i] == p->values[value].tensor) {
            return 1;
        }
    }
    return 0;
}

/* A sum right behind a convolution that nobody else reads: the convolution begins with the other term. */
static void fuse_sums(ep_plan *p, const TfLiteIntArray *outputs) {
    for (int i = 0; i < p->job_count; i++) {
        ep_job *sum = &p->jobs[i];
        for (int j = i - 1; sum->kind == EP_STEP_ADD && j >= 0; j--) {
            ep_job *conv = &p->jobs[j];
            const int other = conv->to == sum->from ? sum->add : sum->from;
            const int made_by = conv->to == sum->from || conv->to == sum->add;
            if (!made_by || conv->kind != EP_STEP_CONV) {
                if (made_by) {
                    break;
                }
                continue;
            }
            if (conv->add >= 0 || conv->act.kind != EP_NONE || reads(p, conv->to) != 1 || is_output(p, conv->to, outputs)) {
                break;
            }
            conv->add = other, conv->to = sum->to, conv->act = conv->conv.act = sum->act;
            memmove(sum, sum + 1, (size_t)(p->job_count - i - 1) * sizeof *sum);
            p->job_count--;
            i--;
            break;
        }
    }
}

/* Memory for values: a buffer whose value nobody reads any more serves the next one that fits. */
static int place_values(ep_plan *p, const TfLiteIntArray *outputs) {
    int *free_after = malloc(((size_t)p->value_count + 1) * sizeof *free_after);
    int table = 0;
    if (!free_after) {
        return 0;
    }
    for (int i = 0; i < p->job_count; i++) {
        const ep_job *job = &p->jobs[i];
        p->values[job->from].last_read = i;
        if (job->add >= 0) {
            p->values[job->add].last_read = i;
        }
    }
    for (int v = 0; v < p->value_count; v++) {
        if (is_output(p, v, outputs)) {
            p->values[v].last_read = p->job_count;
        }
    }
    int fine = 1;
    for (int i = -1; i < p->job_count; i++) {
        for (int v = 0; v < p->value_count; v++) {
            /* What is loaded is there from the start. */
            int made = -1;
            for (int j = 0; j < p->job_count; j++) {
                made = p->jobs[j].to == v ? j : made;
            }
            ep_value *value = &p->values[v];
            if (made != i || (made < 0 && value->last_read < 0)) {
                continue;
            }
            /* A sum may be written over the term that it begins with. */
            const int term = i < 0 ? -1 : p->jobs[i].add;
            if (term >= 0 && term != p->jobs[i].from && p->values[term].last_read == i && p->values[term].floats == value->floats) {
                value->buffer = p->values[term].buffer;
            }
            for (int b = 0; b < p->buffer_count && !(term >= 0 && value->buffer == p->values[term].buffer); b++) {
                const int fits = free_after[b] < i && p->buffer_floats[b] >= value->floats;
                if (fits && (value->buffer < 0 || p->buffer_floats[b] < p->buffer_floats[value->buffer])) {
                    value->buffer = b;
                }
            }
            if (value->buffer < 0) {
                value->buffer = p->buffer_count;
                p->buffer_floats[p->buffer_count] = value->floats;
                p->buffers[p->buffer_count] = calloc((size_t)value->floats, sizeof(float));
                fine = fine && p->buffers[p->buffer_count++];
            }
            free_after[value->buffer] = value->last_read;
        }
        if (i >= 0) {
            const ep_value *to = &p->values[p->jobs[i].to];
            table = ep_most(table, to->pitch + 8 * EP_GRAIN + EP_TILE * EP_GRAIN);
        }
    }
    free(free_after);
    p->table = calloc((size_t)table + 1, sizeof(float));
    return fine && p->table;
}

/* The widest border that a convolution needs, where it reads planes as they are and where it reads cuts. */
static int border_of(const ep_graph *g, const TfLiteDelegateParams *params) {
    int border = 0;
    for (int i = 0; i < params->nodes_to_replace->size; i++) {
        TfLiteNode *n;
        ep_layer l;
        const int node = params->nodes_to_replace->data[i];
        ep_code(g, node, &n);
        if (!ep_is_layer(g, node) || g->context->tensors[n->outputs->data[0]].dims->size != 4 || !ep_read_layer(g, node, &l)) {
            continue;
        }
        const TfLiteIntArray *x = g->context->tensors[l.source].dims, *y = g->context->tensors[n->outputs->data[0]].dims;
        const int same = l.down == 1 && l.across == 1 && x->data[1] == y->data[1] && x->data[2] == y->data[2];
        int low = 0, high = 0;
        for (int k = 0; k < l.count; k++) {
            const ep_weight *w = &l.weights[k];
            const int column = ep_floor_div(w->left, l.across);
            low = k && low < column ? low : column, high = k && high > column ? high : column;
            border = same ? ep_most(border, ep_most(abs(w->top), abs(w->left))) : border;
        }
        border = same ? border : ep_most(border, high - low);
        free(l.weights);
    }
    return border;
}

/* Puts what the kernels read of the weights into one piece of memory, in the order in which it is read: a plan often runs with cold
   caches. */
static int pack(ep_plan *p) {
    size_t bytes = 0;
    for (int pass = 0; pass < 2; pass++) {
        char *to = p->packed;
        for (int i = 0; i < p->job_count; i++) {
            ep_job *job = &p->jobs[i];
            const size_t outs = (size_t)job->conv.row_count, n = (size_t)job->weights;
            const size_t sizes[5] = {
                n * sizeof(float), n * (size_t)job->bits / 8, outs * sizeof(int32_t), outs * sizeof(uint16_t) * 3, outs * sizeof(float)
            };
            for (int k = 0; k < 5 && job->owned[k]; k++) {
                const size_t room = (sizes[k] + 15) / 16 * 16;
                bytes += pass ? 0 : room;
                if (pass) {
                    memcpy(to, job->owned[k], sizes[k]);
                    free(job->owned[k]);
                    job->owned[k] = NULL;
                    switch (k) {
                    case 0: job->conv.values = (float *)(void *)to; break;
                    case 1: job->conv.steps = to; break;
                    case 2: job->conv.starts = (int32_t *)(void *)to; break;
                    case 3: job->conv.rows = (uint16_t *)(void *)to, job->conv.groups = job->conv.rows + outs; break;
                    default: job->conv.bias = (float *)(void *)to; break;
                    }
                    to += room;
                }
            }
        }
        if (!pass && !(p->packed = malloc(bytes + 1))) {
            return 0;
        }
    }
    return 1;
}

ep_plan *ep_plan_of(const ep_graph *g, const TfLiteDelegateParams *params) {
    ep_plan *p = calloc(1, sizeof *p);
    const size_t nodes = (size_t)params->nodes_to_replace->size, inputs = (size_t)params->input_tensors->size;
    if (!p) {
        return NULL;
    }
    p->values = calloc(nodes + inputs + 1, sizeof *p->values);
    p->jobs = calloc(nodes + 1, sizeof *p->jobs);
    p->buffers = calloc(nodes + inputs, sizeof *p->buffers);
    p->buffer_floats = calloc(nodes + inputs, sizeof *p->buffer_floats);
    int fine = p->values && p->jobs && p->buffers && p->buffer_floats;
    p->border = border_of(g, params);
    for (size_t i = 0; fine && i < inputs; i++) {
        const TfLiteTensor *t = &g->context->tensors[params->input_tensors->data[i]];
        const int tensor = params->input_tensors->data[i];
        /* What DENSIFY makes is a weight, and read where it is stored. */
        if (ep_stored(g, tensor) == tensor && t->allocation_type != kTfLiteMmapRo && t->type == kTfLiteFloat32 && !t->sparsity && (t->dims->size == 4 || t->dims->size == 2)) {
            add_value(p, g->context, tensor);
        }
    }
    p->input_count = p->value_count;
    for (size_t i = 0; fine && i < nodes; i++) {
        fine = plan_node(p, g, params->nodes_to_replace->data[i]);
    }
    if (fine) {
        fuse_sums(p, params->output_tensors);
        for (int i = 0; i < params->output_tensors->size; i++) {
            const int tensor = params->output_tensors->data[i];
            fine = fine && (value_of(p, tensor) >= 0 || ep_stored(g, tensor) != tensor);
        }
        fine = fine && place_values(p, params->output_tensors) && pack(p);
    }
    if (!fine) {
        ep_plan_free(p);
        return NULL;
    }
    return p;
}

int ep_plan_makes(const ep_plan *p, int tensor) { return value_of(p, tensor) >= 0; }

int ep_plan_resize(ep_plan *p, const TfLiteContext *c) {
    p->batch = 0;
    for (int i = 0; i < p->input_count; i++) {
        const TfLiteIntArray *d = c->tensors[p->values[i].tensor].dims;
        const ep_value *v = &p->values[i];
        const int map = d->size == 4 && d->data[1] == v->height && d->data[2] == v->width;
        if (!(map || (d->size == 2 && v->height * v->width == 1)) || d->data[d->size - 1] != v->channels) {
            return 0;
        }
        if (p->batch && p->batch != d->data[0]) {
            return 0;
        }
        p->batch = d->data[0];
    }
    return 1;
}

void ep_plan_free(ep_plan *p) {
    if (!p) {
        return;
    }
    for (int i = 0; i < p->job_count; i++) {
        for (int k = 0; k < 5; k++) {
            free(p->jobs[i].owned[k]);
        }
        free(p->jobs[i].cuts);
        free(p->jobs[i].planes);
    }
    for (int i = 0; i < p->buffer_count; i++) {
        free(p->buffers[i]);
    }
    free(p->values);
    free(p->jobs);
    free(p->buffers);
    free(p->buffer_floats);
    free(p->table);
    free(p->packed);
    free(p);
}
