/* A TFLite delegate for sparse layers of stock models: those with CSR weights, read by FULLY_CONNECTED as they are, over patches that
   PAD, STRIDED_SLICE and CONCATENATION make, or expanded by DENSIFY for CONV_2D. Sums, activations and means between them are taken
   along, so that maps stay planes. Everything else stays with the runtime. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

#if defined(_WIN32)
#define EP_EXPORT __declspec(dllexport)
#else
#define EP_EXPORT __attribute__((visibility("default")))
#endif

/* The model as it was when nodes were chosen; lives as long as the delegate. */
typedef struct {
    TfLiteDelegateParams params;
    int *producer;
    unsigned char *inside;
    ep_plan *plan;
} ep_part;

static TfLiteIntArray *copy_of(const TfLiteIntArray *from) {
    const size_t bytes = sizeof *from + (size_t)from->size * sizeof(int);
    TfLiteIntArray *made = malloc(bytes);
    if (made) {
        memcpy(made, from, bytes);
    }
    return made;
}

/* Which of the nodes makes each tensor. */
static int *producers(TfLiteContext *c, const TfLiteIntArray *nodes) {
    int *producer = malloc(c->tensors_size * sizeof *producer);
    if (producer) {
        memset(producer, -1, c->tensors_size * sizeof *producer);
    }
    for (int i = 0; producer && i < nodes->size; i++) {
        TfLiteNode *n;
        TfLiteRegistration *r;
        c->GetNodeAndRegistration(c, nodes->data[i], &n, &r);
        for (int k = 0; k < n->outputs->size; k++) {
            producer[n->outputs->data[k]] = nodes->data[i];
        }
    }
    return producer;
}

static void part_free(TfLiteContext *c, void *data) {
    ep_part *part = data;
    (void)c;
    if (part) {
        ep_plan_free(part->plan);
        free(part->params.nodes_to_replace);
        free(part->params.input_tensors);
        free(part->params.output_tensors);
        free(part->producer);
        free(part->inside);
        free(part);
    }
}

static int highest(const TfLiteIntArray *nodes) {
    int most = 0;
    for (int i = 0; i < nodes->size; i++) {
        most = nodes->data[i] > most ? nodes->data[i] : most;
    }
    return most;
}

static void *part_init(TfLiteContext *c, const char *buffer, size_t length) {
    const TfLiteDelegateParams *params = (const void *)buffer;
    ep_part *part = calloc(1, sizeof *part);
    (void)length;
    if (!part) {
        return NULL;
    }
    part->params = (TfLiteDelegateParams){
        params->delegate, copy_of(params->nodes_to_replace), copy_of(params->input_tensors), copy_of(params->output_tensors)
    };
    /* Of the whole model: a weight may be expanded in another part. */
    part->producer = producers(c, params->delegate->data_);
    part->inside = calloc((size_t)highest(params->delegate->data_) + 1, 1);
    if (!part->params.nodes_to_replace || !part->params.input_tensors || !part->params.output_tensors || !part->producer || !part->inside) {
        part_free(c, part);
        return NULL;
    }
    for (int i = 0; i < params->nodes_to_replace->size; i++) {
        part->inside[params->nodes_to_replace->data[i]] = 1;
    }
    const ep_graph g = {c, part->producer, part->inside};
    part->plan = ep_plan_of(&g, &part->params);
    return part;
}

/* Called again after inputs were resized: any number of examples will do, another size of maps will not. */
static TfLiteStatus part_prepare(TfLiteContext *c, TfLiteNode *node) {
    ep_part *part = node->user_data;
    if (!part || !part->plan) {
        c->ReportError(c, "edgeprune: no plan for a sparse part of the model: out of memory, or a form that was not foreseen");
        return kTfLiteError;
    }
    const int known = ep_plan_resize(part->plan, c);
    if (!known) {
        c->ReportError(c, "edgeprune: the delegate runs maps of the size that the model was written for; resize the batch alone");
    }
    for (int i = 0; known && i < part->params.output_tensors->size; i++) {
        TfLiteTensor *made = &c->tensors[part->params.output_tensors->data[i]];
        if (ep_plan_makes(part->plan, part->params.output_tensors->data[i]) && made->dims->data[0] != part->plan->batch) {
            TfLiteIntArray *dims = copy_of(made->dims); /* the runtime's from here on */
            if (!dims) {
                return kTfLiteError;
            }
            dims->data[0] = part->plan->batch;
            if (c->ResizeTensor(c, made, dims) != kTfLiteOk) {
                return kTfLiteError;
            }
        }
    }
    return known ? kTfLiteOk : kTfLiteError;
}

static TfLiteStatus part_invoke(TfLiteContext *c, TfLiteNode *node) {
    const ep_part *part = node->user_data;
    ep_run(part->plan, c, part->params.output_tensors);
    return kTfLiteOk;
}

static int same_map(const TfLiteTensor *a, const TfLiteTensor *b) {
    if (a->type != kTfLiteFloat32 || b->type != kTfLiteFloat32 || a->dims->size != 4 || b->dims->size != 4) {
        return 0;
    }
    return !memcmp(a->dims->data, b->dims->data, 4 * sizeof(int)) && a->allocation_type != kTfLiteMmapRo &&
           b->allocation_type != kTfLiteMmapRo;
}

