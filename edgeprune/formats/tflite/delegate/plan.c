#include "plan.h"

#include <stdlib.h>
#include <string.h>

static int rounded(int n) { return (n + EP_GRAIN - 1) / EP_GRAIN * EP_GRAIN; }

static int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

static int most(int a, int b) { return a > b ? a : b; }

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
        v.plane = rounded(most((v.height + p->border) * v.pitch, rounded(v.height * v.pitch)));
        v.front = rounded(p->border * v.pitch + p->border);
    }
    /* Vectors are read and written a tile at a time, past the last place. */
    v.floats = v.front + v.channels * v.plane + (p->border + 1) * v.pitch + EP_TILE * EP_GRAIN;
    p->values[p->value_count] = v;
    return p->value_count++;
}

static int by_row(const void *a, const void *b) {
    const ep_weight *x = a, *y = b;
    return x->out != y->out ? (x->out > y->out) - (x->out < y->out) : (x->top > y->top) - (x->top < y->top);
}

/* Whether planes are read where they lie: every place of the output is the same place of the source, and no tap leaves the border. */
static int direct(const ep_plan *p, const ep_layer *l, const ep_value *from, const ep_value *to) {
    if (l->down != 1 || l->across != 1 || from->height != to->height || from->width != to->width) {
        return 0;
    }
    for (int i = 0; i < l->count; i++) {
        if (abs(l->weights[i].top) > p->border || abs(l->weights[i].left) > p->border) {
            return 0;
        }
    }
    return 1;
}

typedef struct {
    int begin, count;
} ep_span;

/* Which of the places `first`, first + step, ..., so many of them, lie from 0 up to `size`. */
static ep_span inside(int first, int step, int places, int size) {
    const int begin = first < 0 ? (-first + step - 1) / step : 0;
    int end = first < size ? (size - first + step - 1) / step : 0;
    end = end < places ? end : places;
    return (ep_span){begin, end > begin ? end - begin : 0};
}

/* Turns what a weight reads into floats from the first place of its plane: into `top`. */
static int place_weights(const ep_plan *p, ep_layer *l, ep_job *job) {
    const ep_value *from = &p->values[job->from], *to = &p->values[job->to];
    if (direct(p, l, from, to)) {
        for (int i = 0; i < l->count; i++) {
            ep_weight *w = &l->weights[i];
            w->top = w->channel * from->plane + w->top * from->pitch + w->left;
        }
        return 1;
    }
    int rows[2] = {0, 0}, columns[2] = {0, 0};
    for (int i = 0; i < l->count; i++) {
        const int y = floor_div(l->weights[i].top, l->down), x = floor_div(l->weights[i].left, l->across);
        rows[0] = i && rows[0] < y ? rows[0] : y, rows[1] = i && rows[1] > y ? rows[1] : y;
        columns[0] = i && columns[0] < x ? columns[0] : x, columns[1] = i && columns[1] > x ? columns[1] : x;
    }
    if (columns[1] - columns[0] > to->pitch - to->width && to->height > 1) {
        return 0;
    }
    job->down = l->down, job->across = l->across;
    const int height = to->height + rows[1] - rows[0], width = to->width + columns[1] - columns[0];
    job->cut_pitch = to->height > 1 ? to->pitch : width;
    job->cut_plane = rounded(height * job->cut_pitch);
    const int phases = l->down * l->across, channels = from->channels;
    int *number = malloc((size_t)channels * (size_t)phases * sizeof *number);
    job->cuts = malloc(((size_t)channels * (size_t)phases + 1) * sizeof *job->cuts);
    if (!number || !job->cuts) {
        free(number);
        return 0;
    }
    memset(number, -1, (size_t)channels * (size_t)phases * sizeof *number);
    for (int i = 0; i < l->count; i++) {
        ep_weight *w = &l->weights[i];
        const int y = floor_div(w->top, l->down), x = floor_div(w->left, l->across);
        const int row = w->top - y * l->down, column = w->left - x * l->across;
        int *plane = &number[(w->channel * l->down + row) * l->across + column];
        if (*plane < 0) {
            const int top = row + rows[0] * l->down, left = column + columns[0] * l->across;
            const ep_span down = inside(top, l->down, height, from->height), across = inside(left, l->across, width, from->width);
            job->cuts[job->cut_count] = (ep_cut){
                w->channel * from->plane + (top + down.begin * l->down) * from->pitch + left + across.begin * l->across,
                job->cut_count * job->cut_plane + down.begin * job->cut_pitch + across.begin, down.count, across.count
            };
            *plane = job->cut_count++;
        }
        w->top = *plane * job->cut_plane + (y - rows[0]) * job->cut_pitch + x - columns[0];
    }
    free(number);
    job->planes = calloc((size_t)job->cut_count * (size_t)job->cut_plane + (size_t)to->pitch + EP_TILE * EP_GRAIN, sizeof(float));
    return job->planes != NULL;
}

