"""A photo, a folder or a clip to files: which frames and trimaps, matting them while reading and writing goes on."""
