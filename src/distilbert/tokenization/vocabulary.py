"""Tokens and ids: the vocabulary, the tokens added to it, and those with a role (`[CLS]` …)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, overload

from tokenizers import AddedToken

from distilbert.tokenization.added_tokens import flags_of
from distilbert.tokenization.engine import Engine
from distilbert.tokenization.lazy import lazy
from distilbert.tokenization.row import Frame
from distilbert.tokenization.tensors import kind_of, to_ids, to_lists
from distilbert.tokenization.text import check_text

ROLES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)

LOOKED_UP = ("_frame", "_size", "_skipped", "_spell")  # once, until tokens or roles change


class _RoleToken:
    """The token of a role, as an attribute that can be set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._role = name

    def __get__(self, tokenizer: "Vocabulary", owner: type) -> str | None:
        return tokenizer._roles.get(self._role)

    def __set__(self, tokenizer: "Vocabulary", token: str | AddedToken | None) -> None:
        tokenizer._set_role(self._role, token)


class _RoleId:
    """The id of a role's token, as an attribute that can be set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._role = name.removesuffix("_id")

    def __get__(self, tokenizer: "Vocabulary", owner: type) -> int | None:
        token = tokenizer._roles.get(self._role)
        return None if token is None else tokenizer.convert_tokens_to_ids(token)

    def __set__(self, tokenizer: "Vocabulary", index: int | None) -> None:
        token = None if index is None else tokenizer.convert_ids_to_tokens(index)
        tokenizer._set_role(self._role, token)


class Vocabulary:
    """What a tokenizer knows of tokens and ids, whatever cuts the text."""

    unk_token = _RoleToken()
    sep_token = _RoleToken()
    pad_token = _RoleToken()
    cls_token = _RoleToken()
    mask_token = _RoleToken()
    bos_token = _RoleToken()
    eos_token = _RoleToken()
    unk_token_id = _RoleId()
    sep_token_id = _RoleId()
    pad_token_id = _RoleId()
    cls_token_id = _RoleId()
    mask_token_id = _RoleId()
    bos_token_id = _RoleId()
    eos_token_id = _RoleId()

    _engine: Engine
    _base: dict[str, int]

    def __init__(self, roles: Mapping[str, str], additional: Iterable[str] = ()) -> None:
        self._roles = dict(roles)
        self._additional = list(additional)

    def _cut_with(self, engine: Engine) -> None:
        self._engine = engine
        self._base = engine.vocab
        self._forget()

    def _forget(self) -> None:
        for name in LOOKED_UP:
            vars(self).pop(name, None)

    @lazy
    def _frame(self) -> Frame:
        """The special tokens that go around texts."""
        cls, sep = self._roles.get("cls_token"), self._roles.get("sep_token")
        if cls is None or sep is None:
            raise ValueError("a text is put between cls_token and sep_token; set both")
        pad = self._roles.get("pad_token")
        return Frame(
            (self.convert_tokens_to_ids(cls), cls),
            (self.convert_tokens_to_ids(sep), sep),
            (-1, "") if pad is None else (self.convert_tokens_to_ids(pad), pad),
        )

    def _set_role(self, role: str, token: Any) -> None:
        is_token = isinstance(token, str | AddedToken)
        if not is_token and (token is not None or role == "unk_token"):
            raise ValueError(f"{role} must be a string or an AddedToken, not {token!r}")
        if token is None:
            self._roles.pop(role, None)
        elif self._engine.token_to_id(str(token)) is None:
            raise ValueError(
                f"{role}={str(token)!r} is not in the vocabulary; "
                f"add it with add_special_tokens({{{role!r}: {str(token)!r}}})"
            )
        else:
            self._match_whole([token])
            self._roles[role] = str(token)
        self._forget()

    def _match_whole(self, specials: Iterable[str | AddedToken]) -> None:
        """Make added tokens of special ones, as opening their files does."""
        known = self.added_tokens_encoder
        self._engine.add_tokens(
            [
                as_added_token(token, special=True)
                for token in specials
                if isinstance(token, AddedToken) or token not in known
            ]
        )

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary without added tokens; `len(tokenizer)` counts them too."""
        return len(self._base)

    def __len__(self) -> int:
        return self._size

    @lazy
    def _size(self) -> int:
        added = self._engine.added_tokens.values()
        return len(self._base) + sum(token.content not in self._base for token in added)

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """Return every token and its id, added ones included."""
        return {**self._base, **self.added_tokens_encoder}

    @property
    def vocab(self) -> dict[str, int]:
        """Every token and its id, added ones included."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens that are matched whole, by id; those with a role are among them."""
        return self._engine.added_tokens

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the tokens that are matched whole."""
        return {token.content: index for index, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """Return the ids of the tokens that are matched whole."""
        return self.added_tokens_encoder

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a role."""
        return list(self._additional)

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Any) -> None:
        tokens = listed_tokens("additional_special_tokens", tokens)
        names = [str(token) for token in tokens]
        missing = [name for name in names if self._engine.token_to_id(name) is None]
        if missing:
            raise ValueError(
                f"{missing} are not in the vocabulary; "
                "add them with add_special_tokens({'additional_special_tokens': [...]})"
            )
        self._match_whole(tokens)
        self._additional = names
        self._forget()

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Ids of the special tokens without a role."""
        return [self.convert_tokens_to_ids(token) for token in self._additional]

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Sequence[int] | None) -> None:
        self.additional_special_tokens = self.convert_ids_to_tokens(ids or [])

    # The names of transformers 5.x
    extra_special_tokens = additional_special_tokens
    extra_special_tokens_ids = additional_special_tokens_ids

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """Role to token, and the special tokens without a role."""
        roles: dict[str, str | list[str]] = {
            role: self._roles[role] for role in ROLES if role in self._roles
        }
        if self._additional:
            roles["additional_special_tokens"] = list(self._additional)
        return roles

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, once."""
        tokens = [self._roles[role] for role in ROLES if role in self._roles]
        return list(dict.fromkeys([*tokens, *self._additional]))

    # Names of transformers 4; every special token is an added one, and in the vocabulary.

    @property
    def special_tokens_map_extended(self) -> dict[str, AddedToken | list[AddedToken]]:
        """The `special_tokens_map` with the flags of the tokens."""
        tokens = {token.content: token for token in self._engine.added_tokens.values()}
        return {
            role: [tokens[name] for name in value] if isinstance(value, list) else tokens[value]
            for role, value in self.special_tokens_map.items()
        }

    @property
    def all_special_tokens_extended(self) -> list[AddedToken]:
        """The `all_special_tokens` with their flags."""
        tokens = {token.content: token for token in self._engine.added_tokens.values()}
        return [tokens[name] for name in self.all_special_tokens]

    def sanitize_special_tokens(self) -> int:
        """Return how many special tokens were not in the vocabulary and had to be added: none."""
        return 0

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [self.convert_tokens_to_ids(token) for token in self.all_special_tokens]

    def add_tokens(
        self,
        new_tokens: str | AddedToken | Sequence[str | AddedToken],
        special_tokens: bool = False,
    ) -> int:
        """Add tokens that are matched whole in a text, and return how many ids are new.

        Call the model's `resize_token_embeddings(len(tokenizer))` afterwards.

        Raises:
            TypeError: a token is neither a string nor an AddedToken.
        """
        if isinstance(new_tokens, str | AddedToken) or not isinstance(new_tokens, Iterable):
            new_tokens = [new_tokens]
        specials = set(self.all_special_tokens)
        fresh = []
        for token in new_tokens:
            special = special_tokens or str(token) in specials
            added = as_added_token(token, special)
            if added.content:
                fresh.append(added)
        before = len(self)
        self._engine.add_tokens(fresh)
        for added in fresh:
            if added.special and added.content not in specials:
                specials.add(added.content)
                self._additional.append(added.content)
        self._forget()
        return len(self) - before

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Any],
        replace_additional_special_tokens: bool = True,
        replace_extra_special_tokens: bool = True,
    ) -> int:
        """Give tokens a role, adding them to the vocabulary if need be; return how many are new.

        A new unk_token, and what was added before it, counts as vocabulary from then on.

        Args:
            special_tokens_dict: role to token, as `{"mask_token": "<mask>"}`, or a list of tokens
                under `additional_special_tokens` or, as transformers 5.x has it,
                `extra_special_tokens`.
            replace_additional_special_tokens: the list replaces the former one (whose tokens stay
                in the vocabulary) or, if False, adds to it.
            replace_extra_special_tokens: the same, under the name of transformers 5.x.

        Raises:
            TypeError: something else than a mapping of roles, or than tokens in a list.
            ValueError: an unknown role, or a single token for a list.
        """
        if not isinstance(special_tokens_dict, Mapping):
            raise TypeError(
                "expected roles and their tokens, as {'mask_token': '<mask>'}, "
                f"not {special_tokens_dict!r}"
            )
        before = len(self)
        replaces = replace_additional_special_tokens and replace_extra_special_tokens
        for role, value in special_tokens_dict.items():
            if role in {"additional_special_tokens", "extra_special_tokens"}:
                if isinstance(value, str | AddedToken):
                    raise ValueError(f"{role} must be a list of tokens, not {value!r}")
                tokens = listed_tokens(role, value)
                former = [] if replaces else self._additional
                self.add_tokens(tokens, special_tokens=True)
                self._additional = list(dict.fromkeys([*former, *map(str, tokens)]))
                self._forget()
            elif role in ROLES:
                if not isinstance(value, str | AddedToken):
                    raise ValueError(f"{role} must be a string or an AddedToken, not {value!r}")
                additional = list(self._additional)
                self.add_tokens(value, special_tokens=True)
                self._additional = additional
                self._set_role(role, value)
            else:
                names = ", ".join([*ROLES, "additional_special_tokens"])
                raise ValueError(f"{role!r} is not the role of a special token: {names}")
        return len(self) - before

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...

    @overload
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]: ...

    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> int | list[int]: ...

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Return the id of a token or those of several; an unknown token has that of `[UNK]`.

        Raises:
            TypeError: a token is no string.
            ValueError: a token is unknown, and there is no unknown token.
        """
        if isinstance(tokens, str):
            index = self._engine.token_to_id(tokens)
            if index is None:
                index = self._engine.token_to_id(self._roles.get("unk_token", ""))
            if index is None:
                raise ValueError(f"{tokens!r} is not in the vocabulary, and there is no unk_token")
            return index
        if not isinstance(tokens, Iterable):
            raise TypeError(f"a token is a string, not {tokens!r}")
        return [self.convert_tokens_to_ids(token) for token in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str: ...

    @overload
    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any: ...

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or those of several (a list, an array or a tensor).

        Raises:
            TypeError: neither an id nor ids.
            ValueError: an id is not in the vocabulary.
        """
        if kind_of(ids) is not None:
            ids = to_lists(ids)
        if isinstance(ids, int):
            return self._token_of(ids)
        row = to_ids(ids)
        if skip_special_tokens:
            skipped = self._skipped
            row = [index for index in row if index not in skipped]
        tokens = list(map(self._spell, row))
        if None in tokens:
            self._token_of(row[tokens.index(None)])  # which says what is wrong with it
        return tokens

    @lazy
    def _skipped(self) -> set[int]:
        flagged = {i for i, token in self._engine.added_tokens.items() if token.special}
        return flagged | set(self.all_special_ids)

    @lazy
    def _spell(self) -> Callable[[int], str | None]:
        return cache(self._engine.id_to_token)  # not of `self`: nobody owns itself

    def _token_of(self, index: int) -> str:
        token = self._engine.id_to_token(index)
        if token is None:
            hint = "; -100 marks a label that is ignored: drop it first" if index == -100 else ""
            raise ValueError(f"id {index} is outside the vocabulary of {len(self)} tokens{hint}")
        return token


