"""Text to ids and back: the pure-Python WordPiece, the Rust one, and the layer that both share."""
