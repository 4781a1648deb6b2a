"""What may speak for an entry of `smc`: bit n of a signal's reasons is `REASONS[n]`."""

REASONS = (
    "D1 average",
    "D1 structure",
    "H4 structure",
    "H4 order block",
    "H4 gap",
    "H1 sweep",
    "H4 range",
    "H1 change of character",
    "H1 break of structure",
    "target at H4 liquidity",
)

# Numbers of their own, because compiled code knows no lookup by name.
D1_AVERAGE, D1_STRUCTURE, H4_STRUCTURE = 1 << 0, 1 << 1, 1 << 2
H4_ORDER_BLOCK, H4_GAP, H1_SWEEP = 1 << 3, 1 << 4, 1 << 5  # locations
H4_RANGE = 1 << 6  # in discount (longs) or premium (shorts)
H1_CHOCH, H1_BOS = 1 << 7, 1 << 8  # triggers
TARGET_AT_LIQUIDITY = 1 << 9
