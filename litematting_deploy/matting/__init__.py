"""The task itself in NumPy and OpenCV: trimaps, guide, patches, photos, foreground, image files."""
