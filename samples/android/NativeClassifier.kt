// Not compiled here: it takes the Android SDK. See README.md.
package org.example.edgeprune

/** The class of an image, by the C model: rows of pixels, a byte for each channel. */
object NativeClassifier {
    init {
        System.loadLibrary("edgeprune_jni")
    }

    external fun classify(image: ByteArray): Int
}
