"""A mask from next to nothing: a box, a key colour, a clean plate, or a segmentation model of the user's own.

Each module makes one kind of soft mask, (H, W) float32, 0 background to 1 foreground; `maker` opens the one that a spec
asks for. How a mask becomes a trimap is `matting.trimap`'s to say, for these as for any other mask.
"""
