"""Sources of images: what people bring, read and checked."""
