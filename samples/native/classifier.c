#include "classifier.h"

#include <stdlib.h>

#include "model.h"

/* What the model expects of its input is in its header: the sizes, and how a pixel becomes a number. */
static const int shape[] = MODEL_INPUT0_SHAPE;
static const float mean[] = MODEL_MEAN, deviation[] = MODEL_STD;

int classifier_image_bytes(void) { return MODEL_INPUT0_SIZE; }

int classifier_classes(void) { return MODEL_OUTPUT0_SIZE; }

int classifier_run(const unsigned char *image, float *scores) {
    float *input = malloc(sizeof(float) * (MODEL_INPUT0_SIZE + MODEL_OUTPUT0_SIZE));
    void *arena = malloc(MODEL_ARENA_BYTES);
    int best = -1;
    if (input && arena) {
        const int channels = shape[0], pixels = MODEL_INPUT0_SIZE / shape[0];
        float *output = input + MODEL_INPUT0_SIZE;
        int c, i;
        for (c = 0; c < channels; c++)
            for (i = 0; i < pixels; i++) input[c * pixels + i] = ((float)image[i * channels + c] * MODEL_SCALE - mean[c]) / deviation[c];
        if (!model_run(input, output, arena)) {
            best = 0;
            for (i = 0; i < MODEL_OUTPUT0_SIZE; i++) {
                if (output[i] > output[best]) best = i;
                if (scores) scores[i] = output[i];
            }
        }
    }
    free(arena);
    free(input);
    return best;
}
