"""The engine in C++: all blocks in one call; and for training attention with its gradients.

`building.py` compiles it when the package is installed, `library.py` finds and describes it to
Python, `padding.py` puts padding back by it. `inference/native_*.py` and `native_attention.py` and
`unpadding.py` in `modeling/` call it. Without a compiler there is no library, and PyTorch's
operators do the same (8 bits on x86 only). `processor.py` says what the processor can do,
`memory.py` tells the C library to keep freed memory, or to give it back.
"""
