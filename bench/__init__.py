"""Measurements, as ratios to a control in the same run; nothing of the product imports them."""
