"""The venue: the only door to the exchange."""
