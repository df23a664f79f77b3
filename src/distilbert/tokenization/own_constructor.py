"""What the constructor of a subclass is called with when files are opened."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tokenizers import AddedToken

from distilbert.tokenization.added_tokens import flags_of
from distilbert.tokenization.files import DEFAULT_ROLES, SETTINGS, Opened
from distilbert.tokenization.spec import CUTTING, Spec
from distilbert.tokenization.vocabulary import as_added_token

_ATTRIBUTES = {*SETTINGS, "model_input_names", "name_or_path", "verbose"}


def constructor_arguments(
    constructor: Callable[..., Any], opened: Opened, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a constructor's arguments by name, and the attributes to set afterwards.

    What is as usual is left out unless the constructor names it, so that one that takes little
    opens ordinary files.
    """
    named = inspect.signature(constructor).parameters
    spec = opened.spec
    usual = Spec(vocab={})
    roles = {"pad_token": None, "mask_token": None, **opened.roles}
    cutting = {name: getattr(spec, name) for name in (*CUTTING, "never_split")}
    if not opened.says_case:  # the constructor does
        del cutting["do_lower_case"]
    unusual = {name: value for name, value in cutting.items() if value != getattr(usual, name)}
    unusual |= {role: name for role, name in roles.items() if name != DEFAULT_ROLES.get(role)}
    unusual |= {
        name: value
        for name, value in settings.items()
        if name not in _ATTRIBUTES and (value or name != "additional_special_tokens")
    }
    special = [*roles.values(), *settings["additional_special_tokens"]]
    if added := {i: t for i, t in spec.added.items() if not _follows(i, t, spec, special)}:
        unusual["added_tokens_decoder"] = added
    everything = {
        **opened.unknown,
        "vocab_file": spec.vocab,
        "added_tokens_decoder": spec.added,
        **cutting,
        **roles,
        **settings,
    }
    given = {name: value for name, value in everything.items() if name in named} | {
        name: value for name, value in unusual.items() if name not in named
    }
    return given, {name: value for name, value in settings.items() if name in _ATTRIBUTES}


def _follows(index: int, token: AddedToken, spec: Spec, special: list[Any]) -> bool:
    """Whether the constructor makes an added token by itself, of its being a special one."""
    return (
        any(isinstance(each, str) and each == token.content for each in special)
        and spec.vocab.get(token.content) == index
        and flags_of(token) == flags_of(as_added_token(token.content, special=True))
    )