/* One place made: weights read elements of the source, those that lie in it. */
static void place_single(const ep_value *from, ep_layer *l) {
    int kept = 0;
    for (int i = 0; i < l->count; i++) {
        ep_weight w = l->weights[i];
        if (w.top >= 0 && w.top < from->height && w.left >= 0 && w.left < from->width) {
            w.top = w.channel * from->plane + w.top * from->pitch + w.left;
            l->weights[kept++] = w;
        }
    }
    l->count = kept;
}

/* The weights in the order in which the kernels run through them: outputs with equally many stand together. */
static int order_weights(ep_layer *l, ep_job *job, const float *bias) {
    const int outs = job->conv.row_count, n = l->count;
    qsort(l->weights, (size_t)n, sizeof *l->weights, by_row);
    int *begin = calloc((size_t)outs + 1, sizeof *begin);
    float *values = malloc(((size_t)n + 1) * sizeof *values), *biases = malloc((size_t)outs * sizeof *biases);
    int32_t *steps = malloc(((size_t)n + 1) * sizeof *steps), *starts = malloc((size_t)outs * sizeof *starts);
    uint16_t *rows = malloc((size_t)outs * 3 * sizeof *rows);
    job->owned[0] = values, job->owned[1] = steps, job->owned[2] = starts, job->owned[3] = rows, job->owned[4] = biases;
    if (!begin || !values || !biases || !steps || !starts || !rows) {
        free(begin);
        return 0;
    }
    int longest = 0;
    for (int i = 0; i < n; i++) {
        begin[l->weights[i].out + 1]++;
    }
    for (int o = 0; o < outs; o++) {
        longest = most(longest, begin[o + 1]);
        begin[o + 1] += begin[o];
    }
    int done = 0, made = 0, started = 0, largest = 0;
    uint16_t *groups = rows + outs;
    for (int each = 0; each <= longest && longest <= UINT16_MAX; each++) {
        int members = 0;
        for (int o = 0; o < outs; o++) {
            if (begin[o + 1] - begin[o] != each) {
                continue;
            }
            members++;
            rows[done] = (uint16_t)o;
            biases[done++] = bias ? bias[o] : 0.0f;
            for (int k = 0; k < each; k++) {
                const ep_weight *w = &l->weights[begin[o] + k];
                values[made] = w->value;
                steps[made] = job->kind == EP_STEP_VECTOR ? w->top : k + 1 < each ? w[1].top - w->top : 0;
                largest = most(largest, steps[made++]);
            }
            if (each) {
                starts[started++] = l->weights[begin[o]].top;
            }
        }
        if (members) {
            groups[2 * job->conv.group_count] = (uint16_t)members;
            groups[2 * job->conv.group_count++ + 1] = (uint16_t)each;
        }
    }
    free(begin);
    job->weights = n;
    job->bits = largest <= UINT8_MAX ? 8 : largest <= UINT16_MAX ? 16 : 32;
    for (int i = 0; i < n && job->bits < 32; i++) {
        if (job->bits == 8) {
            ((uint8_t *)(void *)steps)[i] = (uint8_t)steps[i];
        } else {
            uint16_t narrow = (uint16_t)steps[i];
            memcpy((char *)steps + 2 * (size_t)i, &narrow, sizeof narrow);
        }
    }
    job->conv.values = values, job->conv.steps = steps, job->conv.starts = starts;
    job->conv.rows = rows, job->conv.bias = biases, job->conv.groups = groups;
    return longest <= UINT16_MAX;
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
        fine = place_weights(p, &layer, job);
    } else if (fine) {
        place_single(&p->values[job->from], &layer);
    }
    job->conv.row_count = to->channels;
    const int bias = n->inputs->size > 2 ? n->inputs->data[2] : -1;
    fine = fine && order_weights(&layer, job, bias < 0 ? NULL : g->context->tensors[bias].data);
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
            table = most(table, to->pitch + 8 * EP_GRAIN + EP_TILE * EP_GRAIN);
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
            const int column = floor_div(w->left, l.across);
            low = k && low < column ? low : column, high = k && high > column ? high : column;
            border = same ? most(border, most(abs(w->top), abs(w->left))) : border;
        }
        border = same ? border : most(border, high - low);
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
