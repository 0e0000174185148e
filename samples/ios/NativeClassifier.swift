// Not compiled here: it takes Xcode. See README.md.

/// The class of an image, by the C model: rows of pixels, a byte for each channel. Nothing where the image has another size.
func classify(_ image: [UInt8]) -> Int? {
    guard image.count == Int(classifier_image_bytes()) else { return nil }
    let found = classifier_run(image, nil)
    return found < 0 ? nil : Int(found)
}
