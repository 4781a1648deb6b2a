"""The audit: does a strategy decide by what it was shown, and by nothing else?"""
