"""Options that transformers' `from_pretrained` or pipelines have and ours have not.

A value that changes nothing here is dropped; for any other the error says what to do instead.
"""

from collections.abc import Callable, Mapping
from typing import Any

# Option: the values that change nothing, and what to do instead of another; or, where every value
# changes nothing, a check of it as in `distilbert.fields`.
Table = Mapping[str, tuple[tuple[Any, ...], str] | Callable[[str, Any], Any]]

AS_TUPLES = "say return_dict=False, tuples are what tracing needs"
_EVERYWHERE: Table = {
    "device_map": ((None, "cpu", {"": "cpu"}), "say device=… to a PyTorch model"),
    "from_flax": ((None, False), "files of Flax are not read"),
    "from_tf": ((None, False), "the class with TF before its name reads tf_model.h5"),
    "load_in_4bit": ((None, False), 'distilbert.load(folder, precision="int8") takes 8 bits'),
    "load_in_8bit": ((None, False), 'say distilbert.load(folder, precision="int8")'),
    "low_cpu_mem_usage": ((None, False, True), "leave it out, it is always so"),
    "proxies": ((None,), "set HTTPS_PROXY in the environment"),
    "quantization_config": ((None,), 'say distilbert.load(folder, precision="int8")'),
    "resume_download": ((None, False, True), "leave it out, it is always so"),
    "return_unused_kwargs": ((None, False), "leave it out, an unknown name is an error"),
    "torchscript": ((None, False), AS_TUPLES),
    "trust_remote_code": ((None, False), "leave it out, code from a repository is never run"),
    "use_auth_token": ((None,), "say token=…"),
    "variant": ((None,), "rename the file to model.safetensors"),
    "weights_only": ((None, True), "leave it out, code in a file is never run"),
}


def without_foreign(
    options: Mapping[str, Any], also: Table | None = None, *, of: str = "from_pretrained"
) -> dict[str, Any]:
    """Return the options that are left when those of transformers alone are dropped.

    Args:
        also: more of them, or others of the same name.
        of: what has not these options, for the error.

    Raises:
        TypeError: one has a value that asks for what is not done. It is not shown: it may be a
            token or a password.
        TypeError, ValueError: as a check raises them.

    >>> without_foreign({"trust_remote_code": False, "dropout": 0.2})
    {'dropout': 0.2}
    """
    table = {**_EVERYWHERE, **(also or {})}
    for name in options.keys() & table.keys():
        entry, value = table[name], options[name]
        if callable(entry):
            entry(name, value)
        elif not any(value == each or str(value) == each for each in entry[0]):
            raise TypeError(f"{of} has no option {name!r}: {entry[1]}")
    return {name: value for name, value in options.items() if name not in table}
