"""What the exchange tells without being asked."""
