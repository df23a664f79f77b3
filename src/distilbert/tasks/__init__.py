"""Fine-tuning tasks: their data, features, metrics, and answers read off logits."""
