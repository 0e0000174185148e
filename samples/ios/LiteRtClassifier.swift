// Not compiled here: it takes Xcode. See README.md.
import Foundation
import TensorFlowLite

/// The class of a gray image of 28 x 28 pixels, 0 to 255. The numbers are those of the model's metadata.
final class LiteRtClassifier {
    private let interpreter: Interpreter

    init() throws {
        guard let path = Bundle.main.path(forResource: "model", ofType: "tflite") else { throw CocoaError(.fileNoSuchFile) }
        interpreter = try Interpreter(modelPath: path)
        try interpreter.allocateTensors()
    }

    func classify(_ image: [UInt8]) throws -> Int {
        let pixels = image.map { (Float32($0) / 255 - 0.1307) / 0.3081 }
        try interpreter.copy(pixels.withUnsafeBytes { Data($0) }, toInputAt: 0)
        try interpreter.invoke()
        let scores = try interpreter.output(at: 0).data.withUnsafeBytes { Array($0.bindMemory(to: Float32.self)) }
        return scores.indices.max { scores[$0] < scores[$1] }!
    }
}
