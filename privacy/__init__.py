"""Differential privacy: noise, accounting, ledger; numpy, scipy and dp-accounting only, knows no Flower, no torch."""
