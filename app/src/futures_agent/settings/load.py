"""Merging the three sources of settings, and saying in one line what is wrong with them."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from futures_agent.errors import Refuse
from futures_agent.settings.tree import FORMS, HttpUrl, Settings

DEFAULT_CONFIG = Path("/etc/crypto-futures-agent/agent.toml")
CONFIG_VARIABLE = "AGENT_CONFIG"
PREFIX = "AGENT_"  # AGENT_EXCHANGE__REST_URL sets exchange.rest_url

# Environment names from before there was a settings file; they keep working.
LEGACY_NAMES = {
    "LOG_LEVEL": "log.level",
    "SQLITE_CACHE_MB": "database.cache_mb",
    "STALENESS_ALERT_THRESHOLD_D1": "data.stale_after_h_d1",
    "STALENESS_ALERT_THRESHOLD_H4": "data.stale_after_h_h4",
    "STALENESS_ALERT_THRESHOLD_H1": "data.stale_after_h_h1",
    "STALENESS_ALERT_THRESHOLD_M15": "data.stale_after_h_m15",
}
LEGACY_BACKTEST_PREFIX = "BACKTEST_"
# Flags of a unit, not settings; read where they matter.
UNIT_FLAGS = frozenset({"BACKTEST_ISOLATED"})
_SECRET_WORDS = ("secret", "token", "password", "api_key")


class Effective(msgspec.Struct, frozen=True):
    """Settings together with where each value came from (`default`, a file, or a variable's name)."""

    settings: Settings
    origins: dict[str, str]  # "exchange.rest_url" -> "/etc/…/agent.toml"

    def rows(self) -> list[tuple[str, Any, str]]:
        """Return (key, value, origin) for every setting, secrets masked."""
        found = []
        for section, values in msgspec.to_builtins(self.settings).items():
            for name, value in values.items():
                key = f"{section}.{name}"
                shown = "********" if value and any(word in name for word in _SECRET_WORDS) else value
                found.append((key, shown, self.origins.get(key, "default")))
        return found


def load(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Effective:
    """Load the effective settings.

    Parameters
    ----------
    config : Path, optional
        The settings file. Without it `$AGENT_CONFIG`, then `/etc/crypto-futures-agent/agent.toml`,
        which alone may be absent.
    environ : mapping, optional
        Defaults to the process environment.
    overrides : mapping, optional
        `section.key` → text from the command line; strongest.

    Raises
    ------
    Refuse
        Unknown key, wrong type or impossible value: names the key and the file or variable.
    """
    environ = os.environ if environ is None else environ
    required = config is not None or CONFIG_VARIABLE in environ
    path = config or Path(environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG))
    merged = _read_toml(path, required=required)
    origins = {
        f"{section}.{name}": str(path)
        for section, values in merged.items()
        if isinstance(values, dict)
        for name in values
    }
    texts = [(key, text, f"variable {name}") for name, key, text in _from_environment(environ)]
    texts += [(key, text, f"--set {key}") for key, text in (overrides or {}).items()]
    for key, text, origin in texts:
        section, _, name = key.partition(".")
        values = merged.setdefault(section, {})
        if not isinstance(values, dict):
            raise Refuse(f"{path}: {section}: expected a table of settings")
        values[name] = _parse_text(key, text, origin)
        origins[key] = origin
    try:
        settings = msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        raise Refuse(_explain(error, origins, str(path))) from None
    return Effective(settings, origins)


def _read_toml(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise Refuse(f"{path}: settings file not found; create it or unset {CONFIG_VARIABLE}") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Refuse(f"{path}: cannot read the settings file: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise Refuse(f"{path}: not valid TOML: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (variable, key, text); own names come last because they win over legacy ones."""
    if environ.get("SQLITE_WAL_MODE", "1") != "1":
        raise Refuse("variable SQLITE_WAL_MODE: only 1 is possible; the database always uses WAL")
    legacy, own = [], []
    for name, text in sorted(environ.items()):
        if name in LEGACY_NAMES:
            legacy.append((name, LEGACY_NAMES[name], text))
        elif name.startswith(LEGACY_BACKTEST_PREFIX) and name not in UNIT_FLAGS:
            legacy.append((name, "backtest." + name.removeprefix(LEGACY_BACKTEST_PREFIX).lower(), text))
        elif name.startswith(PREFIX) and name != CONFIG_VARIABLE:
            section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
            if not separator:
                raise Refuse(
                    f"variable {name}: no such setting; write {PREFIX}SECTION__KEY, with two underscores "
                    "between section and key, or unset it"
                )
            own.append((name, f"{section}.{key}", text))
    return legacy + own


def _parse_text(key: str, text: str, origin: str) -> Any:
    """Turn a text from the environment or the command line into the type that `key` has."""
    section, _, name = key.partition(".")
    root, extra = section, ""
    hint = get_type_hints(Settings).get(root)
    if hint is None:
        raise Refuse(f"{origin}: no settings section {root!r}; `agentctl settings` lists them")
    hints = get_type_hints(hint, include_extras=True)
    field_name, _, extra = name.partition(".")
    if field_name not in hints:
        raise Refuse(f"{origin}: no setting {key!r}; `agentctl settings` lists them")
    if extra:
        raise Refuse(f"{origin}: {key!r}: only section.key can be set; put tables into agent.toml")
    field_type = hints[field_name]
    value: Any = text
    if "tuple" in str(field_type):
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif "dict" in str(field_type):
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise Refuse(f'{origin}: {key}: expected JSON such as {{"fast": 10}}, found {text!r}') from None
    elif field_type is bool:
        value = text.lower()
    try:
        return msgspec.to_builtins(msgspec.convert(value, field_type, strict=False))
    except msgspec.ValidationError as error:
        found = "" if field_type is HttpUrl else f", found {text!r}"  # it may hold a password
        raise Refuse(f"{origin}: {key}: {_sentence(error)}{found}") from None


def _explain(error: msgspec.ValidationError, origins: Mapping[str, str], path: str) -> str:
    text = str(error)
    unknown = re.search(r"unknown field `([^`]+)`", text)
    place = re.search(r"at `\$\.?([^`]*)`", text)
    parts = [part for part in re.split(r"[.\[]", place.group(1)) if part] if place else []
    if unknown:
        key = ".".join([*parts, unknown.group(1)])
        return f"{path}: unknown setting {key!r}; `agentctl settings` lists the known ones"
    key = ".".join(parts[:2])
    return f"{origins.get(key, path)}: {key}: {_sentence(error)}"


def _sentence(error: msgspec.ValidationError) -> str:
    text = str(error).partition(" - at `$")[0].rstrip(".")
    return next((form for pattern, form in FORMS.items() if repr(pattern) in text), text)
