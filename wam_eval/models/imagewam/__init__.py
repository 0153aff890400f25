"""ImageWAM: an image-editing model as the backbone of an action expert."""
