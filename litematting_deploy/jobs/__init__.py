"""Many frames: which they are, and matting them while reading and writing goes on beside."""
