/* What NativeClassifier.kt calls. Not compiled here: jni.h comes with the Android NDK. See README.md. */
#include <jni.h>

#include "classifier.h"

JNIEXPORT jint JNICALL Java_org_example_edgeprune_NativeClassifier_classify(JNIEnv *env, jobject self, jbyteArray image) {
    jint found = -1;
    (void)self;
    if ((*env)->GetArrayLength(env, image) == classifier_image_bytes()) {
        jbyte *pixels = (*env)->GetByteArrayElements(env, image, NULL);
        if (pixels) {
            found = classifier_run((const unsigned char *)pixels, NULL);
            (*env)->ReleaseByteArrayElements(env, image, pixels, JNI_ABORT);
        }
    }
    return found;
}
