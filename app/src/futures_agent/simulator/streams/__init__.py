"""WebSocket streams of the venue: market data and user data, on the port of its REST API."""
