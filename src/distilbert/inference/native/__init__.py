"""The engine in C++: the whole stack of blocks in one call, compiled when the package is installed.

`library.py` finds and describes it to Python, `linear.py` and `stack.py` are what a prepared model
is made of. Without a compiler there is no library, and PyTorch's operators do the same (8 bits on
x86 only).
"""