/* Sums, activations and means of maps, which are taken along where a map comes from a sparse layer. */
static int is_between(const ep_graph *g, int node) {
    TfLiteNode *n;
    const TfLiteTensor *t = g->context->tensors;
    const int code = ep_code(g, node, &n);
    if (code == EP_ADD) {
        const TfLiteTensor *a = &t[n->inputs->data[0]], *b = &t[n->inputs->data[1]];
        return same_map(a, b) && ep_act_of(((const TfLiteAddParams *)n->builtin_data)->activation);
    }
    if (code == EP_RELU || code == EP_RELU6) {
        return same_map(&t[n->inputs->data[0]], &t[n->outputs->data[0]]);
    }
    if (code == EP_MEAN) {
        const TfLiteTensor *x = &t[n->inputs->data[0]], *axes = &t[n->inputs->data[1]];
        const int *numbers = axes->data;
        return x->type == kTfLiteFloat32 && x->dims->size == 4 && axes->allocation_type == kTfLiteMmapRo &&
               axes->type == kTfLiteInt32 && axes->bytes == 2 * sizeof(int) &&
               ((numbers[0] == 1 && numbers[1] == 2) || (numbers[0] == 2 && numbers[1] == 1));
    }
    return 0;
}

static int made_inside(const ep_graph *g, int tensor) {
    const int node = g->producer[tensor];
    return node >= 0 && g->inside[node] && (ep_is_layer(g, node) || is_between(g, node));
}

/* Whether what a node makes is read by layers that are taken alone, or through views of it that are. */
static int read_inside(const ep_graph *g, const TfLiteIntArray *plan, int node, unsigned char *taken) {
    TfLiteNode *n, *reader;
    int readers = 0;
    ep_code(g, node, &n);
    for (int i = 0; i < plan->size; i++) {
        ep_code(g, plan->data[i], &reader);
        for (int k = 0; k < reader->inputs->size; k++) {
            if (reader->inputs->data[k] == n->outputs->data[0]) {
                readers++;
                if (!taken[plan->data[i]] || !(ep_is_layer(g, plan->data[i]) || ep_is_view(g, plan->data[i]))) {
                    return 0;
                }
            }
        }
    }
    return readers > 0;
}

/* Marks the nodes that are taken. Returns how many. */
static int choose(ep_graph *g, const int *producer, const TfLiteIntArray *plan, unsigned char *taken) {
    TfLiteNode *n;
    g->inside = taken;
    for (int i = 0; i < plan->size; i++) {
        const int node = plan->data[i];
        taken[node] = ep_is_layer(g, node) || ep_is_view(g, node) || is_between(g, node) || ep_code(g, node, &n) == EP_DENSIFY;
    }
    for (int changed = 1; changed;) {
        changed = 0;
        for (int i = plan->size - 1; i >= 0; i--) {
            const int node = plan->data[i];
            ep_layer layer;
            int stays = 1;
            if (!taken[node]) {
                continue;
            }
            if (ep_is_layer(g, node)) {
                ep_code(g, node, &n);
                const int expanded_by = producer[n->inputs->data[1]];
                stays = (expanded_by < 0 || taken[expanded_by]) && ep_read_layer(g, node, &layer);
                if (stays) {
                    free(layer.weights);
                }
            } else if (is_between(g, node)) {
                const int code = ep_code(g, node, &n);
                stays = made_inside(g, n->inputs->data[0]) || (code == EP_ADD && made_inside(g, n->inputs->data[1]));
            } else {
                stays = read_inside(g, plan, node, taken);
            }
            if (!stays) {
                taken[node] = 0;
                changed = 1;
            }
        }
    }
    int count = 0;
    for (int i = 0; i < plan->size; i++) {
        count += taken[plan->data[i]];
    }
    return count;
}

static TfLiteStatus delegate_prepare(TfLiteContext *c, TfLiteDelegate *delegate) {
    TfLiteIntArray *given;
    if (c->GetExecutionPlan(c, &given) != kTfLiteOk) {
        return kTfLiteError;
    }
    TfLiteIntArray *plan = copy_of(given), *nodes = copy_of(given);
    int *producer = plan ? producers(c, plan) : NULL;
    unsigned char *taken = plan ? calloc((size_t)highest(plan) + 1, 1) : NULL;
    TfLiteStatus status = kTfLiteError;
    if (plan && nodes && producer && taken) {
        ep_graph g = {c, producer, taken};
        status = kTfLiteOk;
        if (choose(&g, producer, plan, taken)) {
            nodes->size = 0;
            for (int i = 0; i < plan->size; i++) {
                if (taken[plan->data[i]]) {
                    nodes->data[nodes->size++] = plan->data[i];
                }
            }
            TfLiteRegistration part;
            memset(&part, 0, sizeof part);
            part.init = part_init, part.free = part_free, part.prepare = part_prepare, part.invoke = part_invoke;
            part.custom_name = "edgeprune", part.version = 1;
            delegate->data_ = plan;
            status = c->ReplaceNodeSubsetsWithDelegateKernels(c, part, nodes, delegate);
            delegate->data_ = NULL;
        }
    }
    free(plan);
    free(nodes);
    free(producer);
    free(taken);
    return status;
}

EP_EXPORT TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *));
EP_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate);

TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    (void)values;
    if (count) {
        if (report) {
            report("edgeprune's delegate has no options");
        }
        (void)keys;
        return NULL;
    }
    TfLiteDelegate *delegate = calloc(1, sizeof *delegate);
    if (delegate) {
        delegate->Prepare = delegate_prepare;
        delegate->flags = kTfLiteDelegateFlagsAllowDynamicTensors | kTfLiteDelegateFlagsRequirePropagatedShapes;
    }
    return delegate;
}

void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate) { free(delegate); }
