"""The task itself in NumPy and OpenCV: trimaps, the guide, patches, foreground colours, and result pictures."""
