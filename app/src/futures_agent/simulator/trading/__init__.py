"""The venue's accounts, orders and money: pure Python, decimal, every time handed in."""
