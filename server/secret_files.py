"""Settings in the environment, or in a file that it names (``COUNTERPOINT_NAME_FILE``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

SUFFIX = "_FILE"
LARGEST_BYTES = 1_000_000


class SecretFileError(Exception):
    """The file cannot be used; the message names the variable and the remedy."""


class NoJsonError(Exception):
    """A list or a table is not written as JSON; the message names the variable and the remedy."""


def variables(names: Iterable[str], *, prefix: str) -> dict[str, str]:
    """Variable of each setting that may be in a file -> the variable of the setting itself.

    A setting that is a file by its own name keeps that name: ``policy_file`` is no ``policy``.
    """
    own = {prefix + name.upper() for name in names}
    return {name + SUFFIX: name for name in own if name + SUFFIX not in own}


def read(environment: Mapping[str, str | None], wanted: Mapping[str, str]) -> dict[str, str]:
    """The variables of the settings that are in files, without white space around their values.

    Raises SecretFileError.
    """
    found = {}
    given = {name.upper() for name in environment}
    for variable, path in environment.items():
        variable = variable.upper()
        setting = wanted.get(variable)
        if setting is None or path is None:
            continue
        if setting in given:
            raise SecretFileError(f"{variable}: {setting} is set as well; keep one of the two")
        try:
            with Path(path).open("rb") as file:
                data = file.read(LARGEST_BYTES + 1)
            text = data.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise SecretFileError(f"{variable}: {path} is no text in UTF-8") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise SecretFileError(
                f"{variable}: {path} cannot be read ({why}); mount the file, or mend its"
                " permissions"
            ) from None
        if not text or len(data) > LARGEST_BYTES:
            what = "empty" if not text else f"larger than {LARGEST_BYTES:,} bytes"
            raise SecretFileError(f"{variable}: {path} is {what}; write the value into it")
        found[setting] = text
    return found


class FiledEnvironment(EnvSettingsSource):
    """The environment, with the values of those variables that name a file."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        wanted = variables(self.settings_cls.model_fields, prefix=self.env_prefix)
        loaded = super()._load_env_vars()
        filed = read(loaded, wanted)
        return {**loaded, **{name.lower(): value for name, value in filed.items()}}

    def prepare_field_value(
        self,
        field_name: str,
        field: FieldInfo,
        value: Any,
        value_is_complex: bool,  # noqa: FBT001 - the signature is pydantic's
    ) -> Any:
        try:
            return super().prepare_field_value(field_name, field, value, value_is_complex)
        except ValueError:
            raise NoJsonError(
                f"{self.env_prefix}{field_name.upper()}: no JSON; a list is written as "
                '["one", "two"], a table as {"key": "value"}'
            ) from None
