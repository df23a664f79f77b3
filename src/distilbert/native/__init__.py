"""The engine in C++: all blocks in one call; and for training attention with its gradients.

`building.py` compiles it when the package is installed, `library.py` finds and describes it to
Python. `inference/native_stack.py` and `modeling/native_attention.py` call it. Without a compiler
there is no library, and PyTorch's operators do the same (8 bits on x86 only).
"""
