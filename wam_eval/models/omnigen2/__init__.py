"""OmniGen2's transformer, image autoencoder and text encoder."""
