"""The world outside the exchange: economic series, the crowd's mood."""
