"""What every training run needs exactly once: devices and ranks, steps, checkpoints, logs.

Plain pieces which a recipe's `main` calls; the training loop itself stands in the recipe.
"""
