"""The form that injects a fault, made of the types of faults: what can be asked for can be filled in."""

from __future__ import annotations

import re
from html import escape

import msgspec
from msgspec import inspect


def struct_form(*kinds: type[msgspec.Struct], to: str) -> str:
    """Return a form that posts one of `kinds` as JSON to /sim/`to`.

    Parameters
    ----------
    *kinds : type
        Structs.
    to : str
        Name of the control that takes it.
    """
    structs = inspect.multi_type_info(kinds)
    choices = "".join(f"<option>{escape(_name(struct))}</option>" for struct in structs)
    chooser = f"<label>fault<select data-chooser>{choices}</select></label>" if len(structs) > 1 else ""
    sets = "".join(_fields(struct, hidden=place > 0) for place, struct in enumerate(structs))
    return (
        f'<form data-to="{escape(to)}">{chooser}{sets}'
        '<div class="row"><button>Inject</button>'
        f'<button type="button" data-send="{escape(to)}" data-method="DELETE">Clear all faults'
        "</button></div></form>"
    )


def _name(struct: inspect.Type) -> str:
    assert isinstance(struct, inspect.StructType)
    if struct.tag is not None:
        return str(struct.tag)
    return re.sub("(?<!^)([A-Z])", r" \1", struct.cls.__name__).lower()


def _fields(struct: inspect.Type, *, hidden: bool) -> str:
    assert isinstance(struct, inspect.StructType)
    about = (struct.cls.__doc__ or "").strip().partition("\n")[0]
    tag = ""
    if struct.tag_field is not None:
        tag = f'<input type="hidden" name="{escape(struct.tag_field)}" value="{escape(str(struct.tag))}">'
    labels = "".join(_field(each) for each in struct.fields)
    state = " disabled hidden" if hidden else ""
    return (
        f'<fieldset data-kind="{escape(_name(struct))}"{state}><p class="none">{escape(about)}</p>'
        f'{tag}<div class="fields">{labels}</div></fieldset>'
    )


def _field(field: inspect.Field) -> str:
    name = escape(field.encode_name)
    return f"<label>{name.replace('_', ' ')}{_input(field, name)}</label>"


def _input(field: inspect.Field, name: str) -> str:
    kind, optional = _without_none(field.type)
    default = "" if field.default in (msgspec.NODEFAULT, None) else field.default
    needed = " required" if field.required else ""
    if isinstance(kind, inspect.LiteralType):
        first = "<option></option>" if optional else ""
        options = "".join(
            f"<option{' selected' if value == default else ''}>{escape(str(value))}</option>"
            for value in kind.values
        )
        return f'<select name="{name}"{needed}>{first}{options}</select>'
    if isinstance(kind, inspect.BoolType):
        return f'<input type="checkbox" name="{name}"{" checked" if default else ""}>'
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        bounds = "".join(
            f' {side}="{bound}"' for side, bound in (("min", kind.ge), ("max", kind.le)) if bound is not None
        )
        step = "1" if isinstance(kind, inspect.IntType) else "any"
        return f'<input type="number" name="{name}" value="{default}" step="{step}"{bounds}{needed}>'
    if isinstance(kind, inspect.StrType | inspect.DecimalType):
        return f'<input type="text" name="{name}" value="{escape(str(default))}"{needed}>'
    shown = "" if default == "" else msgspec.json.encode(default).decode()
    return f'<input type="text" data-json name="{name}" value="{escape(shown)}"{needed}>'


def _without_none(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    """Return an optional field's type, and whether it is one."""
    if isinstance(kind, inspect.UnionType) and kind.includes_none:
        rest = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        return (rest[0] if len(rest) == 1 else inspect.UnionType(tuple(rest))), True
    return kind, False
