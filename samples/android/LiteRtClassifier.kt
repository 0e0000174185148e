// Not compiled here: it takes the Android SDK. See README.md.
package org.example.edgeprune

import android.content.Context
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

/** The class of a gray image of 28 x 28 pixels, 0 to 255. The numbers are those of the model's metadata. */
class LiteRtClassifier(context: Context) : AutoCloseable {
    private val model =
        CompiledModel.create(context.assets, "model.tflite", CompiledModel.Options(Accelerator.CPU))
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    fun classify(image: IntArray): Int {
        inputs[0].writeFloat(FloatArray(image.size) { (image[it] / 255f - 0.1307f) / 0.3081f })
        model.run(inputs, outputs)
        val scores = outputs[0].readFloat()
        return scores.indices.maxBy { scores[it] }
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }
}
