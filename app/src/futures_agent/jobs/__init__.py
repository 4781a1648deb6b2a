"""Programs: one module per unit, all run through one harness."""
