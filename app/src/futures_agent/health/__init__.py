"""What a healthy host looks like, measured."""
