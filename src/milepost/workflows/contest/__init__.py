"""From data to a judged, gated contest: the steps of `improve`."""
