/* A C model as an app calls it: bytes of an image in, the class out. Any thread may call; each call has an arena of its own. */
#ifndef CLASSIFIER_H
#define CLASSIFIER_H

#ifdef __cplusplus
extern "C" {
#endif

/* How many bytes an image has: rows of pixels, the channels of a pixel together. */
int classifier_image_bytes(void);

/* How many scores there are. */
int classifier_classes(void);

/* The class with the largest score, and all scores where `scores` is no null pointer; -1 when there is no memory. */
int classifier_run(const unsigned char *image, float *scores);

#ifdef __cplusplus
}
#endif

#endif
