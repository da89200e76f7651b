"""Pure tensor functions of both stages; no models, no configuration, no state but the negative queue and the comparative baseline."""
