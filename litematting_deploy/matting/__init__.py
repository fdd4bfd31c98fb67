"""The task itself in NumPy and OpenCV: trimaps, guide, patches, foreground, image files."""
