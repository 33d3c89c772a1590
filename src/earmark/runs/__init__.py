"""Variants x folds x seeds: plan, train, evaluate."""