def listed_tokens(name: str, tokens: Any) -> list[str | AddedToken]:
    """Read special tokens without a role: any number of them, or a mapping, whose values count.

    Args:
        name: of the argument, for the message of an error.
        tokens: None for none.

    Raises:
        TypeError: something else, a single token for one, or what is in it is no token.
    """
    if tokens is None:
        return []
    if isinstance(tokens, str | bytes | AddedToken) or not isinstance(tokens, Iterable):
        raise TypeError(f"{name} must be a list of tokens, as ['<x>'], not {tokens!r}")
    listed = list(tokens.values() if isinstance(tokens, Mapping) else tokens)
    for token in listed:
        if not isinstance(token, str | AddedToken):
            raise TypeError(f"{name} must hold strings or AddedTokens, not {token!r}")
    return listed


def as_added_token(token: str | AddedToken, special: bool) -> AddedToken:
    """Return a token that is matched whole; a special one is matched before normalisation.

    Raises:
        TypeError: it is neither a string nor an AddedToken.
        ValueError: it has a lone surrogate.
    """
    if not isinstance(token, str | AddedToken):
        raise TypeError(f"a token is a string or an AddedToken, not {token!r}")
    if isinstance(token, str):
        return AddedToken(check_text(token), normalized=not special, special=special)
    return AddedToken(**{**flags_of(token), "special": special or token.special})
