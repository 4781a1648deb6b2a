"""The form that injects a fault, made of the types of faults: what can be asked for can be filled in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec
from msgspec import Struct, inspect

# `at` and `for_s` stand for these on the control port; people count from now.
_TIMES = (
    '<label>at<input type="text" name="at" placeholder="+90 (seconds) or UTC"></label>',
    '<label>for s<input type="number" name="for_s" min="0" step="any"></label>',
)
_FIRST = "refused"  # among the faults of the first kind
_IN_THEIR_PLACE = ("from_ms", "until_ms")


def fault_form(kinds: Sequence[type[Struct]]) -> str:
    """Return a form that posts one fault of `kinds`, as JSON, to /sim/faults.

    Each kind has a field `how` of its own values, by which a person chooses; the fields of the others are
    hidden. Fields that are left as they are, are not sent.
    """
    choices, sets = [], []
    for number, kind in enumerate(kinds):
        hows, fields = _taken_apart(kind)
        options = "".join(
            f'<option data-kind="{number}"{" selected" if how == _FIRST else ""}>{escape(how)}</option>'
            for how in hows
        )
        about = escape((kind.__doc__ or "").strip().partition("\n")[0])
        choices.append(f'<optgroup label="{about}">{options}</optgroup>')
        sets.append(_fieldset(number, about, fields))
    return (
        '<form data-to="faults"><label>fault<select name="how" data-chooser data-sent>'
        f"{''.join(choices)}</select></label>{''.join(sets)}"
        '<div class="row"><button>Inject</button><button type="button" data-send="faults"'
        ' data-method="DELETE">Clear all faults</button></div></form>'
    )


def defaults_of(kinds: Sequence[type[Struct]]) -> dict[str, dict[str, Any]]:
    """Return what the fields of each kind are unless told, by the values of `how`."""
    defaults = {}
    for kind in kinds:
        hows, fields = _taken_apart(kind)
        usual = {
            name: msgspec.to_builtins(field.default) for name, field in fields.items() if not field.required
        }
        defaults.update(dict.fromkeys(hows, usual))
    return defaults


def _taken_apart(kind: type[Struct]) -> tuple[list[str], dict[str, inspect.Field]]:
    """Return the values that `how` can have, and the other fields by name."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    fields = {field.encode_name: field for field in info.fields}
    how = fields.pop("how").type
    assert isinstance(how, inspect.LiteralType)
    return [str(value) for value in how.values], fields


def _fieldset(number: int, about: str, fields: dict[str, inspect.Field]) -> str:
    told = [_label(name, field) for name, field in fields.items() if name not in _IN_THEIR_PLACE]
    times = [label for name, label in zip(_IN_THEIR_PLACE, _TIMES, strict=True) if name in fields]
    # Where and what comes before how often and when.
    told.sort(key=lambda label: 'name="count"' in label or 'name="probability"' in label)
    state = " disabled hidden" if number else ""
    return (
        f'<fieldset data-kind="{number}"{state}><p class="none">{about}</p>'
        f'<div class="fields">{"".join([*told, *times])}</div></fieldset>'
    )


def _label(name: str, field: inspect.Field) -> str:
    return f"<label>{escape(name.replace('_', ' '))}{_input(field, escape(name))}</label>"


def _input(field: inspect.Field, name: str) -> str:
    kind = _without_none(field.type)
    default = "" if field.default in (msgspec.NODEFAULT, None) else field.default
    needed = " required" if field.required else ""
    if isinstance(kind, inspect.LiteralType):
        return _select(kind, name, needed, None if field.required else default)
    if isinstance(kind, inspect.BoolType):
        return f'<input type="checkbox" name="{name}"{" checked" if default else ""}>'
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        bounds = "".join(
            f' {side}="{bound}"' for side, bound in (("min", kind.ge), ("max", kind.le)) if bound is not None
        )
        step = "1" if isinstance(kind, inspect.IntType) else "any"
        return f'<input type="number" name="{name}" value="{default}" step="{step}"{bounds}{needed}>'
    if isinstance(kind, inspect.DecimalType):
        return f'<input type="text" inputmode="decimal" name="{name}" value="{escape(str(default))}"{needed}>'
    assert isinstance(kind, inspect.StrType), kind
    return f'<input type="text" name="{name}" value="{escape(str(default))}"{needed}>'


def _select(kind: inspect.LiteralType, name: str, needed: str, chosen: Any) -> str:
    numbers = "" if all(isinstance(value, str) for value in kind.values) else " data-number"
    blank = "" if chosen in kind.values else "<option></option>"
    options = "".join(
        f"<option{' selected' if value == chosen else ''}>{escape(str(value))}</option>"
        for value in kind.values
    )
    return f'<select name="{name}"{needed}{numbers}>{blank}{options}</select>'


def _without_none(kind: inspect.Type) -> inspect.Type:
    """Return the type of an optional field's value."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = (each for each in kind.types if not isinstance(each, inspect.NoneType))
    return kind
